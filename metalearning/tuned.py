"""Tuned: the whole recipe once more, on vectors of an encoder whose top layers learned from the answers.

Names, prototypes, the crowd of unlabelled items and the neighbours all mean more where the encoder has learned what the
answers tell apart: on tuned vectors the recipe gained two to five times what one more head on them did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metalearning.adapt import Adaptation, adapt
from metalearning.experts import silent_labels
from metalearning.graph import EXACT_LIMIT, NEIGHBOURS, neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import Prediction, predict, top
from metalearning.tuning import Lesson, Network, Params, States, embed, tune
from metalearning.vectors import Rows, log_softmax

FLOOR = 1e-6
"""Share below which a label's is not told apart from nothing: no voice may rule a label out for good."""
AROUND = 1_000
"""Unanswered items that stand for the pool while an encoder learns and is judged."""
SURE = 0.8
"""Confidence from which an item's likeliest label serves as its answer while an encoder learns."""
EACH = 3.0
"""Such items of a label for each answer that the labels have on average..."""
GUESSES = (4, 20)
"""...and at least and at most."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """The recipe on tuned vectors. Called with rows it says the log-probabilities of their labels.

    A label with neither name nor answers gets what the others get on average, weighed by how likely they are held: no
    opinion on it, for it may get its first answers before the encoder learns again.
    """

    adaptation: Adaptation
    pool: Pool
    prediction: Prediction
    silent: Bool[np.ndarray, " labels"]

    def __call__(self, rows: Rows) -> Float[np.ndarray, "rows labels"]:
        count = self.adaptation.label_count
        columns, shares = top(self.adaptation, self.pool, rows, self.prediction, k=count)
        said = np.empty((len(rows), count), dtype=np.float32)
        np.put_along_axis(said, columns.astype(np.intp), np.log(np.maximum(shares, FLOOR)), axis=1)
        if self.silent.any():
            known = log_softmax(said[:, ~self.silent])
            said[:, ~self.silent] = known
            said[:, self.silent] = np.log((np.exp(known) ** 2).sum(axis=1, keepdims=True))
        return log_softmax(said)


def recipe(
    vectors: Float[np.ndarray, "items dim"],
    names: Float[np.ndarray, "labels dim"],
    rows: Rows,
    label_ids: Int[np.ndarray, " rows"],
    generator: np.random.Generator,
) -> Recipe:
    """The recipe after these answers to the items at `rows`; a zero row of `names` is a label without one.

    Neighbours are asked in pools of up to 20,000 items, where they are found exactly.
    """
    near = 1 < len(vectors) <= EXACT_LIMIT
    pool = Pool(vectors, neighbour_graph(vectors, NEIGHBOURS, generator) if near else None)
    adaptation = adapt(pool, names, rows, label_ids, len(names), generator=generator)
    silent = silent_labels(adaptation.answers, adaptation.names)
    return Recipe(adaptation, pool, predict(adaptation, pool), silent)


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


def learn(
    network: Network, start: Params, lesson: Lesson, which: Rows, ground: Ground, generator: np.random.Generator
) -> dict[str, Tensor]:
    """The weights after the lesson's answers at the places `which`, and after items that hardly need one.

    Answers are asked where the recipe is unsure, so that they lie between the labels; items that it is sure of say
    where the labels are (self-training, Yarowsky 1995).
    """
    label_ids = lesson.label_ids[which]
    places, guessed = sure(recipe(ground.vectors, ground.names, which, label_ids, generator), generator)
    states = [ground.states[place] for place in (*which, *places)]
    both = Lesson(states, np.concatenate([label_ids, guessed]), lesson.names, lesson.config)
    return tune(network, start, both, generator)


def sure(frozen: Recipe, generator: np.random.Generator) -> tuple[Rows, Int[np.ndarray, " items"]]:
    """Unanswered items of whose label a recipe is sure, and the labels: of each label about as many.

    Any of those, not the surest: these would all be alike.
    """
    answers, told = frozen.adaptation.answers, frozen.prediction
    each = int(np.clip(EACH * len(answers) / frozen.adaptation.label_count, *GUESSES))
    candidates = np.setdiff1d(np.flatnonzero(told.confidence >= SURE), answers.rows)
    candidates = generator.permutation(candidates)
    chosen = [candidates[told.label_id[candidates] == label][:each] for label in range(frozen.adaptation.label_count)]
    places = np.concatenate(chosen)
    return places, told.label_id[places].astype(np.intp)


def held_out(
    network: Network,
    start: Params,
    lesson: Lesson,
    ground: Ground,
    generator: np.random.Generator,
    tell: Callable[[], object] = lambda: None,
) -> Float[np.ndarray, "answers labels"]:
    """For each answer the log-probabilities of an encoder and a recipe that have not seen it.

    Every fold is tuned anew from `start`: fitting the recipe alone anew would not do, for the layers below would have
    seen the answer. `tell` is called before each fold, and may raise to stop.
    """
    fold = generator.permutation(len(lesson)) % lesson.config.folds
    said = np.zeros((len(lesson), lesson.label_count), dtype=np.float32)
    for number, own in enumerate(generator.spawn(lesson.config.folds)):  # or an answer would sway the next fold's draw
        tell()
        inside, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if not len(inside) or not len(rest):
            continue
        params = learn(network, start, lesson, rest, ground, own)
        vectors = embed(network, params, ground.states)
        names = name_vectors(network, params, lesson.names, vectors.shape[1])
        said[inside] = recipe(vectors, names, rest, lesson.label_ids[rest], own)(inside)
    return said
