"""Trial: is a checkpoint trained on further projects better than the one in use? Only then is it taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from metalearning.checkpoint import Checkpoint
from metalearning.comparison import Difference, over_groups
from metalearning.labelling import Sampling
from metalearning.metatrain import Config, evaluate, metatrain
from metalearning.sources import FEWEST, TaskSource, without

NEEDED = 4
"""Items of a label without which no task can be drawn from it."""
Progress = Callable[[int, int], None]
"""Called with how many of the steps are done, and how many there are."""


class TooFewProjects(ValueError):
    """There are not enough projects to keep one out."""


@dataclass(frozen=True)
class Plan:
    """What decides a trial beside the projects."""

    training: Config = field(default_factory=lambda: Config(sampling=Sampling(items=(200, 1000))))
    shots: tuple[int, ...] = (1, 2, 3, 5, 10)
    by_margin: tuple[int, ...] = (50,)
    draws: int = 4


@dataclass(frozen=True)
class KeptOut:
    """How one project did that was kept out: paired accuracies in [0, 1] over the same draws."""

    name: str
    before: Float[np.ndarray, " draws"]
    after: Float[np.ndarray, " draws"]

    @property
    def gains(self) -> Float[np.ndarray, " draws"]:
        """What the new one gained in each draw."""
        return self.after - self.before


@dataclass(frozen=True)
class Verdict:
    """The new checkpoint, trained on all projects, and the evidence from those that were kept out in turn."""

    checkpoint: Checkpoint
    kept_out: tuple[KeptOut, ...]
    gain: Difference
    """Mean gain over the projects kept out, with its 95 % interval over projects and draws."""

    @property
    def better(self) -> bool:
        """The rule: the whole interval lies above 0."""
        return self.gain.low > 0


def usable(source: TaskSource) -> bool:
    """Whether both a training and a validation part of the source can give tasks."""
    return all(sum(len(rows) >= NEEDED for rows in part.rows_by_label) >= 2 for part in halves(source))


def halves(source: TaskSource) -> tuple[TaskSource, TaskSource]:
    """Three quarters to train on, a quarter to stop early by; equal items fall on the same side in all sources."""
    aside = np.array([int(str(key)[:8], 16) % 4 == 0 for key in source.fingerprints], dtype=bool)
    return source.part(np.flatnonzero(~aside)), source.part(np.flatnonzero(aside))


def run(
    sources: Sequence[TaskSource],
    current: Checkpoint | None,
    plan: Plan,
    folder: Path,
    *,
    name: str = "gate",
    progress: Progress | None = None,
) -> Verdict:
    """Go on from `current` (None: the untrained recipe) on all sources; judge by keeping out one after the other.

    Each source is judged by a training that saw none of its items, also none that another source has as well, against
    what the product would use for its encoder today. `folder` keeps what is done: a trial that was killed goes on.

    Raises TooFewProjects where fewer than two sources are usable.
    """
    chosen = [source for source in sources if usable(source)]
    if len(chosen) < FEWEST:
        raise TooFewProjects(
            f"{len(chosen)} of {len(sources)} projects can be learned from; at least {FEWEST} are needed."
        )
    tell = progress or (lambda done, total: None)
    kept_out = []
    for place, source in enumerate(chosen):
        tell(place, len(chosen) + 1)
        others = [without(one, [source]) for one in chosen if one is not source]
        rest = [one for one in others if usable(one)]  # of copies nothing is left
        trained = _train(rest, current, plan, folder, f"without-{place}", name) if rest else current
        fitting = current if current is not None and current.fits(source.encoder) else None
        before, after = _accuracies(fitting, source, plan), _accuracies(trained, source, plan)
        kept_out.append(KeptOut(source.name, before, after))
    tell(len(chosen), len(chosen) + 1)
    checkpoint = _train(chosen, current, plan, folder, "all", name)
    gain = over_groups([one.gains for one in kept_out], np.random.default_rng(plan.training.seed))
    return Verdict(checkpoint, tuple(kept_out), gain)


def _train(
    sources: Sequence[TaskSource], current: Checkpoint | None, plan: Plan, folder: Path, part: str, name: str
) -> Checkpoint:
    parts = [halves(source) for source in sources]
    serves = sorted({*(current.card.get("serves", ()) if current else ()), *(source.encoder for source in sources)})
    training, validation = ([part[side] for part in parts] for side in (0, 1))
    tasks = folder / "tasks"  # shared by the trainings: a source's tasks are the same in all of them
    tasks.mkdir(parents=True, exist_ok=True)
    return metatrain(
        training, validation, plan.training, current, folder / part, name=name, serves=serves, records=tasks
    )


def _accuracies(checkpoint: Checkpoint | None, source: TaskSource, plan: Plan) -> Float[np.ndarray, " draws"]:
    """One accuracy for each draw, the mean over all ways of answering; equal plans give the same tasks."""
    results = evaluate(
        checkpoint,
        source,
        shots=plan.shots,
        by_margin=plan.by_margin,
        draws=plan.draws,
        seed=plan.training.seed,
    )
    draws = sorted({result.draw for result in results})
    return np.array([np.mean([result.accuracy for result in results if result.draw == draw]) for draw in draws])
