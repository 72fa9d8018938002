"""Conv-4's inner gradient and its derivative, written out: no graph inside, and nothing kept but what both need.

A block takes its input h to a = h * w (a convolution), n = s (a - mean a), s = 1 / sqrt(var a + EPS), and max(0, y)
with y = scale n + shift, the next block's input; mean and variance are over the M items and pixels of a channel. The
mean over the image and a linear head follow. Backwards, with k = s scale, and q the derivative of the loss by the
block's output where y > 0:

    by shift: b = sum q;  by scale: c = sum q n;  by a: g = k (q - b / M - n c / M);  by w, by h: those of <g, h * w>

The derivative of that gradient takes cotangents V to the Hessian's product H V, since H is symmetric: the same lines,
differentiated once along V (Pearlmutter 1994, "Fast exact multiplication by the Hessian"). In the code `along` is V,
and `rate` says how something changes along it; in formulas that is a dot:

    n. = s (a. - mean a. - n m), m = mean(n a.);  s. = -s^2 m;  k. = s. scale + s scale.
    g. = k q. + k. q - n. k c / M - n (k c. + k. c) / M - (k b. + k. b) / M;  c. = sum (q. n + q n.)

The first block has few channels, nine numbers a patch for a grey image, and the largest map. Its sums are not taken
over the map: with centred patches p and their covariance S = p'p / M there is a - mean a = p w', var a = diag(w S w')
and n'p / M = s w S, and all that goes back through it is Q = q'p, of the weights' size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from metalearning.convolution import EPS, KERNEL, PADDING, STRIDE, derivative, like, pixels, projected
from metalearning.derivatives import last
from metalearning.networks import losses
from metalearning.perceptron import pull_of, rate_of_pull

BLOCKS = 4
Three = tuple[Tensor, Tensor, Tensor]
"""Of a block's weight, scale and shift."""


def gradient(values: Sequence[Tensor], images: Tensor, targets: Tensor) -> Sequence[Tensor]:
    """Of the mean loss by each of the values; can be derived once more.

    values: each block's weight, scale and shift, then the head's weight and bias; images (items, channels, height,
    width), which get no derivative; targets as for `networks.losses`.
    """
    found: Sequence[Tensor] = _Gradient.apply(images, targets, *values)
    return found


def loss(values: Sequence[Tensor], images: Tensor, targets: Tensor) -> Tensor:
    """The mean loss, as `networks.losses` gives it; can be derived once. Arguments as of `gradient`."""
    found: Tensor = _Loss.apply(images, targets, *values)
    return found


class _Gradient(torch.autograd.Function):
    """The gradient, and H V."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, targets: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        first, blocks, head = _forwards(images, targets, values)
        ctx.layers = first, tuple(blocks), head
        # Not the very tensors that the layers keep: each would then hold its own graph, and be let go by nobody.
        return tuple(value.detach() for value in _backwards(first, blocks, head))

    @staticmethod
    @last
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        first, blocks, head = ctx.layers
        threes = _threes(along)
        rate, of_first = first.rate(*threes[0])
        of_blocks: list[_Rates] = []  # apart from the layers, which stay for as long as their graph does
        for block, three in zip(blocks, threes[1:], strict=True):
            rate, of_block = block.rate(rate, *three)
            of_blocks.append(of_block)
        rate, found = head.rate_back(rate, *along[-2:])
        for block in reversed(blocks):
            rate, by_three = block.rate_back(rate, of_blocks.pop())
            found = (*by_three, *found)
        return None, None, *first.rate_back(rate, of_first), *found


class _Loss(torch.autograd.Function):
    """The mean loss; its gradient is taken at once, so that no block has to be kept for it."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, targets: Tensor, *values: Tensor) -> Tensor:
        first, blocks, head = _forwards(images, targets, values)
        found = losses(head.outputs, targets)
        ctx.save_for_backward(*_backwards(first, blocks, head))
        return found

    @staticmethod
    @last
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(cotangent * value for value in ctx.saved_tensors)


def _forwards(images: Tensor, targets: Tensor, values: Sequence[Tensor]) -> tuple["_First", list["_Block"], "_Head"]:
    threes = _threes(values)
    first = _First(images, *threes[0])
    blocks: list[_Block] = []
    for three in threes[1:]:
        blocks.append(_Block(blocks[-1].out if blocks else first.out, *three))
    return first, blocks, _Head(blocks[-1].out, targets, *values[-2:])


