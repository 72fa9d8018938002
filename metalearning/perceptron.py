"""The MLP's inner gradient and its derivative, written out: no graph inside, so that stacks of episodes stay small.

With h_0 = x, a_l = h_l W_l' + b_l, h_(l+1) = max(0, a_l), and the last a as outputs o, backpropagation gives
d_l, the derivative of the loss by a_l:

    last   d = (p(o) - targets) c       cross-entropy: p = softmax, c = 1 / items
                                        mean squared error: p(o) = o, c = 2 / (items outputs)
    below  d_(l-1) = (d_l W_l) [h_l > 0]
    by W_l: d_l' h_l;  by b_l: the sum of d_l over the items

The derivative of that gradient takes cotangents V to the Hessian's product H V, since H is symmetric: the same lines,
differentiated once along V (Pearlmutter 1994, "Fast exact multiplication by the Hessian").
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metalearning.derivatives import last

Layers = list[tuple[Tensor, Tensor]]
"""(weight, bias) from the inputs up; the last is the head."""


def gradient(layers: Layers, inputs: Tensor, targets: Tensor) -> Layers:
    """Of the mean loss of each episode by its own weights, in the layers' shapes; can be derived once more.

    weights (*episodes, outputs, width), biases (*episodes, outputs); inputs (*episodes, items, width), which get no
    derivative; targets as for `networks.losses`. `episodes` is () or (episodes,).
    """
    values = [value for layer in layers for value in layer]
    if inputs.dim() == 3:
        return _paired(_Gradient.apply(inputs, targets, *values))
    found = _Gradient.apply(inputs[None], targets[None], *(value[None] for value in values))
    return _paired([value[0] for value in found])


class _Gradient(torch.autograd.Function):
    """The gradient, and H V. What lies between is computed again rather than kept: the weights are alive anyway."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, targets: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(inputs, targets, *values)
        hidden, pulls, _ = _through(_paired(values), inputs, targets)
        return tuple(g for d, h in zip(pulls, hidden, strict=True) for g in (torch.bmm(d.mT, h), d.sum(-2)))

    @staticmethod
    @last
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        inputs, targets, *values = ctx.saved_tensors
        layers, along = _paired(values), _paired(cotangents)
        hidden, pulls, predicted = _through(layers, inputs, targets)
        rates = _rates(layers, along, hidden)
        gain = rate_of_pull(rates.pop(), predicted)
        found: list[Tensor] = []
        for number in reversed(range(1, len(layers))):
            (weight, _), (v, _), pull, below = (layers[number], along[number], pulls[number], hidden[number])
            found = [torch.bmm(gain.mT, below).baddbmm_(pull.mT, rates[number - 1]), gain.sum(-2), *found]
            gain = _where(below, torch.bmm(gain, weight).baddbmm_(pull, v))
        return None, None, torch.bmm(gain.mT, inputs), gain.sum(-2), *found


def _through(layers: Layers, inputs: Tensor, targets: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor | None]:
    """Each layer's inputs h, each layer's d, and the probabilities (None for real targets)."""
    hidden = [inputs]
    for weight, bias in layers[:-1]:
        hidden.append(torch.baddbmm(bias.unsqueeze(1), hidden[-1], weight.mT).relu_())
    weight, bias = layers[-1]
    outputs = torch.baddbmm(bias.unsqueeze(1), hidden[-1], weight.mT)
    predicted, pull = pull_of(outputs, targets)
    pulls = [pull]
    for number in reversed(range(1, len(layers))):
        pulls.insert(0, _where(hidden[number], torch.bmm(pulls[0], layers[number][0])))
    return hidden, pulls, predicted


def pull_of(outputs: Tensor, targets: Tensor) -> tuple[Tensor | None, Tensor]:
    """The probabilities (None for real targets), and the derivative of the mean loss by the outputs."""
    share = _share(outputs, real=targets.is_floating_point())
    if targets.is_floating_point():
        return None, (outputs - targets).mul_(share)
    predicted = outputs.softmax(-1)
    pull, own = predicted * share, targets.unsqueeze(-1)
    return predicted, pull.scatter_add_(-1, own, pull.new_full((), -share).expand_as(own))


def _rates(layers: Layers, along: Layers, hidden: list[Tensor]) -> list[Tensor]:
    """How h_1, h_2, ... and at last the outputs change along V."""
    rates: list[Tensor] = []
    for number, ((weight, _), (v, v_bias)) in enumerate(zip(layers, along, strict=True)):
        rate = torch.baddbmm(v_bias.unsqueeze(1), hidden[number], v.mT)
        if rates:
            rate.baddbmm_(rates[-1], weight.mT)
        rates.append(_where(hidden[number + 1], rate) if number < len(layers) - 1 else rate)
    return rates


def rate_of_pull(rate: Tensor, predicted: Tensor | None) -> Tensor:
    """How that derivative changes, when the outputs do so by `rate`."""
    if predicted is None:
        return rate * _share(rate, real=True)
    by_softmax = torch.ops.aten._softmax_backward_data(rate, predicted, -1, rate.dtype)  # p (rate - the sum of p rate)
    return by_softmax.mul_(_share(rate, real=False))


def _where(hidden: Tensor, values: Tensor) -> Tensor:
    """The values where a ReLU let something through, else 0."""
    return torch.ops.aten.threshold_backward(values, hidden, 0)


def _share(outputs: Tensor, real: bool) -> float:
    items, width = outputs.shape[-2:]
    return 2 / (items * width) if real else 1 / items


def _paired(values: Sequence[Tensor]) -> Layers:
    return list(zip(values[::2], values[1::2], strict=True))
