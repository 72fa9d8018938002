"""Episodes: small labelling tasks to learn to learn from, drawn from labelled data.

An episode has a support set, whose labels the learner may see, and a query set, on which it is judged.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

AT_ONCE = 2
"""Episodes in a stack. All their graphs are in memory at once: stacks of eight are some two thirds faster again, and
take four times as much."""


class TooFewItems(ValueError):
    """A source can't give the episodes it was asked for."""

    def __init__(self, need: str, have: str) -> None:
        super().__init__(f"episodes need {need}, the source has {have}: ask for fewer classes or items, or add data")


class Misshapen(ValueError):
    """Inputs and targets don't belong together."""


def _one() -> Tensor:
    return torch.ones(())


@dataclass(frozen=True)
class Examples:
    """inputs (*episodes, items, ...) and targets: (*episodes, items) class numbers, or (*episodes, items, outputs)."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Episode:
    """One episode, or a stack of episodes of equal shape (then `weight` has the shape (episodes,)).

    `outputs` is the number of classes, or of a regression's outputs. `weight` is the episode's share in the outer
    loss: an episode of weight two counts like two.
    """

    support: Examples
    query: Examples
    outputs: int
    weight: Tensor = field(default_factory=_one)

    def __post_init__(self) -> None:
        for name, part in (("support", self.support), ("query", self.query)):
            lead = self.weight.dim() + 1
            if part.inputs.shape[:lead] != part.targets.shape[:lead]:
                raise Misshapen(
                    f"{name}: inputs {tuple(part.inputs.shape)} and targets {tuple(part.targets.shape)} "
                    f"must agree in their first {lead} dimensions"
                )


@dataclass(frozen=True)
class Source:
    """Labelled data to draw episodes from: inputs (items, ...), labels (items,) in [0, len(names)), label names."""

    inputs: Tensor
    labels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sampling:
    """How episodes are drawn: ranges are inclusive.

    imbalance in [0, 1]: the expected share of classes whose shot is drawn on its own; the others have one in common.
    unseen in [0, 1): the expected share of classes that have no support item (at least one class keeps its own).
    noise in [0, 1): the expected share of support labels that are wrong.
    """

    way: tuple[int, int] = (5, 5)
    shot: tuple[int, int] = (1, 1)
    queries: int = 15
    imbalance: float = 0.0
    unseen: float = 0.0
    noise: float = 0.0


def draw(source: Source, sampling: Sampling, generator: torch.Generator) -> Episode:
    """One episode: classes in random order, then support and query items of each, never the same item in both."""
    rows_of = _rows_by_class(source.labels, least=sampling.shot[1] + sampling.queries)
    if len(rows_of) < sampling.way[0]:
        raise TooFewItems(
            f"{sampling.way[0]} classes of {sampling.shot[1] + sampling.queries} items", f"{len(rows_of)} such classes"
        )
    way = _between(sampling.way[0], min(sampling.way[1], len(rows_of)), generator)
    chosen = torch.randperm(len(rows_of), generator=generator)[:way].tolist()
    shots = _shots(way, sampling, generator)
    support, query = [], []
    for number, shot in zip(chosen, shots, strict=True):
        rows = rows_of[number][torch.randperm(len(rows_of[number]), generator=generator)]
        support.append(rows[:shot])
        query.append(rows[shot : shot + sampling.queries])
    targets = _with_noise(_numbers(support), way, sampling.noise, generator)
    return Episode(
        Examples(source.inputs[torch.cat(support)], targets),
        Examples(source.inputs[torch.cat(query)], _numbers(query)),
        outputs=way,
    )


def stack(episodes: Sequence[Episode]) -> Episode:
    """Episodes of equal shape as one, with a leading dimension: heads and MLPs then run them side by side."""
    return Episode(
        _stacked([episode.support for episode in episodes]),
        _stacked([episode.query for episode in episodes]),
        outputs=episodes[0].outputs,
        weight=torch.stack([episode.weight for episode in episodes]),
    )


@dataclass(frozen=True)
class Stacks:
    """Stacks, each made when its turn comes, so that one of them, and its graph, is in memory at a time."""

    groups: tuple[tuple[Episode, ...], ...]

    def __iter__(self) -> Iterator[Episode]:
        return map(stack, self.groups)

    def __len__(self) -> int:
        return len(self.groups)


def stack_alike(episodes: Iterable[Episode], at_once: int = AT_ONCE) -> Stacks:
    """Stacks of up to `at_once` episodes of the same shapes, in the order in which each shape first came."""
    groups: dict[object, list[Episode]] = defaultdict(list)
    for episode in episodes:
        key = (episode.support.inputs.shape, episode.query.inputs.shape, episode.outputs)
        groups[key].append(episode)
    return Stacks(
        tuple(
            tuple(group[first : first + at_once])
            for group in groups.values()
            for first in range(0, len(group), at_once)
        )
    )


def rotated_classes(source: Source) -> Source:
    """Four classes for each class of square images: the drawing turned by 0, 90, 180 and 270 degrees.

    Santoro et al. 2016, section 4.1; a character turned by a quarter is another character.
    """
    classes = len(source.names)
    return Source(
        torch.cat([source.inputs.rot90(turn, (-2, -1)) for turn in range(4)]),
        torch.cat([source.labels + turn * classes for turn in range(4)]),
        tuple(f"{name} turned {turn * 90}" for turn in range(4) for name in source.names),
    )


def jittered(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Each image turned, scaled, sheared and moved a little of its own; the ground is taken to be 0.

    images (items, channels, height, width). At strength 1: turned by up to 20 degrees, scaled by up to 20 %, sheared
    by up to 0.2, moved by up to a tenth of the side.
    """
    amounts = strength * (2 * torch.rand(len(images), 6, generator=generator) - 1)
    turn, wide, high, shear, right, down = (amounts * torch.tensor([0.35, 0.2, 0.2, 0.2, 0.2, 0.2])).unbind(1)
    cos, sin = turn.cos(), turn.sin()
    # Where in the image each point of the new one lies, both in [-1, 1]: scale and shear, then turn, then move.
    first = torch.stack([cos * (1 + wide), cos * shear - sin * (1 + high), right], 1)
    second = torch.stack([sin * (1 + wide), sin * shear + cos * (1 + high), down], 1)
    grid = F.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _rows_by_class(labels: Tensor, least: int) -> list[Tensor]:
    """The rows of each class that has at least `least` items."""
    order = labels.argsort(stable=True)
    groups = order.split(labels.bincount().tolist())
    return [rows for rows in groups if len(rows) >= least]


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _shots(way: int, sampling: Sampling, generator: torch.Generator) -> list[int]:
    low, high = sampling.shot
    common = _between(low, high, generator)
    shots = []
    for _ in range(way):
        odd = float(torch.rand((), generator=generator)) < sampling.imbalance
        shots.append(_between(low, high, generator) if odd else common)
    seen = torch.rand(way, generator=generator) >= sampling.unseen
    seen[int(torch.randint(way, (), generator=generator))] = True
    return [shot if keep else 0 for shot, keep in zip(shots, seen.tolist(), strict=True)]


def _numbers(groups: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.full((len(rows),), number) for number, rows in enumerate(groups)])


def _with_noise(targets: Tensor, way: int, noise: float, generator: torch.Generator) -> Tensor:
    wrong = torch.rand(len(targets), generator=generator) < noise
    shift = torch.randint(1, max(way, 2), (len(targets),), generator=generator)
    return torch.where(wrong, (targets + shift) % way, targets)


def _stacked(parts: Sequence[Examples]) -> Examples:
    return Examples(torch.stack([part.inputs for part in parts]), torch.stack([part.targets for part in parts]))
