"""A linear head after gradient steps on given features: the query set's loss and its derivatives, written out.

With support features H (items, width), query features Q, a head W (outputs, width), b (outputs,) and s = alpha c:

    pull    u(o) = p(o) - targets       cross-entropy: p = softmax, c = 1 / items
                                        mean squared error: p(o) = o, c = 2 / (items outputs)

c u is the derivative of the support set's loss by its outputs o. A step takes s u' H from W, and so s G u from the
outputs, where G = H H' + 1 (the 1 is the bias's share). So the steps can be taken on the outputs alone, and the head
gets what all pulls add up to:

    o_0 = H W' + b;  o_(k+1) = o_k - s G u_k;  U = sum_k u_k
    W^ = W - s U' H;  b^ = b - s (sum of U over the items);  loss L of Q W^' + b^

Backwards, with D the derivative of L by the query set's outputs, and J_k that of u at o_k, symmetric like G:

    V = D' Q;  v = sum of D over the items;  R = H V' + v
    e_k = e_(k+1) + J_k (R - s G e_(k+1)), from e = 0 beyond the last step
    by W: V - s e_0' H;  by b: v - s (sum of e_0 over the items)
    by Q: D W^;  by H: -s (e_0 W + U V) + s^2 sum_k (e_(k+1) u_k' + u_k e_(k+1)') H

No graph is made or walked, and what is needed no more is let go on the way: the products are small, and most of the
time had gone into keeping books of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from metalearning.episodes import Examples


@dataclass(frozen=True)
class Found:
    """The loss, summed over the episodes by their weights, and its derivatives.

    `by_features` are those by the support set's features and by the query set's, where asked for.
    """

    loss: Tensor
    by_weight: Tensor
    by_bias: Tensor
    by_features: tuple[Tensor, ...] = ()


@torch.no_grad()
def loss_and_gradient(
    weight: Tensor,
    bias: Tensor,
    support: Examples,
    query: Examples,
    shares: Tensor,
    *,
    rate: float,
    steps: int,
    of_features: bool = False,
) -> Found:
    """Of a stack of episodes: weight (outputs, width) and bias (outputs,), which all of them start from.

    support and query hold features (episodes, items, width) and targets as for `networks.losses`; shares (episodes,)
    are the episodes' weights.
    """
    hidden, real = support.inputs, support.targets.is_floating_point()
    items, outputs = hidden.shape[1], len(weight)
    step = rate * (2 / (items * outputs) if real else 1 / items)
    products = torch.bmm(hidden, hidden.mT).add_(1)
    predicted, pulls, whole = _forwards(
        _linear(hidden, weight, bias), products, support.targets, step, steps, of_features
    )
    adapted, offset = (torch.baddbmm(weight, whole.mT, hidden, alpha=-step), torch.sub(bias, whole.sum(1), alpha=step))
    value, cotangent = _loss(_linear(query.inputs, adapted, offset), query.targets, shares)  # L and D
    by_query = torch.bmm(cotangent, adapted) if of_features else None
    del adapted
    along, along_bias = (torch.bmm(cotangent.mT, query.inputs), cotangent.sum(1))  # V and v
    del cotangent
    back, by_products = _backwards(_linear(hidden, along, along_bias), products, predicted, pulls, step)
    del products, predicted
    by_features: tuple[Tensor, ...] = ()
    if by_query is not None:
        by_support = (torch.matmul(back, weight) + torch.bmm(whole, along)).mul_(-step)
        if by_products is not None:
            by_support.baddbmm_(by_products + by_products.mT, hidden, alpha=step * step)
        by_features = by_support, by_query
    by_weight = along.sum(0).addmm_(back.flatten(0, 1).mT, hidden.flatten(0, 1), alpha=-step)
    by_bias = along_bias.sum(0).sub_(back.sum((0, 1)), alpha=step)
    return Found(value, by_weight, by_bias, by_features)


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(episodes, items, width), and a head that the episodes share or one for each -> (episodes, items, outputs)"""
    if weight.dim() == 2:
        return torch.addmm(bias, inputs.flatten(0, 1), weight.mT).unflatten(0, inputs.shape[:2])
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)


def _forwards(
    outputs: Tensor, products: Tensor, targets: Tensor, step: float, steps: int, keep: bool
) -> tuple[list[Tensor | None], list[Tensor], Tensor]:
    """p(o_k) for each step (None for real targets), u_k for all but the last step where they are kept, and U."""
    real = targets.is_floating_point()
    goal = targets if real else torch.zeros_like(outputs).scatter_(-1, targets.unsqueeze(-1), 1)
    predicted: list[Tensor | None] = []
    pulls: list[Tensor] = []
    whole = torch.zeros_like(outputs)
    for number in range(steps):
        p = outputs if real else outputs.softmax(-1)
        pull = p - goal
        whole += pull
        predicted.append(None if real else p)
        if number < steps - 1:
            outputs = torch.baddbmm(outputs, products, pull, alpha=-step)
            pulls += [pull] if keep else []
    return predicted, pulls, whole


def _loss(outputs: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the episodes' losses by their shares, and its derivative by the outputs."""
    items, width = outputs.shape[1:]
    if targets.is_floating_point():
        off = outputs - targets
        return off.square().mean((1, 2)) @ shares, off.mul_((2 / (items * width) * shares)[:, None, None])
    logs, own = outputs.log_softmax(-1), targets.unsqueeze(-1)
    value = -logs.gather(-1, own).mean((1, 2)) @ shares
    pull = logs.exp_()
    pull.scatter_add_(-1, own, pull.new_full((), -1).expand_as(own))
    return value, pull.mul_((shares / items)[:, None, None])


def _backwards(
    rates: Tensor, products: Tensor, predicted: list[Tensor | None], pulls: list[Tensor], step: float
) -> tuple[Tensor, Tensor | None]:
    """e_0, and the sum of e_(k+1) u_k' where there are pulls; `rates` are R."""
    back, by_products = (torch.zeros_like(rates), torch.zeros_like(products) if pulls else None)
    for number, p in reversed(list(enumerate(predicted))):
        along = rates
        if number < len(predicted) - 1:
            along = torch.baddbmm(rates, products, back, alpha=-step)
            if by_products is not None:
                by_products.baddbmm_(back, pulls[number].mT)
        # J along: p (along - the sum of p along) for a softmax
        back += along if p is None else torch.ops.aten._softmax_backward_data(along, p, -1, p.dtype)
    return back, by_products
