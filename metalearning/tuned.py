"""Tuned: encoders that learn from a project's answers, one from all of them and one without each part of them.

Answers are asked where the recipe is unsure, so that they lie between the labels; what it is sure of says where the
labels are, so an encoder learns from both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from metalearning.adapt import Adaptation, adapt
from metalearning.graph import EXACT_LIMIT, NEIGHBOURS, neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import Prediction, predict
from metalearning.tuning import Lesson, Network, Params, States, embed, tune
from metalearning.vectors import Rows

AROUND = 1_000
"""Unanswered items that stand for the pool while an encoder learns and is judged."""
SURE = 0.8
"""Confidence from which an item's likeliest label serves as its answer while an encoder learns."""
EACH = 1.0
"""Such items of a label for each answer that the labels have on average..."""
GUESSES = (2, 10)
"""...and at least and at most."""
ANSWERS_A_STEP = 5
"""More answers bear more steps..."""
STEPS = (10, 20)
"""...at least and at most where they were asked for being hard: followed far, such answers lead astray..."""
MOST_STEPS = 40
"""...and at most where they stand for the pool."""


def name_vectors(
    network: Network, params: Params, names: Sequence[States | None], dimension: int
) -> Float[np.ndarray, "labels dim"]:
    """The names' tuned vectors in column order, a zero row for a label without a name."""
    found = np.zeros((len(names), dimension), dtype=np.float32)
    given = {place: name for place, name in enumerate(names) if name is not None}
    if given:
        found[list(given)] = embed(network, params, list(given.values()))
    return found


@dataclass(frozen=True, eq=False)
class Ground:
    """Items that stand for a pool: those of a lesson's answers first, in its order, then others that have none."""

    states: Sequence[States]
    vectors: Float[np.ndarray, "items dim"]
    """As the encoder sees them that has learned nothing yet; so too `names`, a zero row for a label without one."""
    names: Float[np.ndarray, "labels dim"]


def around(rows: Rows, count: int) -> Rows:
    """Unanswered items that stand for a pool of `count` items, ascending; `rows` are those that have answers."""
    free = np.setdiff1d(np.arange(count), rows)
    return free[np.unique(np.linspace(0, len(free) - 1, min(len(free), AROUND)).astype(np.intp))]


@dataclass(frozen=True, eq=False)
class Learners:
    """Encoders that learned from a lesson: the first from all of it, the others each without one part."""

    weights: Sequence[Params]
    part: Int[np.ndarray, " answers"]
    """Which of the others, counted from 0, has missed each answer."""


def learners(
    network: Network,
    start: Params,
    lesson: Lesson,
    ground: Ground,
    generator: np.random.Generator,
    tell: Callable[[], object] = lambda: None,
    *,
    apart: bool = True,
) -> Learners:
    """One encoder from the whole lesson, and one more for each of `lesson.config.folds` parts, which it has not seen.

    Each is tuned anew from `start`. `tell` is called before each, and may raise to stop. Without `apart` there is the
    first alone, the same as with the others.
    """
    part = generator.permutation(len(lesson)) % lesson.config.folds
    found = []
    for number, own in enumerate(generator.spawn(1 + lesson.config.folds * apart), start=-1):
        tell()  # and generators are apart, or an answer would sway the next part's draw
        found.append(learn(network, start, lesson, np.flatnonzero(part != number), ground, own))
    return Learners(found, part)


def learn(
    network: Network, start: Params, lesson: Lesson, which: Rows, ground: Ground, generator: np.random.Generator
) -> dict[str, Tensor]:
    """The weights after the lesson's answers at the places `which`, and after items that hardly need one.

    These are items whose labels the recipe is sure of (self-training, Yarowsky 1995).
    """
    label_ids = lesson.label_ids[which]
    frozen, told = published(ground, which, label_ids, generator)
    places, guessed = sure(frozen, told, generator)
    states = [ground.states[place] for place in (*which, *places)]
    config = replace(lesson.config, steps=steps_after(frozen))
    both = Lesson(states, np.concatenate([label_ids, guessed]), lesson.names, config)
    return tune(network, start, both, generator)


def steps_after(frozen: Adaptation) -> int:
    """How many steps to learn for: the more, the more answers there are and the better they stand for the pool."""
    worth = frozen.evidence.size if frozen.evidence is not None else 0.0
    asked = np.clip(len(frozen.answers) // ANSWERS_A_STEP, *STEPS)
    return int(max(asked, min(worth // ANSWERS_A_STEP, MOST_STEPS)))


def published(
    ground: Ground, rows: Rows, label_ids: Int[np.ndarray, " rows"], generator: np.random.Generator
) -> tuple[Adaptation, Prediction]:
    """The recipe on published vectors after these answers, and what it says of the ground.

    Neighbours are asked in pools of up to 20,000 items, where they are found exactly.
    """
    near = 1 < len(ground.vectors) <= EXACT_LIMIT
    pool = Pool(ground.vectors, neighbour_graph(ground.vectors, NEIGHBOURS, generator) if near else None)
    adaptation = adapt(pool, ground.names, rows, label_ids, len(ground.names), generator=generator)
    return adaptation, predict(adaptation, pool)


def sure(
    frozen: Adaptation, told: Prediction, generator: np.random.Generator
) -> tuple[Rows, Int[np.ndarray, " items"]]:
    """Unanswered items of whose label the recipe is sure, and the labels: of each label about as many.

    Any of those, not the surest: these would all be alike.
    """
    each = int(np.clip(EACH * len(frozen.answers) / frozen.label_count, *GUESSES))
    candidates = np.setdiff1d(np.flatnonzero(told.confidence >= SURE), frozen.answers.rows)
    candidates = generator.permutation(candidates)
    chosen = [candidates[told.label_id[candidates] == label][:each] for label in range(frozen.label_count)]
    places = np.concatenate(chosen)
    return places, told.label_id[places].astype(np.intp)
