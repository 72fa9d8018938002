"""ProtoMAML: MAML whose head starts at the class prototypes (Triantafillou et al. 2020, section 2.2.3).

A prototypical network is a linear head: -|f - c_k|^2 = 2 c_k.f - |c_k|^2 - |f|^2, and all classes share |f|^2.

    start   W_k = 2 c_k,  b_k = -|c_k|^2
    inner   theta_i' = theta - alpha grad L_i(theta), body and head
    outer   theta   <- theta - beta grad mean_i L_i(theta_i'), through the prototypes too

Zero inner steps are ProtoNet. Any number of classes; the head in `params` is not used.
"""

from collections.abc import Iterable

from torch import Tensor

from metalearning import maml
from metalearning.episodes import Episode, Examples
from metalearning.inner import loss
from metalearning.networks import HEAD_BIAS, HEAD_WEIGHT, Features, Params, body_of, leaves
from metalearning.outer import mean_gradient
from metalearning.protonet import prototypes


def with_prototypes(params: Params, support: Examples, outputs: int, features: Features) -> Params:
    """The body, and the head W_k = 2 c_k, b_k = -|c_k|^2."""
    centres = prototypes(features(params, support.inputs), support.targets, outputs)
    if not centres.requires_grad:  # frozen embeddings: the head still takes its inner steps
        centres.requires_grad_()
    # The inner step takes the derivative by the body with the head held still. The head was computed from the body, so
    # autograd would go through it as well, if the body below were not another node than the one the head came from.
    body = {name: value.view_as(value) for name, value in body_of(params).items()}
    return body | {HEAD_WEIGHT: 2 * centres, HEAD_BIAS: -centres.square().sum(-1)}


def adapt(
    params: Params,
    support: Examples,
    outputs: int,
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
) -> Params:
    """theta' after `steps` steps from the prototypes, still a function of `params` (which must belong to a graph)."""
    begin = with_prototypes(params, support, outputs, features)
    return maml.adapt(begin, support, features, rate=rate, steps=steps, head_rate=head_rate)


def query_loss(
    theta: Params, episode: Episode, features: Features, *, rate: float, steps: int, head_rate: float | None = None
) -> Tensor:
    """L_i(theta_i'), one value per episode."""
    shape = episode.weight.shape
    begin = {name: value.expand(*shape, *value.shape) for name, value in theta.items()}
    adapted = adapt(begin, episode.support, episode.outputs, features, rate=rate, steps=steps, head_rate=head_rate)
    return loss(adapted, episode.query, features)


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
) -> tuple[Tensor, Params]:
    """The outer loss and its gradient with respect to the body, second derivatives included; the head's is zero."""
    theta = leaves(params)
    return mean_gradient(
        theta,
        episodes,
        lambda episode: query_loss(theta, episode, features, rate=rate, steps=steps, head_rate=head_rate),
    )
