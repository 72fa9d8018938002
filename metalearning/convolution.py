"""Convolution blocks whose first and second derivatives are written out: exact, and fast under MAML's inner steps.

Autograd derives a derivative operation by operation. For a batch norm that is some sixty small operations a block and
inner step, for a convolution a detour through dilated and transposed ones. The formulas below need a third of it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from metalearning.derivatives import last

EPS = 1e-5
"""Added to the variance, as batch norm's authors do."""

KERNEL, STRIDE, PADDING = 3, 2, 1


def convolve(images: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution with stride 2: (items, channels, height, width), (filters, channels, 3, 3)."""
    return _Convolve.apply(images, weight)


def normalised_relu(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """max(0, scale (x - mean) / sqrt(variance + EPS) + shift), by channel over items and pixels.

    Ioffe & Szegedy 2015, algorithm 1, and the ReLU. images (items, channels, height, width), channels last in memory.
    In bfloat16 only input and output are: the variance of a few hundred pixels would have two digits.
    """
    return _NormalisedRelu.apply(images, scale, shift)


# Convolution: three operations, each linear in two of (images x, weight w, cotangent g), that are each other's
# derivatives, because <g, x * w> is one number that is linear in all three.


class _Convolve(torch.autograd.Function):
    """x * w"""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return F.conv2d(images, weight, stride=STRIDE, padding=PADDING)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        by_images, by_weight = ctx.needs_input_grad
        return (
            _ByImages.apply(cotangent, weight, images.shape) if by_images else None,
            _ByWeight.apply(images, cotangent, weight.shape) if by_weight else None,
        )


class _ByImages(torch.autograd.Function):
    """The derivative of <g, x * w> by x."""

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(cotangent, weight)
        like = torch.empty(shape, dtype=cotangent.dtype, memory_format=torch.channels_last)  # only its shape is read
        return derivative(cotangent, like, weight, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, images: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        cotangent, weight = ctx.saved_tensors
        by_cotangent, by_weight, _ = ctx.needs_input_grad
        return (
            _Convolve.apply(images, weight) if by_cotangent else None,
            _ByWeight.apply(images, cotangent, weight.shape) if by_weight else None,
            None,
        )


class _ByWeight(torch.autograd.Function):
    """The derivative of <g, x * w> by w."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, cotangent: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(images, cotangent)
        like = torch.empty(shape, dtype=cotangent.dtype, memory_format=torch.channels_last)
        return derivative(cotangent, images, like, (False, True))[1]

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, cotangent = ctx.saved_tensors
        by_images, by_cotangent, _ = ctx.needs_input_grad
        return (
            _ByImages.apply(cotangent, weight, images.shape) if by_images else None,
            _Convolve.apply(images, weight) if by_cotangent else None,
            None,
        )


def derivative(cotangent: Tensor, images: Tensor, weight: Tensor, which: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
    by_images, by_weight, _ = torch.ops.aten.convolution_backward(
        cotangent, images, weight, None, [STRIDE] * 2, [PADDING] * 2, [1, 1], False, [0, 0], 1, [*which, False]
    )
    return by_images, by_weight


# Batch norm and ReLU. With M values a channel: n = s (x - mean), s = 1 / sqrt(variance + EPS), y = max(0, scale n +
# shift). The derivative of n by x takes a cotangent v to s P v, where P v = v - mean v - n mean(v n) is symmetric; that
# of s takes c to -c s^2 n / M.


class _NormalisedRelu(torch.autograd.Function):
    """y of x, scale and shift."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        flat = pixels(images)
        mean = flat.mean(0)
        n = flat - mean
        s = (torch.linalg.vecdot(n, n, dim=0) / len(n) + EPS).rsqrt_()
        n *= s
        y = torch.addcmul(shift.to(n.dtype), n, scale.to(n.dtype)).relu_()
        out = like(y.to(images.dtype), images)
        ctx.save_for_backward(images, scale, n, s, out)
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, scale, n, s, out = ctx.saved_tensors
        return _Pull.apply(cotangent, images, scale, n, s, out.detach())


class _Pull(torch.autograd.Function):
    """The derivatives of <g, y> by x, scale and shift; q = g where y > 0.

    by shift: b = sum q; by scale: c = sum q n; by x: k (q - b / M - n c / M), with k = s scale.
    """

    @staticmethod
    def forward(
        ctx: Any, cotangent: Tensor, images: Tensor, scale: Tensor, n: Tensor, s: Tensor, out: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        active = pixels(out) > 0
        q = pixels(cotangent) * active
        b, c = q.sum(0), torch.linalg.vecdot(q, n, dim=0)
        by_images = projected(q, n, b, c).mul_(s * scale)
        ctx.save_for_backward(scale, n, s, q, b, c, active)
        ctx.images = images.shape, images.dtype
        return like(by_images.to(images.dtype), images), c.to(scale.dtype), b.to(scale.dtype)

    @staticmethod
    @last
    def backward(ctx: Any, u: Tensor, of_scale: Tensor, of_shift: Tensor) -> tuple[Tensor | None, ...]:
        """Of the cotangents u of "by x", and those of "by scale" and "by shift"."""
        scale, n, s, q, b, c, active = ctx.saved_tensors
        u_flat, count, k = pixels(u), len(n), s * scale
        d, e = u_flat.sum(0), torch.linalg.vecdot(u_flat, n, dim=0)
        # by g, through q
        by_q = projected(u_flat, n, d, e).mul_(k).add_(of_shift).addcmul_(n, of_scale).mul_(active)
        # by n, as c and the last term of "by x" hold it: v = (of_scale - k e / M) q - (k c / M) u
        v = q * (of_scale - k * e / count)
        v.addcmul_(u_flat, k * c / count, value=-1)
        # by k, and by s through k
        by_k = torch.linalg.vecdot(u_flat, q, dim=0) - (b * d + c * e) / count
        by_s = by_k * scale
        # by x, through n and s
        by_x = projected(v, n, v.sum(0), torch.linalg.vecdot(v, n, dim=0) + by_s * s).mul_(s)
        return like(by_q, u), like(by_x, u), by_k * s, None, None, None


def projected(v: Tensor, n: Tensor, total: Tensor, along: Tensor) -> Tensor:
    """v - total / M - n along / M."""
    return torch.addcmul(v - total / len(n), n, along, value=-1 / len(n))


def pixels(images: Tensor) -> Tensor:
    """(items * height * width, channels), at least float32."""
    flat = images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])
    return flat.float() if flat.dtype == torch.bfloat16 else flat


def like(flat: Tensor, images: Tensor) -> Tensor:
    items, channels, height, width = images.shape
    return flat.view(items, height, width, channels).permute(0, 3, 1, 2)
