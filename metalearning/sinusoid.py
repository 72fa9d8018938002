"""Sinusoid regression: from K points of a sine wave to the wave (Finn, Abbeel & Levine 2017, section 5.1)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.experiments import Algorithm, Interval, adapted, interval, meta_grad_of, prepared
from metalearning.networks import Params, init_mlp, losses, mlp, predict
from metalearning.outer import train

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Config:
    """The paper's settings, but for `iterations` (70,000 there): two hidden layers of 40, Adam at 0.001."""

    algorithm: Algorithm = "maml"
    shots: int = 10
    iterations: int = 10_000
    batch: int = 25
    hidden: int = 40
    inner_rate: float = 0.01
    inner_steps: int = 1
    outer_rate: float = 0.001
    test_steps: int = 10
    test_episodes: int = 600
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Mean squared error on new waves after 0, 1, ..., `test_steps` inner steps: of the meta-learned start, of plain
    training on all waves at once, fine-tuned with whichever rate suits it best; and of a network that is told the wave.
    """

    learned: list[Interval]
    pretrained: list[Interval]
    oracle: Interval


def draw_waves(count: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Tensor]:
    """A stack of waves a sin(x - b): a in [0.1, 5], b in [0, pi], x in [-5, 5]; also (a, b), shape (waves, 2)."""
    uniform = torch.rand(count, 2, generator=generator)
    amplitude, phase = 0.1 + 4.9 * uniform[:, 0], math.pi * uniform[:, 1]
    inputs = 10 * torch.rand(count, shots + queries, 1, generator=generator) - 5
    targets = amplitude[:, None, None] * torch.sin(inputs - phase[:, None, None])
    episode = Episode(
        Examples(inputs[:, :shots], targets[:, :shots]),
        Examples(inputs[:, shots:], targets[:, shots:]),
        outputs=1,
        weight=torch.ones(count),
    )
    return episode, torch.stack([amplitude, phase], 1)


def run(config: Config, progress: Progress) -> Result:
    """Train and test; `progress(iteration, loss)` is called after each outer step of the three trainings."""
    learned = _train(config, config.algorithm, progress)
    # Joint training is MAML with no inner step.
    pretrained = _train(config, "joint", progress)
    oracle = _train(config, "oracle", progress)
    waves, told = _test_waves(config)
    rates = (0.001, 0.003, 0.01, 0.03)
    tuned = min(
        (_errors_by_step("maml", pretrained, waves, config, rate) for rate in rates), key=lambda c: float(c[-1].mean())
    )
    return Result(
        [interval(e) for e in _errors_by_step(config.algorithm, learned, waves, config, config.inner_rate)],
        [interval(e) for e in tuned],
        interval(_query_errors(oracle, _with_wave(waves, told))),
    )


def _train(config: Config, what: Algorithm | str, progress: Progress) -> Params:
    generator = torch.Generator().manual_seed(config.seed)
    start = init_mlp((3 if what == "oracle" else 1, config.hidden, config.hidden), generator)
    meta_learned = what not in ("joint", "oracle")
    name: Algorithm = config.algorithm if meta_learned else "maml"
    steps = config.inner_steps if meta_learned else 0
    step = meta_grad_of(name, mlp, config.inner_rate, steps)
    batches = _batches(config, generator, tell=what == "oracle")
    theta = begin = prepared(name, start, config.inner_rate)
    for iteration, loss, theta in train(begin, step, batches, config.iterations, config.outer_rate):  # noqa: B007
        progress(iteration, loss)
    return theta


def _batches(config: Config, generator: torch.Generator, *, tell: bool) -> Iterator[Sequence[Episode]]:
    while True:
        waves, told = draw_waves(config.batch, config.shots, config.shots, generator)
        yield [_with_wave(waves, told) if tell else waves]


def _test_waves(config: Config) -> tuple[Episode, Tensor]:
    """The same waves for every algorithm, and none that depends on how long was trained."""
    return draw_waves(config.test_episodes, config.shots, 100, torch.Generator().manual_seed(1_000_003 + config.seed))


def _errors_by_step(name: Algorithm, params: Params, waves: Episode, config: Config, rate: float) -> list[Tensor]:
    return [
        _query_errors(adapted(name, params, waves, mlp, rate, steps), waves) for steps in range(config.test_steps + 1)
    ]


def _query_errors(params: Params, waves: Episode) -> Tensor:
    with torch.no_grad():
        return losses(predict(params, waves.query.inputs, mlp), waves.query.targets)


def _with_wave(waves: Episode, told: Tensor) -> Episode:
    """Each input with the amplitude and the phase beside it."""

    def beside(part: Examples) -> Examples:
        wave = told.unsqueeze(1).expand(-1, part.inputs.shape[1], -1)
        return Examples(torch.cat([part.inputs, wave], -1), part.targets)

    return Episode(beside(waves.support), beside(waves.query), waves.outputs, waves.weight)
