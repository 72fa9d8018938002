"""Omniglot: to tell characters of alphabets never seen, from one or five drawings of each (Lake et al. 2015)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metalearning.episodes import Episode, Sampling, Source, draw, jittered, rotated_classes
from metalearning.experiments import Algorithm, Interval, adapted, interval, meta_grad_of, prepared
from metalearning.networks import Params, conv4, conv4_statistics, init_conv4, predict
from metalearning.training import Progress, Schedule, Standing, learn

VALIDATION_ALPHABETS = ("Early_Aramaic",)
TEST_ALPHABETS = ("Japanese_(katakana)", "Sanskrit", "Tagalog")
TESTS = ((5, 1), (5, 5), (20, 1), (20, 5))
"""(way, shot) as the papers report them."""


@dataclass(frozen=True)
class Config:
    """How to train: on episodes of `way` to `way_to` classes with `shot` to `shot_to` drawings of each.

    The head has one row, which all classes share, so that one training serves any number of classes. `jitter` is how
    much training drawings are turned, sheared, moved and scaled at random, in [0, 1].
    The head's inner rate is `head_rate` times the number of classes (`inner.step_sizes`); 0 means `inner_rate`, as in
    the papers. ProtoMAML's head begins at the prototypes, and wants smaller ones of both.
    """

    algorithm: Algorithm = "protonet"
    way: int = 5
    way_to: int = 20
    shot: int = 1
    shot_to: int = 5
    queries: int = 5
    jitter: float = 0.5
    filters: int = 64
    iterations: int = 3000
    batch: int = 1
    inner_rate: float = 1.0
    inner_steps: int = 3
    head_rate: float = 0.2
    test_steps: int = 6
    outer_rate: float = 0.003
    check_every: int = 200
    patience: int = 10
    test_episodes: int = 400
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Accuracy on new characters: with the query set's own statistics in the batch norm, and with the support set's.

    The first looks at the whole query set at once ("transductive"), as MAML's and Reptile's papers do; the second is
    what a single new drawing would get.
    """

    way: int
    shot: int
    transductive: Interval
    inductive: Interval


@dataclass(frozen=True)
class Alphabets:
    """Characters split by alphabet, so that no test character has a sister in training."""

    training: Source
    validation: Source
    testing: Source


def load(
    path: Path,
    validation_alphabets: Sequence[str] = VALIDATION_ALPHABETS,
    test_alphabets: Sequence[str] = TEST_ALPHABETS,
) -> Alphabets:
    """The file: images uint8 (n, 28, 28) with ink 255, labels (n,), classes "Alphabet/characterNN"."""
    with np.load(path, allow_pickle=False) as file:
        images = torch.from_numpy(file["images"]).float().unsqueeze(1) / 255  # (n, 1, 28, 28)
        labels = torch.from_numpy(file["labels"].astype(np.int64))
        names = [str(name) for name in file["classes"]]
    alphabets = [name.split("/")[0] for name in names]
    validation, testing = (
        torch.tensor([a in some for a in alphabets]) for some in (validation_alphabets, test_alphabets)
    )
    return Alphabets(
        _subset(images, labels, names, ~(validation | testing)),
        _subset(images, labels, names, validation),
        _subset(images, labels, names, testing),
    )


def run(
    config: Config, data: Alphabets, progress: Progress = lambda iteration, loss: None, file: Path | None = None
) -> Standing:
    """Train on turned characters as further classes, stop where new alphabets gain no more; resumes from `file`."""
    begin = init_conv4(1, config.filters, torch.Generator().manual_seed(config.seed))
    sampling = Sampling((config.way, config.way_to), (config.shot, config.shot_to), config.queries)
    turned = rotated_classes(data.training)
    settings = asdict(config)
    for judging in ("test_episodes", "test_steps"):
        del settings[judging]
    return learn(
        prepared(config.algorithm, begin, config.inner_rate, config.head_rate or None),
        meta_grad_of(config.algorithm, conv4, config.inner_rate, config.inner_steps, config.head_rate or None),
        partial(_batches, turned, sampling, config),
        Schedule(config.iterations, config.outer_rate, config.check_every, config.patience),
        seed=config.seed,
        score=partial(_validate, config, _some(data.validation, config)),
        progress=progress,
        file=file,
        settings=settings,
    )


def evaluate(config: Config, params: Params, testing: Source, way: int, shot: int) -> Result:
    """Over the same test episodes for every algorithm: upright, untouched drawings."""
    generator = torch.Generator().manual_seed(1_000_003 + config.seed)
    sampling = Sampling((way, way), (shot, shot), queries=10)
    accuracies = [_accuracies(config, params, draw(testing, sampling, generator)) for _ in range(config.test_episodes)]
    both = torch.tensor(accuracies)
    return Result(way, shot, interval(both[:, 0]), interval(both[:, 1]))


def tests(source: Source) -> list[tuple[int, int]]:
    """The papers' (way, shot), as far as the source has so many classes."""
    return list(dict.fromkeys((min(way, len(source.names)), shot) for way, shot in TESTS))


def _validate(config: Config, episodes: Sequence[Episode], params: Params) -> float:
    """The mean accuracy on the same episodes each time, one drawing after the other."""
    return float(np.mean([_accuracies(config, params, episode)[1] for episode in episodes]))


def _some(source: Source, config: Config) -> list[Episode]:
    """Validation episodes of 5 and 20 classes, one and five drawings of each."""
    generator = torch.Generator().manual_seed(2_000_003 + config.seed)
    return [
        draw(source, Sampling((way, way), (shot, shot), queries=5), generator)
        for way, shot in tests(source)
        for _ in range(40 // way)
    ]


def _accuracies(config: Config, params: Params, episode: Episode) -> tuple[float, float]:
    end = adapted(
        config.algorithm, params, episode, conv4, config.inner_rate, config.test_steps, config.head_rate or None
    )
    with torch.no_grad():
        statistics = conv4_statistics(end, episode.support.inputs)
        together = predict(end, episode.query.inputs, conv4)
        alone = predict(end, episode.query.inputs, partial(conv4, statistics=statistics))
    return _share_right(together, episode.query.targets), _share_right(alone, episode.query.targets)


def _share_right(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(-1) == targets).float().mean())


def _batches(
    source: Source, sampling: Sampling, config: Config, generator: torch.Generator
) -> Iterator[Sequence[Episode]]:
    while True:
        episodes = [draw(source, sampling, generator) for _ in range(config.batch)]
        yield [_jittered(episode, config.jitter, generator) for episode in episodes]


def _jittered(episode: Episode, strength: float, generator: torch.Generator) -> Episode:
    if not strength:
        return episode
    support, query = (
        replace(part, inputs=jittered(part.inputs, strength, generator)) for part in (episode.support, episode.query)
    )
    return replace(episode, support=support, query=query)


def _subset(images: Tensor, labels: Tensor, names: Sequence[str], keep: Tensor) -> Source:
    rows, numbers = keep[labels], keep.cumsum(0) - 1
    kept = tuple(name for name, kept in zip(names, keep.tolist(), strict=True) if kept)
    return Source(images[rows], numbers[labels[rows]], kept)
