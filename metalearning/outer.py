"""The outer gradient that all algorithms share: a weighted mean over episodes."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from metalearning.episodes import Episode
from metalearning.networks import Params

MetaGrad = Callable[[Params, Iterable[Episode]], tuple[Tensor, Params]]


class NothingToLearn(ValueError):
    """The outer loss does not depend on any parameter."""

    def __init__(self) -> None:
        super().__init__("the loss depends on no parameter (prototypes of frozen embeddings): adapt without training")


class NoEpisodes(ValueError):
    """There was no episode, or none with a weight."""

    def __init__(self) -> None:
        super().__init__("there is no episode to learn from: an iterator of episodes can be gone through only once")


def mean_gradient(
    theta: Params, episodes: Iterable[Episode], loss: Callable[[Episode], Tensor]
) -> tuple[Tensor, Params]:
    """The mean of `loss` over the episodes by their weights, and its gradient; one graph in memory at a time.

    `loss` gives one value per episode, in the shape of `episode.weight`. The papers write the sum over the batch; the
    mean only rescales the outer rate beta, and keeps it the same for every batch size.
    """
    value, whole = torch.zeros(()), torch.zeros(())
    grads = {name: torch.zeros_like(theta[name]) for name in theta}
    for episode in episodes:
        part = (loss(episode) * episode.weight).sum()
        found = torch.autograd.grad(part, list(theta.values()), allow_unused=True) if part.requires_grad else ()
        if all(grad is None for grad in found):
            raise NothingToLearn
        for name, grad in zip(theta, found, strict=True):
            if grad is not None:  # ProtoNet's head is not used; its gradient is zero
                grads[name] += grad
        value, whole = value + part.detach(), whole + episode.weight.sum()
        del episode, part, found  # or they would stay until the next episode, its graph and its gradient are there
    return weighted(value, grads, whole)


def weighted(value: Tensor, grads: Params, whole: Tensor) -> tuple[Tensor, Params]:
    """Sums over episodes, divided by the sum of their weights. Raises NoEpisodes where that is zero."""
    if not whole:
        raise NoEpisodes
    return value / whole, {name: grad / whole for name, grad in grads.items()}
