"""FOMAML: MAML without second derivatives (Finn, Abbeel & Levine 2017, section 5.2; Nichol et al. 2018, section 3).

inner   theta_i' = theta - alpha grad L_i(theta)
outer   theta   <- theta - beta mean_i (grad L_i)(theta_i')     as if theta_i' were theta plus a constant
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.networks import Features, Params, leaves, losses, predict, start
from metalearning.outer import mean_gradient


def adapt(params: Params, support: Examples, features: Features, *, rate: float, steps: int) -> Params:
    """Plain gradient descent: the same numbers as `maml.adapt`, without a graph, for any parameters."""
    for _ in range(steps):
        params = leaves(params)
        loss = losses(predict(params, support.inputs, features), support.targets).sum()
        grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
        params = {name: value - rate * grad for (name, value), grad in zip(params.items(), grads, strict=True)}
    return {name: value.detach() for name, value in params.items()}


def query_loss(theta: Params, episode: Episode, features: Features, *, rate: float, steps: int) -> Tensor:
    """L_i(theta + constant), one value per episode."""
    begin = start(theta, episode.outputs, episode.weight.shape)
    end = adapt(begin, episode.support, features, rate=rate, steps=steps)
    # begin + (end - begin) has the value of `end` and the derivative of `begin`, the shared head row's included.
    shifted = {name: begin[name] + (end[name] - begin[name]).detach() for name in begin}
    return losses(predict(shifted, episode.query.inputs, features), episode.query.targets)


def meta_grad(
    params: Params, episodes: Iterable[Episode], features: Features, *, rate: float, steps: int
) -> tuple[Tensor, Params]:
    """The outer loss and its first-order gradient with respect to theta."""
    theta = leaves(params)
    return mean_gradient(theta, episodes, lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps))
