"""The outer loop that all algorithms share: a mean gradient over episodes, and Adam."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from metalearning.episodes import Episode
from metalearning.networks import Params

MetaGrad = Callable[[Params, Sequence[Episode]], tuple[Tensor, Params]]


class NothingToLearn(ValueError):
    """The outer loss does not depend on any parameter."""

    def __init__(self) -> None:
        super().__init__("the loss depends on no parameter (prototypes of frozen embeddings): adapt without training")


def mean_gradient(
    theta: Params, episodes: Sequence[Episode], loss: Callable[[Episode], Tensor]
) -> tuple[Tensor, Params]:
    """The mean of `loss` over the episodes by their weights, and its gradient; one graph in memory at a time.

    `loss` gives one value per episode, in the shape of `episode.weight`. The papers write the sum over the batch; the
    mean only rescales the outer rate beta, and keeps it the same for every batch size.
    """
    whole = total_weight(episodes)
    value = torch.zeros(())
    grads = {name: torch.zeros_like(theta[name]) for name in theta}
    for episode in episodes:
        part = (loss(episode) * episode.weight).sum() / whole
        found = torch.autograd.grad(part, list(theta.values()), allow_unused=True) if part.requires_grad else ()
        if all(grad is None for grad in found):
            raise NothingToLearn
        for name, grad in zip(theta, found, strict=True):
            if grad is not None:  # ProtoNet's head is not used; its gradient is zero
                grads[name] += grad
        value = value + part.detach()
    return value, grads


def total_weight(episodes: Sequence[Episode]) -> Tensor:
    """The sum of all weights, stacked or not."""
    return torch.stack([episode.weight.sum() for episode in episodes]).sum()


def train(
    params: Params, meta_grad: MetaGrad, batches: Iterator[Sequence[Episode]], iterations: int, rate: float
) -> Iterator[tuple[int, float, Params]]:
    """theta <- theta - beta grad by Adam (Kingma & Ba 2015); yields (iteration, outer loss, theta) after each step.

    Adam's rate falls from `rate` to a hundredth of it along a half cosine. The yielded tensors are those that the
    next step changes: copy what you keep.
    """
    theta = {name: value.detach().clone() for name, value in params.items()}
    adam = torch.optim.Adam(theta.values(), lr=rate)
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=max(iterations, 1), eta_min=rate / 100)
    for iteration in range(iterations):
        loss, grads = meta_grad(theta, next(batches))
        for name, value in theta.items():
            value.grad = grads[name]
        adam.step()
        cooling.step()
        yield iteration, float(loss), theta
