"""ANIL: almost no inner loop; only the head adapts (Raghu, Raghu, Bengio & Vinyals 2020, section 4.1).

    inner   head_i' = head - alpha grad_head L_i(body, head)
    outer   (body, head) <- (body, head) - beta grad mean_i L_i(body, head_i')

The body's features of the support set are computed once, whatever the number of steps; and the gradient of a linear
layer is written out, so that no graph is walked inside the loop.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

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
    """The same body and the adapted head, still a function of `params` (which must belong to a graph)."""
    hidden, weight, bias = features(params, support.inputs), params[HEAD_WEIGHT], params[HEAD_BIAS]
    for _ in range(steps):
        pull = pull_on_outputs(linear(hidden, weight, bias), support.targets)
        weight, bias = weight - rate * pull.mT @ hidden, bias - rate * pull.sum(-2)
    return body_of(params) | {HEAD_WEIGHT: weight, HEAD_BIAS: bias}


def pull_on_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
    """The derivative of the mean loss by the outputs, (..., items, outputs), as a formula that can be derived again.

    Cross-entropy: (softmax - one-hot) / items. Mean squared error: 2 (outputs - targets) / (items * outputs).
    """
    items, width = outputs.shape[-2:]
    if targets.is_floating_point():
        return (outputs - targets) * (2 / (items * width))
    return (outputs.softmax(-1) - F.one_hot(targets, width).to(outputs.dtype)) / items


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
