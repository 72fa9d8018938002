"""Training: the outer loop with Adam, kept on disk as it goes, so that a killed one goes on where it was."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metalearning import checkpoint
from metalearning.episodes import Episode
from metalearning.networks import Params
from metalearning.outer import MetaGrad

Batches = Callable[[torch.Generator], Iterator[Sequence[Episode]]]
"""Endless batches of episodes; whatever is random in them comes from the generator, so that they can be taken up again.
They must hold no other state."""

Progress = Callable[[int, float], None]
BEST, THETA, FIRST, SECOND, RANDOM = "best.", "theta.", "first.", "second.", "random"
DECAY, DECAY_OF_SQUARES, EPS = 0.9, 0.999, 1e-8  # Adam's own (Kingma & Ba 2015, algorithm 1)
COOLED = 0.01  # the share of the outer rate that is left at the end


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Adam's rate falls from `outer_rate` to a hundredth of it along a half cosine.

    `check_every` iterations the score on validation episodes is taken; after `patience` checks without a better one the
    training ends. The best parameters are what it gives.
    """

    iterations: int
    outer_rate: float
    check_every: int = 200
    patience: int = 10


@dataclass(frozen=True)
class Point:
    """One point of the curve. `loss` is the mean since the last point; `score` that of validation, higher is better."""

    iteration: int
    loss: float
    score: float
    cpu_seconds: float


@dataclass
class Standing:
    """Where a training stands: everything that the next iteration depends on."""

    theta: Params
    first: Params
    second: Params
    generator: torch.Generator
    best: Params
    iteration: int = 0
    cpu_seconds: float = 0.0
    curve: list[Point] = field(default_factory=list)

    @property
    def best_score(self) -> float:
        """Of the curve; minus infinity before its first point."""
        return max((point.score for point in self.curve), default=-math.inf)


class AnotherTraining(ValueError):
    """The file holds a training with other settings, or no training."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds a training with other settings: name another file, or delete this one")


def learn(
    begin: Params,
    meta_grad: MetaGrad,
    batches: Batches,
    schedule: Schedule,
    *,
    seed: int,
    score: Callable[[Params], float] | None = None,
    progress: Progress = lambda iteration, loss: None,
    file: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> Standing:
    """Train, or go on with the training in `file` if there is one; it gives the same numbers either way.

    Without `score` the last parameters count as the best. Beside `file` lies its curve, a JSON line per check.
    Raises AnotherTraining where the file's `settings` are not these.
    """
    told = {"schedule": asdict(schedule), "seed": seed, "settings": settings or {}}
    now = _begun(begin, seed) if file is None or not file.exists() else _resumed(file, told)
    source, total, since = batches(now.generator), 0.0, now.iteration
    clock = time.process_time() - now.cpu_seconds
    while now.iteration < schedule.iterations and not _given_up(now, schedule):
        loss, grads = meta_grad(now.theta, next(source))
        _adam(now, grads, rate_at(now.iteration, schedule))
        total += float(loss)
        now.iteration += 1
        progress(now.iteration, float(loss))
        if now.iteration % schedule.check_every == 0 or now.iteration == schedule.iterations:
            now.cpu_seconds = time.process_time() - clock
            _check(now, total / (now.iteration - since), score)
            total, since = 0.0, now.iteration
            if file is not None:
                _keep(now, file, told)
    return now


def rate_at(iteration: int, schedule: Schedule) -> float:
    """Adam's rate in this iteration, 0 being the first (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    share = (1 + math.cos(math.pi * iteration / max(schedule.iterations, 1))) / 2
    return schedule.outer_rate * (COOLED + (1 - COOLED) * share)


def _adam(now: Standing, grads: Params, rate: float) -> None:
    step = now.iteration + 1
    for name, grad in grads.items():
        first, second = now.first[name], now.second[name]
        first.lerp_(grad, 1 - DECAY)
        second.mul_(DECAY_OF_SQUARES).addcmul_(grad, grad, value=1 - DECAY_OF_SQUARES)
        width = (second / (1 - DECAY_OF_SQUARES**step)).sqrt_().add_(EPS)
        now.theta[name].addcdiv_(first, width, value=-rate / (1 - DECAY**step))


def _check(now: Standing, loss: float, score: Callable[[Params], float] | None) -> None:
    found = score(now.theta) if score else float(now.iteration)
    if found > now.best_score:
        now.best = {name: value.clone() for name, value in now.theta.items()}
    now.curve.append(Point(now.iteration, loss, found, now.cpu_seconds))


def _given_up(now: Standing, schedule: Schedule) -> bool:
    scores = [point.score for point in now.curve]
    return len(scores) - 1 - scores.index(max(scores)) >= schedule.patience if scores else False


def _begun(begin: Params, seed: int) -> Standing:
    theta, first, second, best = ({k: v.detach().clone() for k, v in begin.items()} for _ in range(4))
    for moments in (first, second):
        for value in moments.values():
            value.zero_()
    return Standing(theta, first, second, torch.Generator().manual_seed(seed), best)


def _keep(now: Standing, file: Path, told: dict[str, Any]) -> None:
    tensors = {RANDOM: now.generator.get_state()}
    for prefix, params in ((THETA, now.theta), (FIRST, now.first), (SECOND, now.second), (BEST, now.best)):
        tensors |= {prefix + name: value for name, value in params.items()}
    curve = [asdict(point) for point in now.curve]
    checkpoint.save(file, tensors, {"training": told, "iteration": now.iteration, "curve": curve})
    lines = "".join(json.dumps(point) + "\n" for point in curve)
    file.with_suffix(".curve.jsonl").write_text(lines)


def _resumed(file: Path, told: dict[str, Any]) -> Standing:
    kept = checkpoint.load(file)
    if kept.card.get("training") != json.loads(json.dumps(told)):
        raise AnotherTraining(file)

    def part(prefix: str) -> Params:
        return {name.removeprefix(prefix): _own(v) for name, v in kept.params.items() if name.startswith(prefix)}

    generator = torch.Generator()
    generator.set_state(kept.params[RANDOM])
    curve = [Point(**point) for point in kept.card["curve"]]
    seconds = curve[-1].cpu_seconds
    return Standing(
        part(THETA), part(FIRST), part(SECOND), generator, part(BEST), kept.card["iteration"], seconds, curve
    )


def _own(value: Tensor) -> Tensor:
    """With a convolution's channels last, as `init_conv4` lays them: the order of sums is then the same."""
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value.clone()
