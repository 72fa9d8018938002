"""Omniglot: to tell characters of alphabets never seen, from one or five drawings of each (Lake et al. 2015)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metalearning.episodes import Episode, Sampling, Source, draw, rotated_classes
from metalearning.experiments import Algorithm, Interval, adapted, interval, meta_grad_of, prepared
from metalearning.networks import Params, conv4, conv4_statistics, init_conv4, predict
from metalearning.outer import train

Progress = Callable[[int, float], None]
TEST_ALPHABETS = ("Japanese_(katakana)", "Sanskrit", "Tagalog")


@dataclass(frozen=True)
class Config:
    """Sizes of the papers; `iterations` and `batch` are what one CPU does in minutes."""

    algorithm: Algorithm = "protonet"
    way: int = 5
    shot: int = 1
    iterations: int = 300
    batch: int = 4
    train_queries: int = 5
    filters: int = 64
    inner_rate: float = 0.4
    inner_steps: int = 1
    test_steps: int = 3
    outer_rate: float = 0.003
    test_episodes: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Accuracy on new characters: with the query set's own statistics in the batch norm, and with the support set's.

    The first looks at the whole query set at once ("transductive"), as MAML's and Reptile's papers do; the second is
    what a single new drawing would get.
    """

    transductive: Interval
    inductive: Interval


def load(path: Path, test_alphabets: Sequence[str] = TEST_ALPHABETS) -> tuple[Source, Source]:
    """(training, test) characters, split by alphabet, so that no test character has a sister in the training set.

    The file: images uint8 (n, 28, 28) with ink 255, labels (n,), classes "Alphabet/characterNN".
    """
    with np.load(path, allow_pickle=False) as file:
        images = torch.from_numpy(file["images"]).float().unsqueeze(1) / 255  # (n, 1, 28, 28)
        labels = torch.from_numpy(file["labels"].astype(np.int64))
        names = [str(name) for name in file["classes"]]
    held_out = torch.tensor([name.split("/")[0] in test_alphabets for name in names])
    return _subset(images, labels, names, ~held_out), _subset(images, labels, names, held_out)


def run(config: Config, training: Source, testing: Source, progress: Progress) -> tuple[Params, Result]:
    """Train on turned characters as further classes, test on upright ones of other alphabets."""
    generator = torch.Generator().manual_seed(config.seed)
    begin = prepared(config.algorithm, init_conv4(1, config.filters, generator, config.way), config.inner_rate)
    step = meta_grad_of(config.algorithm, conv4, config.inner_rate, config.inner_steps)
    batches = _batches(rotated_classes(training), config, generator)
    theta = begin
    for iteration, loss, theta in train(begin, step, batches, config.iterations, config.outer_rate):  # noqa: B007
        progress(iteration, loss)
    return theta, evaluate(config, theta, testing)


def evaluate(config: Config, params: Params, testing: Source) -> Result:
    """Over the same test episodes for every algorithm."""
    generator = torch.Generator().manual_seed(1_000_003 + config.seed)
    sampling = Sampling((config.way,) * 2, (config.shot,) * 2, queries=20 - config.shot if config.shot < 6 else 10)
    accuracies = [_accuracies(config, params, draw(testing, sampling, generator)) for _ in range(config.test_episodes)]
    both = torch.tensor(accuracies)
    return Result(interval(both[:, 0]), interval(both[:, 1]))


def _accuracies(config: Config, params: Params, episode: Episode) -> tuple[float, float]:
    end = adapted(config.algorithm, params, episode, conv4, config.inner_rate, config.test_steps)
    with torch.no_grad():
        statistics = conv4_statistics(end, episode.support.inputs)
        together = predict(end, episode.query.inputs, conv4)
        alone = predict(end, episode.query.inputs, partial(conv4, statistics=statistics))
    return _share_right(together, episode.query.targets), _share_right(alone, episode.query.targets)


def _share_right(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(-1) == targets).float().mean())


def _batches(source: Source, config: Config, generator: torch.Generator) -> Iterator[Sequence[Episode]]:
    sampling = Sampling((config.way,) * 2, (config.shot,) * 2, config.train_queries)
    while True:
        yield [draw(source, sampling, generator) for _ in range(config.batch)]


def _subset(images: Tensor, labels: Tensor, names: Sequence[str], keep: Tensor) -> Source:
    rows, numbers = keep[labels], keep.cumsum(0) - 1
    kept = tuple(name for name, kept in zip(names, keep.tolist(), strict=True) if kept)
    return Source(images[rows], numbers[labels[rows]], kept)
