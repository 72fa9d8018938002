"""Sinusoid regression: from K points of a sine wave to the wave (Finn, Abbeel & Levine 2017, section 5.1)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from metalearning.episodes import Episode, Examples
from metalearning.experiments import Algorithm, Interval, adapted, interval, meta_grad_of, prepared
from metalearning.networks import Params, init_mlp, losses, mlp, predict
from metalearning.training import Progress, Schedule, learn

CHECK_EVERY = 1000


@dataclass(frozen=True)
class Config:
    """The paper's network, two hidden layers of 40, and its inner rate.

    The paper takes 70,000 outer steps at Adam's 0.001, with as many query points as support points. So many steps at
    ten times the rate, falling to a hundredth of it, with 25 query points, do the same in a minute.
    """

    algorithm: Algorithm = "maml"
    shots: int = 10
    iterations: int = 10_000
    batch: int = 25
    hidden: int = 40
    inner_rate: float = 0.01
    inner_steps: int = 1
    queries: int = 25
    outer_rate: float = 0.01
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


def run(config: Config, progress: Progress = lambda iteration, loss: None, file: Path | None = None) -> Result:
    """Train and test; `progress(iteration, loss)` is called after each outer step of the three trainings.

    Each training goes on from where its own file, named after `file`, says that it was.
    """
    learned = _train(config, config.algorithm, progress, file)
    # Joint training is MAML with no inner step.
    pretrained = _train(config, "joint", progress, file)
    oracle = _train(config, "oracle", progress, file)
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


def _train(config: Config, what: Algorithm | str, progress: Progress, file: Path | None) -> Params:
    width = 3 if what == "oracle" else 1
    start = init_mlp((width, config.hidden, config.hidden), torch.Generator().manual_seed(config.seed))
    meta_learned = what not in ("joint", "oracle")
    name: Algorithm = config.algorithm if meta_learned else "maml"
    steps = config.inner_steps if meta_learned else 0
    return learn(
        prepared(name, start, config.inner_rate),
        meta_grad_of(name, mlp, config.inner_rate, steps),
        partial(_batches, config, what == "oracle"),
        Schedule(config.iterations, config.outer_rate, CHECK_EVERY),
        seed=config.seed,
        progress=progress,
        file=file and file.with_name(f"{file.stem}-{what}{file.suffix}"),
        settings=asdict(config),
    ).best


def _batches(config: Config, tell: bool, generator: torch.Generator) -> Iterator[Sequence[Episode]]:
    while True:
        waves, told = draw_waves(config.batch, config.shots, config.queries, generator)
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