def _backwards(first: "_First", blocks: list["_Block"], head: "_Head") -> tuple[Tensor, ...]:
    """The gradient; takes the blocks from the list, so that each is let go when it has been gone through."""
    by_h, found = head.back()
    del head
    while blocks:
        by_h, by_three = blocks.pop().back(by_h)
        found = (*by_three, *found)
    return (*first.back(by_h), *found)


def _threes(values: Sequence[Tensor]) -> list[Three]:
    return [(values[3 * b], values[3 * b + 1], values[3 * b + 2]) for b in range(BLOCKS)]


class _FirstRates(NamedTuple):
    """How the first block changes along V; w's rate is its part of V."""

    w: Tensor
    s: Tensor
    k: Tensor


class _Rates(NamedTuple):
    """The same of a later block."""

    h: Tensor
    w: Tensor
    n: Tensor
    k: Tensor


class _First:
    """The first block: `out`, and what both ways back need.

    `patches` have a one beside them, whose weight is the shift.
    """

    def __init__(self, images: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> None:
        patches = F.unfold(images, KERNEL, padding=PADDING, stride=STRIDE).mT.flatten(0, 1)  # (M, channels * 9)
        patches = patches - patches.mean(0)
        self.covariance = patches.mT @ patches / len(patches)  # S
        self.patches = F.pad(patches, (0, 1), value=1)
        self.shape, self.w, self.scale = weight.shape, weight.flatten(1), scale
        self.w_s = self.w @ self.covariance
        self.s = ((self.w_s * self.w).sum(1) + EPS).rsqrt_()
        kernel = torch.cat([self.w * (self.s * scale)[:, None], shift[:, None]], 1)
        height, width = ((side + 1) // STRIDE for side in images.shape[2:])
        out = (self.patches @ kernel.mT).relu_()
        self.out = out.view(len(images), height, width, -1).permute(0, 3, 1, 2)

    def back(self, by_out: Tensor) -> Three:
        """The derivatives of the loss by weight, scale and shift, given that by the output."""
        self.q, self.b = self._through(by_out)
        w_q = (self.w * self.q).sum(1)
        self.c = self.s * w_q
        return self._by_weight(self.s * self.scale, self.q, self.c * self.s), self.c, self.b

    def rate(self, w: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, _FirstRates]:
        """Of the output, along (w, scale, shift); and what `rate_back` needs."""
        w = w.flatten(1)
        rate_s = -(self.s**3) * (self.w_s * w).sum(1)
        rate_k = rate_s * self.scale + self.s * scale
        kernel = self.w * rate_k[:, None] + w * (self.s * self.scale)[:, None]
        rate = self.patches @ torch.cat([kernel, shift[:, None]], 1).mT
        return like(_where(pixels(self.out), rate), self.out), _FirstRates(w, rate_s, rate_k)

    def rate_back(self, rate: Tensor, rates: _FirstRates) -> Three:
        """Of the derivatives that `back` gave, where that by the output changes by `rate`."""
        rate_q, rate_b = self._through(rate)
        s, k, c = self.s, self.s * self.scale, self.c
        rate_c = rates.s * (self.w * self.q).sum(1) + s * (rates.w * self.q + self.w * rate_q).sum(1)
        by_w = self._by_weight(k, rate_q, rate_c * s + c * rates.s)
        by_w += self._by_weight(rates.k, self.q, c * s)
        by_w -= ((k * c * s)[:, None] * (rates.w @ self.covariance)).view(self.shape)
        return by_w, rate_c, rate_b

    def _through(self, by_out: Tensor) -> tuple[Tensor, Tensor]:
        """Q and b."""
        q = _where(pixels(self.out), pixels(by_out)).mT @ self.patches
        return q[:, :-1], q[:, -1]

    def _by_weight(self, k: Tensor, q: Tensor, n: Tensor) -> Tensor:
        """k (Q - n w S)"""
        return ((q - n[:, None] * self.w_s) * k[:, None]).view(self.shape)


class _Block:
    """A later block. h, out and their rates are maps; the others are (M, channels)."""

    def __init__(self, h: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> None:
        self.h, self.w, self.scale = h, weight, scale
        a = _convolve(h, weight)
        n = pixels(a)
        n = n - n.mean(0)
        self.s = (torch.linalg.vecdot(n, n, dim=0) / len(n) + EPS).rsqrt_()
        self.n = n.mul_(self.s)
        self.out = like(torch.addcmul(shift, n, scale).relu_(), a)

    def back(self, by_out: Tensor) -> tuple[Tensor, Three]:
        """The derivatives of the loss by h, and by weight, scale and shift, given that by the output."""
        self.q = _where(pixels(self.out), pixels(by_out))
        self.b, self.c = self.q.sum(0), torch.linalg.vecdot(self.q, self.n, dim=0)
        by_h, by_w = derivative(self._by_a(), self.h, self.w, (True, True))
        return by_h, (by_w, self.c, self.b)

    def rate(self, rate_h: Tensor, w: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, _Rates]:
        """Of the output, where h changes by `rate_h`, along (w, scale, shift); and what `rate_back` needs."""
        rate_a = pixels(_convolve(rate_h, self.w).add_(_convolve(self.h, w)))
        along_n = torch.linalg.vecdot(rate_a, self.n, dim=0)
        rate_n = projected(rate_a, self.n, rate_a.sum(0), along_n).mul_(self.s)
        rate_s = self.s.square().mul_(along_n).div_(-len(self.n))
        rate_k = torch.addcmul(rate_s * self.scale, self.s, scale)
        rate_y = torch.addcmul(shift, self.n, scale).addcmul_(rate_n, self.scale)
        return like(_where(pixels(self.out), rate_y), self.out), _Rates(rate_h, w, rate_n, rate_k)

    def rate_back(self, rate: Tensor, rates: _Rates) -> tuple[Tensor, Three]:
        """Of the derivatives that `back` gave, where that by the output changes by `rate`."""
        q, n, k, count = self.q, self.n, self.s * self.scale, len(self.n)
        rate_q = _where(pixels(self.out), pixels(rate))
        rate_b = rate_q.sum(0)
        rate_c = torch.linalg.vecdot(rate_q, n, dim=0) + torch.linalg.vecdot(q, rates.n, dim=0)
        rate_g = torch.addcmul((k * rate_b + rates.k * self.b) / -count, rate_q, k).addcmul_(q, rates.k)
        rate_g.addcmul_(rates.n, k * self.c / -count).addcmul_(n, (k * rate_c + rates.k * self.c) / -count)
        by_h, by_w = derivative(like(rate_g, self.out), self.h, self.w, (True, True))
        more_by_h, more_by_w = derivative(self._by_a(), rates.h, rates.w, (True, True))
        return by_h.add_(more_by_h), (by_w.add_(more_by_w), rate_c, rate_b)

    def _by_a(self) -> Tensor:
        """g, which is sooner computed twice than kept."""
        return like(projected(self.q, self.n, self.b, self.c).mul_(self.s * self.scale), self.out)


class _Head:
    """The mean over the image and the linear layer."""

    def __init__(self, h: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.h, self.weight = h, weight
        self.features = h.mean((2, 3))
        self.outputs = torch.addmm(bias, self.features, weight.mT)
        self.predicted, self.pull = pull_of(self.outputs, targets)

    def back(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The derivatives of the loss by h, and by weight and bias."""
        return self._spread(self.pull @ self.weight), (self.pull.mT @ self.features, self.pull.sum(0))

    def rate_back(self, rate_h: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """How those change, where h changes by `rate_h`, along (weight, bias)."""
        rate = rate_h.mean((2, 3))
        rate_of_outputs = torch.addmm(bias, rate, self.weight.mT).addmm_(self.features, weight.mT)
        rate_pull = rate_of_pull(rate_of_outputs, self.predicted)
        by_features = (rate_pull @ self.weight).addmm_(self.pull, weight)
        by_weight = (rate_pull.mT @ self.features).addmm_(self.pull.mT, rate)
        return self._spread(by_features), (by_weight, rate_pull.sum(0))

    def _spread(self, by_features: Tensor) -> Tensor:
        count = self.h.shape[2] * self.h.shape[3]
        return (by_features / count)[:, :, None, None].expand_as(self.h)


def _convolve(h: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(h, weight, stride=STRIDE, padding=PADDING)


def _where(out: Tensor, values: Tensor) -> Tensor:
    """The values where the ReLU let something through, else 0."""
    return torch.ops.aten.threshold_backward(values, out, 0)
