"""Acquisition: which items people are asked about next, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from metalearning.adapt import Adaptation
from metalearning.heads import centred
from metalearning.pool import Pool
from metalearning.predict import NO_LABEL, Prediction
from metalearning.vectors import Rows

Strategy = Literal["margin", "typical", "random"]

DUPLICATE = 0.95
"""Cosine from which the answer to one item is as good as the answer to the other."""
SKETCH = 2000
"""Items among which typical ones are sought: enough to see every corner that a few dozen questions could visit."""


@dataclass(frozen=True)
class Ask:
    """One item to ask about, and the reason to show beside it."""

    row: int
    reason: Strategy
    label_id: int
    """With "margin" the likelier of the two labels that the model hesitates between; else its suggestion, if any."""
    runner_up: int


def strategy_for(adaptation: Adaptation) -> Strategy:
    """Margin once the model has something to hesitate between; before that the typical items first.

    Names give that from the start. Without them there must be as many answers as labels, and of two kinds at least.
    """
    if adaptation.names.any():
        return "margin"
    kinds = len(np.unique(adaptation.answers.label_ids))
    return "margin" if kinds >= 2 and len(adaptation.answers) >= adaptation.label_count else "typical"


def rank(
    pool: Pool,
    prediction: Prediction,
    available: Rows,
    count: int,
    *,
    strategy: Strategy,
    answered: Rows,
    generator: np.random.Generator,
    batch: int = 10,
) -> list[Ask]:
    """Up to `count` of the `available` rows, each once, the one to ask first in front.

    - "margin": the smallest gap between the two likeliest labels first (Scheffer et al. 2001); in each batch of `batch`
      no predicted label takes more than its fair share and no item nearly repeats another, as long as others remain.
    - "typical": the items that stand for most others which neither an answered nor an already chosen one stands for
      (facility location; compare TypiClust, Hacohen et al. 2022). Where nothing is predicted "margin" means this too.
    - "random": uniformly drawn.
    """
    if np.any(np.diff(available) <= 0):  # looking is quick; sorting a million is not
        available = np.unique(available)
    if strategy == "margin" and np.all(prediction.label_id[available] == NO_LABEL):
        strategy = "typical"
    order: Callable[[], Rows] = {
        "margin": lambda: _by_margin(pool, prediction, available, count, batch),
        "typical": lambda: _typical(pool, available, count, answered, generator),
        "random": lambda: generator.permutation(available)[:count],
    }[strategy]
    return [Ask(int(row), strategy, int(prediction.label_id[row]), int(prediction.runner_up[row])) for row in order()]


def _by_margin(pool: Pool, prediction: Prediction, available: Rows, count: int, batch: int) -> Rows:
    """Batch after batch from a shortlist of the least sure: fair and new items first, then fair ones, then any."""
    shortlist = _least_sure(prediction.margin, available, 4 * count + 20 * batch)
    label_id = prediction.label_id[shortlist]
    kinds = int(np.count_nonzero(np.bincount(prediction.label_id[available] - NO_LABEL)))
    share = -(-batch // max(kinds, 1))
    x = pool.vectors(shortlist)
    remaining = list(range(len(shortlist)))
    chosen: list[int] = []
    while remaining and len(chosen) < count:
        taken = _one_batch(remaining, label_id, x, share, min(batch, count - len(chosen)))
        chosen += taken
        gone = set(taken)
        remaining = [place for place in remaining if place not in gone]
    return shortlist[chosen]


def _one_batch(
    remaining: list[int], label_id: Rows, x: Float[np.ndarray, "items dim"], share: int, size: int
) -> list[int]:
    taken: list[int] = []
    shares: Counter[int] = Counter()
    repeated: list[int] = []
    unfair: list[int] = []
    left = x[remaining]
    nearest = np.full(len(left), -1, dtype=np.float32)  # cosine to the nearest of those taken
    for number, place in enumerate(remaining):
        if len(taken) == size:
            return taken
        if nearest[number] >= DUPLICATE:
            repeated.append(place)
        elif shares[int(label_id[place])] >= share:
            unfair.append(place)
        else:
            taken.append(place)
            shares[int(label_id[place])] += 1
            nearest = np.maximum(nearest, left @ x[place])
    return (taken + unfair + repeated)[:size]


def _least_sure(margin: Float[np.ndarray, " items"], available: Rows, count: int) -> Rows:
    """The `count` available rows of smallest margin, ascending; equal margins by row."""
    if count < len(available):
        available = np.sort(available[np.argpartition(margin[available], count)[:count]])
    return available[np.argsort(margin[available], kind="stable")]


def _typical(pool: Pool, available: Rows, count: int, answered: Rows, generator: np.random.Generator) -> Rows:
    """Greedy facility location on centred cosines; what the sketch does not hold follows in random order."""
    shuffled = generator.permutation(available)
    sketch, rest = shuffled[:SKETCH], shuffled[SKETCH:]
    z = centred(pool.vectors(sketch), pool.mean)
    similarity = np.maximum(z @ z.T, 0)
    covered = np.zeros(len(sketch), dtype=np.float32)
    if len(answered):
        covered = np.maximum((z @ centred(pool.vectors(answered), pool.mean).T).max(axis=1), 0)
    chosen: list[int] = []
    left = np.ones(len(sketch), dtype=bool)
    for _ in range(min(count, len(sketch))):
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        best = int(np.argmax(np.where(left, gain, -1)))
        chosen.append(best)
        left[best] = False
        covered = np.maximum(covered, similarity[:, best])
    return np.concatenate([sketch[chosen], rest[: max(count - len(chosen), 0)]])
