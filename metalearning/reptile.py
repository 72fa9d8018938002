"""Reptile: move the start towards where plain training on an episode ends (Nichol, Achiam & Schulman 2018, alg. 2).

    inner   phi_i = theta after `steps` steps of SGD on episode i
    outer   theta <- theta + epsilon mean_i (phi_i - theta)

Reptile needs no split into support and query; it trains on all of an episode's labelled items.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from metalearning import fomaml
from metalearning.episodes import Episode, Examples
from metalearning.networks import Features, Params, leaves, losses, predict, start
from metalearning.outer import weighted


def adapt(
    params: Params,
    support: Examples,
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
    batch: int | None = None,
    generator: torch.Generator | None = None,
) -> Params:
    """phi: SGD of `steps` steps on random batches of `batch` items, or on all items where `batch` is None."""
    if batch is None:
        return fomaml.adapt(params, support, features, rate=rate, steps=steps, head_rate=head_rate)
    items = support.targets.shape[-1]
    for _ in range(steps):
        rows = torch.randperm(items, generator=generator)[:batch]
        part = Examples(support.inputs[rows], support.targets[rows])
        params = fomaml.adapt(params, part, features, rate=rate, steps=1, head_rate=head_rate)
    return params


def meta_grad(
    params: Params,
    episodes: Iterable[Episode],
    features: Features,
    *,
    rate: float,
    steps: int,
    head_rate: float | None = None,
    batch: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Params]:
    """The loss after adaptation, and mean_i (theta - phi_i), to be descended like a gradient.

    Random batches (`batch`, with its `generator`) need episodes one by one, not stacked.
    """
    theta, value, whole = leaves(params), torch.zeros(()), torch.zeros(())
    grads = {name: torch.zeros_like(old) for name, old in params.items()}
    for episode in episodes:
        examples = all_examples(episode)
        begin = start(theta, episode.outputs, episode.weight.shape)
        end = adapt(
            begin, examples, features, rate=rate, steps=steps, head_rate=head_rate, batch=batch, generator=generator
        )
        way = {name: _per_episode(episode.weight, old) * (old - end[name]).detach() for name, old in begin.items()}
        # Back through `start`, which is linear: copies of one parameter add up.
        back = torch.autograd.grad(list(begin.values()), list(theta.values()), list(way.values()))
        for name, grad in zip(theta, back, strict=True):
            grads[name] += grad
        with torch.no_grad():
            after = losses(predict(end, examples.inputs, features), examples.targets)
            value, whole = (value + (after * episode.weight).sum(), whole + episode.weight.sum())
    return weighted(value, grads, whole)


def all_examples(episode: Episode) -> Examples:
    """Support and query together."""
    items = episode.weight.dim()
    return Examples(
        torch.cat([episode.support.inputs, episode.query.inputs], items),
        torch.cat([episode.support.targets, episode.query.targets], items),
    )


def _per_episode(weight: Tensor, value: Tensor) -> Tensor:
    return weight.reshape(weight.shape + (1,) * (value.dim() - weight.dim()))
