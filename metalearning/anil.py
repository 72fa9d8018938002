"""ANIL: almost no inner loop; only the head adapts (Raghu, Raghu, Bengio & Vinyals 2020, section 4.1).

    inner   head_i' = head - alpha grad_head L_i(body, head)
    outer   (body, head) <- (body, head) - beta grad mean_i L_i(body, head_i')

The body's features are computed once, whatever the number of steps; what the head's steps do to the loss is written out
(`adapted_head`), so that the only graph is the body's.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning.adapted_head import loss_and_gradient
from metalearning.episodes import Episode, Examples
from metalearning.inner import step_sizes
from metalearning.networks import HEAD_BIAS, HEAD_WEIGHT, Features, Params, body_of, leaves, linear, losses, start
from metalearning.outer import weighted


def adapt(
    params: Params, support: Examples, features: Features, *, rate: float, steps: int, head_rate: float | None = None
) -> Params:
    """The same body and the adapted head, still a function of `params` (which must belong to a graph)."""
    hidden, weight, bias = (features(params, support.inputs), params[HEAD_WEIGHT], params[HEAD_BIAS])
    size = step_sizes(params, rate, head_rate)[HEAD_WEIGHT]
    for _ in range(steps):
        loss = losses(linear(hidden, weight, bias), support.targets).sum()
        by_weight, by_bias = torch.autograd.grad(loss, [weight, bias], create_graph=True)
        weight, bias = weight - size * by_weight, bias - size * by_bias
    return body_of(params) | {HEAD_WEIGHT: weight, HEAD_BIAS: bias}


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to body and head, second derivatives included."""
    theta = leaves(params)
    value, whole = torch.zeros(()), torch.zeros(())
    grads = {name: torch.zeros_like(old) for name, old in params.items()}
    for episode in episodes:
        value = value + _add(grads, theta, episode, features, rate, head_rate, steps)
        whole = whole + episode.weight.sum()
    return weighted(value, grads, whole)


def _add(
    grads: Params, theta: Params, episode: Episode, features: Features, rate: float, head_rate: float | None, steps: int
) -> Tensor:
    """The loss of an episode, or of a stack, by its weight; the gradient of that is added to `grads`."""
    begin, head = (start(theta, episode.outputs, episode.weight.shape), start(theta, episode.outputs))
    hidden = [features(begin, part.inputs) for part in (episode.support, episode.query)]
    learned = hidden[0].requires_grad
    found = loss_and_gradient(
        head[HEAD_WEIGHT],
        head[HEAD_BIAS],
        _stack(hidden[0], episode.support, episode),
        _stack(hidden[1], episode.query, episode),
        episode.weight.reshape(-1).to(theta[HEAD_WEIGHT].dtype),
        rate=step_sizes(head, rate, head_rate)[HEAD_WEIGHT],
        steps=steps,
        of_features=learned,
    )
    # A row that all classes share gets the sum of their derivatives.
    grads[HEAD_WEIGHT] += found.by_weight.sum_to_size(theta[HEAD_WEIGHT].shape)
    grads[HEAD_BIAS] += found.by_bias.sum_to_size(theta[HEAD_BIAS].shape)
    if learned:
        body = body_of(theta)
        by_hidden = [by.view_as(part) for by, part in zip(found.by_features, hidden, strict=True)]
        for name, grad in zip(body, torch.autograd.grad(hidden, list(body.values()), by_hidden), strict=True):
            grads[name] += grad
    return found.loss


def _stack(hidden: Tensor, part: Examples, episode: Episode) -> Examples:
    """The features and targets of a stack; an episode alone is a stack of one."""
    return Examples(hidden, part.targets) if episode.weight.dim() else Examples(hidden[None], part.targets[None])
