"""Labelling: small labelling projects, drawn from sources, on which the recipe learns how to learn.

Each has few answers and many unlabelled items, as a real project has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from metalearning.acquisition import rank, strategy_for
from metalearning.adapt import Config as Recipe
from metalearning.adapt import adapt
from metalearning.graph import NEIGHBOURS, neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict
from metalearning.sources import TaskSource, grouped_names
from metalearning.vectors import Rows, unit


@dataclass(frozen=True)
class Sampling:
    """How tasks are drawn. Pairs are inclusive ranges, drawn log-uniformly; shares are chances in [0, 1]."""

    whole: float = 0.5
    """Tasks with all the labels of their source and all of their names, as most projects are."""
    items: tuple[int, int] = (500, 1500)
    labels: tuple[int, int] = (2, 80)
    shots: tuple[int, ...] = (0, 1, 1, 2, 2, 3, 3, 5, 5, 10, 20)
    """Answers per label, on average; one is drawn."""
    most_answers: int = 400
    imbalance: float = 0.4
    """Tasks whose labels differ in frequency (Dirichlet, concentration 2)."""
    natural: float = 0.2
    """Tasks answered in the order in which items come: some labels may have no answer yet."""
    by_margin: float = 0.5
    """Tasks answered in batches of those items that the untrained recipe is least sure of."""
    asked: tuple[int, int] = (20, 200)
    """Their answers where the task is a whole source."""
    noise: float = 0.15
    """Tasks in which up to a tenth of the answers are wrong."""
    merged: float = 0.15
    """Tasks whose labels are groups of the source's labels."""
    one_against_rest: float = 0.1
    poor_names: float = 0.15
    """Tasks whose label names say nothing of the labels."""
    some_names: float = 0.05
    """Tasks in which a part of the labels has no name."""
    no_names: float = 0.2


@dataclass(frozen=True, eq=False)
class LabellingTask:
    """A project of which everything is known: what people said so far, and what they would say of the rest."""

    source: str
    pool: Pool
    names: Float[np.ndarray, "labels dim"] | None
    label_ids: Rows
    """The truth of every item."""
    label_count: int
    rows: Rows
    """The answered items, in the order in which they were answered."""
    answers: Rows
    """What people said of them, which may be wrong."""
    manner: str
    """How the answers came about: "balanced", "natural" or "margin"."""

    @property
    def open_rows(self) -> Rows:
        """The items that nobody was asked about."""
        return np.setdiff1d(np.arange(len(self.pool)), self.rows)


