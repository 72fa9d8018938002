"""MAML: a start from which a few gradient steps lead to a good model (Finn, Abbeel & Levine 2017, algorithms 1 and 2).

inner   theta_i' = theta - alpha grad L_i(theta)              on episode i's support set, any number of steps
outer   theta   <- theta - beta grad_theta mean_i L_i(theta_i')     on the query sets, through the inner steps
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.inner import gradient, loss, step_sizes
from metalearning.networks import Features, Params, leaves, losses, predict, start
from metalearning.outer import mean_gradient
from metalearning.precision import QueryDtype, resolved


def adapt(
    params: Params, support: Examples, features: Features, *, rate: float, steps: int, head_rate: float | None = None
) -> Params:
    """theta' after `steps` gradient steps of size alpha = `rate`, still a function of theta.

    With `head_rate` the head takes steps of that times the number of outputs (`inner.step_sizes`).
    `params` must belong to a graph (`leaves`, `start`). With a stack of episodes the support losses are summed, and
    each copy of the parameters gets the gradient of its own episode alone.
    """
    sizes = step_sizes(params, rate, head_rate)
    for _ in range(steps):
        grads = gradient(params, support, features)
        params = {name: torch.sub(value, grads[name], alpha=sizes[name]) for name, value in params.items()}
    return params


def query_loss(
    theta: Params,
    episode: Episode,
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
    query_dtype: QueryDtype = None,
) -> Tensor:
    """L_i(theta_i'), one value per episode.

    With `query_dtype=torch.bfloat16` the pass over the query set is computed in half the bits, which takes less memory,
    and less time where the processor convolves faster in them; "fastest" measures that (`precision`) and takes bfloat16
    only there. The inner steps never are: their gradients are differences of small numbers.
    """
    begin = start(theta, episode.outputs, episode.weight.shape)
    adapted = adapt(begin, episode.support, features, rate=rate, steps=steps, head_rate=head_rate)
    dtype = resolved(query_dtype)
    if dtype is None:
        return loss(adapted, episode.query, features)
    adapted = {name: value.to(dtype) for name, value in adapted.items()}
    return losses(predict(adapted, episode.query.inputs.to(dtype), features).float(), episode.query.targets)


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
    query_dtype: QueryDtype = None,
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to theta, second derivatives included."""
    theta = leaves(params)
    settings: dict[str, Any] = {"rate": rate, "steps": steps, "head_rate": head_rate, "query_dtype": query_dtype}
    return mean_gradient(theta, episodes, lambda episode: query_loss(theta, episode, features, **settings))
