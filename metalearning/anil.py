"""ANIL: almost no inner loop; only the head adapts (Raghu, Raghu, Bengio & Vinyals 2020, section 4.1).

    inner   head_i' = head - alpha grad_head L_i(body, head)
    outer   (body, head) <- (body, head) - beta grad mean_i L_i(body, head_i')

The body's features of the support set are computed once, whatever the number of steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.networks import (
    HEAD_BIAS,
    HEAD_WEIGHT,
    Features,
    Params,
    body_of,
    head_of,
    leaves,
    linear,
    losses,
    predict,
    start,
)
from metalearning.outer import mean_gradient


def adapt(params: Params, support: Examples, features: Features, *, rate: float, steps: int) -> Params:
    """The same body and the adapted head, still a function of `params` (which must belong to a graph)."""
    hidden, head = features(params, support.inputs), head_of(params)
    for _ in range(steps):
        outputs = linear(hidden, head[HEAD_WEIGHT], head[HEAD_BIAS])
        loss = losses(outputs, support.targets).sum()
        grads = torch.autograd.grad(loss, list(head.values()), create_graph=True)
        head = {name: value - rate * grad for (name, value), grad in zip(head.items(), grads, strict=True)}
    return body_of(params) | head


def query_loss(theta: Params, episode: Episode, features: Features, *, rate: float, steps: int) -> Tensor:
    """L_i(body, head_i'), one value per episode."""
    begin = start(theta, episode.outputs, episode.weight.shape)
    adapted = adapt(begin, episode.support, features, rate=rate, steps=steps)
    return losses(predict(adapted, episode.query.inputs, features), episode.query.targets)


def meta_grad(
    params: Params, episodes: Sequence[Episode], features: Features, *, rate: float, steps: int
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to body and head, second derivatives included."""
    theta = leaves(params)
    return mean_gradient(theta, episodes, lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps))
