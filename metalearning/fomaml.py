"""FOMAML: MAML without second derivatives (Finn, Abbeel & Levine 2017, section 5.2; Nichol et al. 2018, section 3).

inner   theta_i' = theta - alpha grad L_i(theta)
outer   theta   <- theta - beta mean_i (grad L_i)(theta_i')     as if theta_i' were theta plus a constant
"""

from collections.abc import Iterable

from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.inner import constant_gradient, loss, step_sizes
from metalearning.networks import Features, Params, leaves, start
from metalearning.outer import mean_gradient


def adapt(
    params: Params, support: Examples, features: Features, *, rate: float, steps: int, head_rate: float | None = None
) -> Params:
    """Plain gradient descent: the same numbers as `maml.adapt`, without a graph, for any parameters."""
    sizes = step_sizes(params, rate, head_rate)
    for _ in range(steps):
        grads = constant_gradient(params, support, features)
        params = {name: value.detach() - sizes[name] * grads[name] for name, value in params.items()}
    return {name: value.detach() for name, value in params.items()}


def query_loss(
    theta: Params, episode: Episode, features: Features, *, rate: float, steps: int, head_rate: float | None = None
) -> Tensor:
    """L_i(theta + constant), one value per episode."""
    begin = start(theta, episode.outputs, episode.weight.shape)
    end = adapt(begin, episode.support, features, rate=rate, steps=steps, head_rate=head_rate)
    # begin + (end - begin) has the value of `end` and the derivative of `begin`, the shared head row's included.
    shifted = {name: begin[name] + (end[name] - begin[name]).detach() for name in begin}
    return loss(shifted, episode.query, features)


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
) -> tuple[Tensor, Params]:
    """The outer loss and its first-order gradient with respect to theta."""
    theta = leaves(params)
    return mean_gradient(
        theta,
        episodes,
        lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps, head_rate=head_rate),
    )
