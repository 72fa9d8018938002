"""Meta-SGD: MAML whose inner rates are learned, one for each parameter (Li, Zhou, Chen & Li 2017, eq. 4 and alg. 1).

inner   theta_i' = theta - alpha * grad L_i(theta)                  * is element by element
outer   (theta, alpha) <- (theta, alpha) - beta grad mean_i L_i(theta_i')
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.inner import gradient, loss, step_sizes
from metalearning.networks import HEAD_BIAS, HEAD_WEIGHT, Features, Params, leaves, start
from metalearning.outer import mean_gradient

RATE = "rate."


def with_rates(params: Params, rate: float, head_rate: float | None = None) -> Params:
    """theta and alpha in one dict: `rate.NAME` beside each `NAME`, all equal to `rate` at the start.

    Where `head_rate` is given the head's are equal to that, for steps with `by_outputs`.
    """
    own = {} if head_rate is None else dict.fromkeys((HEAD_WEIGHT, HEAD_BIAS), head_rate)
    return params | {RATE + name: torch.full_like(value, own.get(name, rate)) for name, value in params.items()}


def split(params: Params) -> tuple[Params, Params]:
    """(theta, alpha), both by the names of theta."""
    theta = {name: value for name, value in params.items() if not name.startswith(RATE)}
    return theta, {name: params[RATE + name] for name in theta}


def adapt(
    params: Params, rates: Params, support: Examples, features: Features, *, steps: int, by_outputs: bool = False
) -> Params:
    """theta' after `steps` steps, still a function of theta and alpha (which must belong to a graph).

    With `by_outputs` the head takes its steps times its number of outputs, as in `inner.step_sizes`.
    """
    if by_outputs:
        sizes = step_sizes(rates, 1, 1)
        rates = {name: sizes[name] * rate for name, rate in rates.items()}
    for _ in range(steps):
        grads = gradient(params, support, features)
        params = {name: value - rates[name] * grads[name] for name, value in params.items()}
    return params


def query_loss(
    theta_and_rates: Params, episode: Episode, features: Features, *, steps: int, by_outputs: bool = False
) -> Tensor:
    """L_i(theta_i'), one value per episode."""
    theta, alpha = split(theta_and_rates)
    shape = episode.weight.shape
    begin, rates = start(theta, episode.outputs, shape), start(alpha, episode.outputs, shape)
    adapted = adapt(begin, rates, episode.support, features, steps=steps, by_outputs=by_outputs)
    return loss(adapted, episode.query, features)


def meta_grad(
    params: Params, episodes: Iterable[Episode], features: Features, *, steps: int, by_outputs: bool = False
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to theta and alpha; `params` come from `with_rates`."""
    theta_and_rates = leaves(params)
    return mean_gradient(
        theta_and_rates,
        episodes,
        lambda episode: query_loss(theta_and_rates, episode, features, steps=steps, by_outputs=by_outputs),
    )
