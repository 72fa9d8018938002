"""Prototypical networks: the nearest class mean in a learned space (Snell, Swersky & Zemel 2017, eq. 1 and 2).

    c_k = mean of f(x) over the support items x of class k
    p(y = k | x) = softmax_k(-|f(x) - c_k|^2)

There is no inner loop; the head's parameters are not used.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.networks import Features, Params, leaves, losses, start
from metalearning.outer import mean_gradient


def prototypes(hidden: Tensor, targets: Tensor, outputs: int) -> Tensor:
    """Class means: (..., items, width), (..., items) -> (..., outputs, width).

    A class without support items gets the mean of all items: nothing is known of it but where the data lie.
    """
    members = torch.nn.functional.one_hot(targets, outputs).to(hidden.dtype).mT  # (..., outputs, items)
    counts = members.sum(-1, keepdim=True)
    means = members @ hidden / counts.clamp(min=1)
    return torch.where(counts > 0, means, hidden.mean(-2, keepdim=True))


def logits(hidden: Tensor, centres: Tensor) -> Tensor:
    """-|f(x) - c_k|^2: (..., items, width), (..., outputs, width) -> (..., items, outputs)"""
    squares = hidden.square().sum(-1, keepdim=True) + centres.square().sum(-1).unsqueeze(-2)
    return 2 * hidden @ centres.mT - squares


def predict(params: Params, support: Examples, inputs: Tensor, outputs: int, features: Features) -> Tensor:
    """Logits of `inputs` given the support set: (..., items, outputs)."""
    centres = prototypes(features(params, support.inputs), support.targets, outputs)
    return logits(features(params, inputs), centres)


def query_loss(theta: Params, episode: Episode, features: Features) -> Tensor:
    """The query set's cross-entropy, one value per episode."""
    begin = start(theta, episode.outputs, episode.weight.shape)
    outputs = predict(begin, episode.support, episode.query.inputs, episode.outputs, features)
    return losses(outputs, episode.query.targets)


def meta_grad(params: Params, episodes: Iterable[Episode], features: Features) -> tuple[Tensor, Params]:
    """The outer loss and its gradient; the head's is zero."""
    theta = leaves(params)
    return mean_gradient(theta, episodes, lambda episode: query_loss(theta, episode, features))
