"""ANIL: almost no inner loop; only the head adapts (Raghu, Raghu, Bengio & Vinyals 2020, section 4.1).

    inner   head_i' = head - alpha grad_head L_i(body, head)
    outer   (body, head) <- (body, head) - beta grad mean_i L_i(body, head_i')

The body's features of the support set are computed once, whatever the number of steps; and the gradient of a linear
layer is written out, forwards and backwards, so that no graph is walked inside the loop.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from metalearning.derivatives import last
from metalearning.episodes import Episode, Examples
from metalearning.networks import (
    HEAD_BIAS,
    HEAD_WEIGHT,
    Features,
    Params,
    body_of,
    leaves,
    linear,
    losses,
    predict,
    start,
)
from metalearning.outer import mean_gradient


def adapt(params: Params, support: Examples, features: Features, *, rate: float, steps: int) -> Params:
    """The same body and the adapted head, still a function of `params` (which must belong to a graph).

    Each step takes alpha pull' hidden from the weight, where pull (..., items, outputs) is the derivative of the loss
    by the items' outputs. So the steps can be taken on the outputs alone, by the items' products with one another, and
    the head gets what all pulls add up to.
    """
    hidden, weight, bias = features(params, support.inputs), params[HEAD_WEIGHT], params[HEAD_BIAS]
    if steps:
        outputs, products = linear(hidden, weight, bias), (hidden @ hidden.mT).add_(1)  # 1 is the bias's share
        whole: Tensor = _Pulls.apply(outputs, products, support.targets, rate, steps)
        weight = _less(weight, rate, whole.mT, hidden)
        bias = torch.sub(bias, whole.sum(-2), alpha=rate)
    return body_of(params) | {HEAD_WEIGHT: weight, HEAD_BIAS: bias}


class _Pulls(torch.autograd.Function):
    """The sum of u_k over the steps o_(k+1) = o_k - alpha G u_k; G are the products, u_k = (p(o_k) - targets) c.

    For cross-entropy p = softmax and c = 1 / items; for mean squared error p(o) = o and c = 2 / (items outputs).
    Backwards, from the cotangent of the sum, with J the derivative of u by o, which is symmetric:
    u'_k = sum' - alpha G o'_(k+1);  o'_k = o'_(k+1) + J_k u'_k;  G' = - alpha sum_k o'_(k+1) u_k'
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, products: Tensor, targets: Tensor, rate: float, steps: int) -> Tensor:
        items, width = outputs.shape[-2:]
        ctx.real = targets.is_floating_point()
        ctx.rate, ctx.share = rate, 2 / (items * width) if ctx.real else 1 / items
        goal = targets if ctx.real else torch.zeros_like(outputs).scatter_(-1, targets.unsqueeze(-1), 1)
        predicted, pulls, whole = [], [], torch.zeros_like(outputs)
        for step in range(steps):
            predicted.append(outputs if ctx.real else outputs.softmax(-1))
            pull = predicted[-1] - goal  # its share, c, comes with the rate, and once at the end
            whole += pull
            if step < steps - 1:
                outputs = _less(outputs, rate * ctx.share, products, pull)
                pulls += [pull] if ctx.needs_input_grad[1] else []  # only the products' derivative holds them
        ctx.save_for_backward(products, *predicted, *pulls)
        ctx.steps = steps
        return whole.mul_(ctx.share)

    @staticmethod
    @last
    def backward(ctx: Any, whole: Tensor) -> tuple[Tensor | None, ...]:
        products, *kept = ctx.saved_tensors
        predicted, pulls = kept[: ctx.steps], kept[ctx.steps :]
        by_outputs, by_products = torch.zeros_like(whole), None
        for number, p in reversed(list(enumerate(predicted))):
            cotangent = whole
            if number < ctx.steps - 1:
                cotangent = _less(whole, ctx.rate, products, by_outputs)  # the products are symmetric
                if ctx.needs_input_grad[1]:
                    before = torch.zeros_like(products) if by_products is None else by_products
                    by_products = _less(before, ctx.rate * ctx.share, by_outputs, pulls[number].mT)
            if not ctx.real:  # p (cotangent - the sum of p cotangent)
                cotangent = torch.ops.aten._softmax_backward_data(cotangent, p, -1, p.dtype)
            by_outputs.add_(cotangent, alpha=ctx.share)
        return by_outputs, by_products, None, None, None


def _less(value: Tensor, rate: float, left: Tensor, right: Tensor) -> Tensor:
    """value - rate left right, at once; of matrices, or of stacks of them."""
    product = torch.addmm if left.dim() == 2 else torch.baddbmm
    return product(value, left, right, alpha=-rate)


def query_loss(theta: Params, episode: Episode, features: Features, *, rate: float, steps: int) -> Tensor:
    """L_i(body, head_i'), one value per episode."""
    begin = start(theta, episode.outputs, episode.weight.shape)
    adapted = adapt(begin, episode.support, features, rate=rate, steps=steps)
    return losses(predict(adapted, episode.query.inputs, features), episode.query.targets)


def meta_grad(
    params: Params, episodes: Iterable[Episode], features: Features, *, rate: float, steps: int
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to body and head, second derivatives included."""
    theta = leaves(params)
    return mean_gradient(theta, episodes, lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps))
