"""MAML: a start from which a few gradient steps lead to a good model (Finn, Abbeel & Levine 2017, algorithms 1 and 2).

inner   theta_i' = theta - alpha grad L_i(theta)              on episode i's support set, any number of steps
outer   theta   <- theta - beta grad_theta mean_i L_i(theta_i')     on the query sets, through the inner steps
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.inner import gradient
from metalearning.networks import Features, Params, leaves, losses, predict, start
from metalearning.outer import mean_gradient


def adapt(params: Params, support: Examples, features: Features, *, rate: float, steps: int) -> Params:
    """theta' after `steps` gradient steps of size alpha = `rate`, still a function of theta.

    `params` must belong to a graph (`leaves`, `start`). With a stack of episodes the support losses are summed, and
    each copy of the parameters gets the gradient of its own episode alone.
    """
    for _ in range(steps):
        grads = gradient(params, support, features)
        params = {name: torch.sub(value, grads[name], alpha=rate) for name, value in params.items()}
    return params


def query_loss(
    theta: Params,
    episode: Episode,
    features: Features,
    *,
    rate: float,
    steps: int,
    query_dtype: torch.dtype | None = None,
) -> Tensor:
    """L_i(theta_i'), one value per episode.

    With `query_dtype=torch.bfloat16` the pass over the query set is computed in half the bits, which is faster; the
    inner steps never are: their gradients are differences of small numbers.
    """
    adapted = adapt(
        start(theta, episode.outputs, episode.weight.shape), episode.support, features, rate=rate, steps=steps
    )
    inputs = episode.query.inputs
    if query_dtype is not None:
        adapted = {name: value.to(query_dtype) for name, value in adapted.items()}
        inputs = inputs.to(query_dtype)
    outputs = predict(adapted, inputs, features)
    return losses(outputs if query_dtype is None else outputs.float(), episode.query.targets)


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    query_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to theta, second derivatives included."""
    theta = leaves(params)
    return mean_gradient(
        theta,
        episodes,
        lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps, query_dtype=query_dtype),
    )