def draw(sources: Sequence[TaskSource], sampling: Sampling, rng: np.random.Generator) -> LabellingTask:
    """One task, from each source as likely as from any other: what is learned must carry over to further kinds."""
    source = sources[int(rng.integers(len(sources)))]
    if rng.random() < sampling.whole:
        task = _part(source, sampling, rng)
        return replace(task, answers=_with_mistakes(task, sampling, rng))
    pool, label_ids, names = _project(source, sampling, rng)
    label_count = int(label_ids.max()) + 1
    names = _spoilt(source, names, sampling, rng)
    task = LabellingTask(source.name, pool, names, label_ids, label_count, *_nothing(), "balanced")
    wanted = min(int(rng.choice(sampling.shots)) * label_count, sampling.most_answers, len(pool) // 2)
    task = _answered(task, wanted, sampling, rng)
    return replace(task, answers=_with_mistakes(task, sampling, rng))


def _part(source: TaskSource, sampling: Sampling, rng: np.random.Generator) -> LabellingTask:
    """Some items of the source, with its labels as they are."""
    rows = np.sort(rng.permutation(len(source))[: _log_uniform(sampling.items, rng)])
    task = whole(source.part(rows))
    if rng.random() < sampling.by_margin:
        return answered_by_margin(task, min(_log_uniform(sampling.asked, rng), len(rows) // 2), rng)
    wanted = min(int(rng.choice(sampling.shots)) * task.label_count, sampling.most_answers, len(rows) // 2)
    return _answered(task, wanted, replace(sampling, by_margin=0.0), rng)


def whole(source: TaskSource) -> LabellingTask:
    """A source as one project with all its items, nothing answered yet."""
    pool = Pool(source.x, neighbour_graph(source.x, NEIGHBOURS, np.random.default_rng(0)))
    return LabellingTask(
        source.name, pool, source.names, source.label_ids, len(source.label_names), *_nothing(), "balanced"
    )


def answered_evenly(task: LabellingTask, per_label: int, rng: np.random.Generator) -> LabellingTask:
    """The task with `per_label` random answers of each label, at most half of a label's items."""
    rows: list[Rows] = []
    for label_id in range(task.label_count):
        own = rng.permutation(np.flatnonzero(task.label_ids == label_id))
        rows.append(own[: min(per_label, max(len(own) // 2, 1))])
    return _told(task, rng.permutation(np.concatenate(rows)), "balanced")


def answered_naturally(task: LabellingTask, count: int, rng: np.random.Generator) -> LabellingTask:
    """The task with `count` random items answered, labels as often as they occur."""
    return _told(task, rng.permutation(len(task.pool))[:count], "natural")


def answered_by_margin(task: LabellingTask, count: int, rng: np.random.Generator, *, batch: int = 10) -> LabellingTask:
    """The task with those items answered that the untrained recipe asks for, `batch` at a time."""
    recipe = Recipe(choose_from=10**9, iterations=15)  # no cross-validation: it would not change much of what is asked
    warm = None
    task = _told(task, np.zeros(0, dtype=np.intp), "margin")
    while len(task.rows) < count:
        warm = adapt(
            task.pool,
            task.names,
            task.rows,
            task.answers,
            task.label_count,
            generator=rng,
            config=recipe,
            warm=warm,
        )
        asks = rank(
            task.pool,
            predict(warm, task.pool),
            task.open_rows,
            min(batch, count - len(task.rows)),
            strategy=strategy_for(warm),
            answered=task.rows,
            generator=rng,
        )
        task = _told(task, np.append(task.rows, [ask.row for ask in asks]).astype(np.intp), "margin")
    return task


def _nothing() -> tuple[Rows, Rows]:
    return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)


def _told(task: LabellingTask, rows: Rows, manner: str) -> LabellingTask:
    return replace(task, rows=rows, answers=task.label_ids[rows], manner=manner)


def _project(
    source: TaskSource, sampling: Sampling, rng: np.random.Generator
) -> tuple[Pool, Rows, Float[np.ndarray, "labels dim"] | None]:
    """Some labels of a source, perhaps in groups, and some items of each: a pool, its truth and its label names."""
    present = np.flatnonzero([len(rows) >= 4 for rows in source.rows_by_label])
    count = min(_log_uniform(sampling.labels, rng), len(present))
    chosen = rng.permutation(present)[: max(count, 2)]
    group_ids = _groups(len(chosen), sampling, rng)
    wanted = _log_uniform(sampling.items, rng)
    uneven = rng.random() < sampling.imbalance
    shares = rng.dirichlet(np.full(len(chosen), 2.0)) if uneven else np.full(len(chosen), 1 / len(chosen))
    rows, label_ids = [], []
    for place, label_id in enumerate(chosen):
        own = rng.permutation(source.rows_by_label[label_id])[: max(4, int(shares[place] * wanted))]
        rows.append(own)
        label_ids.append(np.full(len(own), group_ids[place], dtype=np.intp))
    order = rng.permutation(sum(map(len, rows)))
    x = source.x[np.concatenate(rows)[order]]
    names = None
    if source.names is not None:
        names = grouped_names(source.names[chosen], group_ids, int(group_ids.max()) + 1)
    return Pool(x, neighbour_graph(x, NEIGHBOURS, rng)), np.concatenate(label_ids)[order], names


def _groups(count: int, sampling: Sampling, rng: np.random.Generator) -> Rows:
    """A group for each of the chosen labels: each its own, several merged, or one against the rest."""
    kind = rng.random()
    if count >= 4 and kind < sampling.merged:
        groups = int(rng.integers(2, count // 2 + 1))
        dealt: Rows = rng.permutation(np.arange(count) % groups)
        return dealt
    if count >= 3 and kind < sampling.merged + sampling.one_against_rest:
        return np.asarray(np.arange(count) > 0, dtype=np.intp)
    return np.arange(count)


def _spoilt(
    source: TaskSource, names: Float[np.ndarray, "labels dim"] | None, sampling: Sampling, rng: np.random.Generator
) -> Float[np.ndarray, "labels dim"] | None:
    """The names as a project may have them: good ones, ones that say nothing, only some, none."""
    kind = rng.random()
    if names is None or source.names is None or kind < sampling.no_names:
        return None
    if kind < sampling.no_names + sampling.poor_names:
        return _meaningless(source.names, len(names), rng)
    if kind < sampling.no_names + sampling.poor_names + sampling.some_names:
        return np.asarray(names * (rng.random(len(names)) < 0.6)[:, None], dtype=np.float32)
    return names


def _meaningless(
    names: Float[np.ndarray, "labels dim"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "labels dim"]:
    """Names such as "type 3": close to one another, each a little off in a direction that means nothing here."""
    common = names[rng.integers(len(names))]
    return unit(common + 0.5 * unit(rng.standard_normal((count, names.shape[1])).astype(np.float32)))


def _answered(task: LabellingTask, count: int, sampling: Sampling, rng: np.random.Generator) -> LabellingTask:
    kind = rng.random()
    if not count:
        return task
    if kind < sampling.by_margin:
        return answered_by_margin(task, count, rng, batch=max(10, count // 12))
    if kind < sampling.by_margin + sampling.natural:
        return answered_naturally(task, count, rng)
    return answered_evenly(task, max(count // task.label_count, 1), rng)


def _with_mistakes(task: LabellingTask, sampling: Sampling, rng: np.random.Generator) -> Rows:
    if rng.random() >= sampling.noise:
        return task.answers
    wrong = rng.random(len(task.answers)) < rng.uniform(0, 0.1)
    shift = rng.integers(1, max(task.label_count, 2), len(task.answers))
    return np.where(wrong, (task.answers + shift) % task.label_count, task.answers)


def _log_uniform(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    low, high = np.log(bounds[0]), np.log(bounds[1] + 1)
    return min(int(np.exp(rng.uniform(low, high))), bounds[1])
