"""Gate: how far a project's names, prototypes and heads are to be trusted, judged from its answers so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from metalearning.heads import label_sums
from metalearning.vectors import Rows, unit

EXPERTS = ("names", "prototypes", "logistic regression", "proximal regression")
FEATURES = (
    "log(1 + answers per label)",
    "log(labels) / 3",
    "share of answers that the names alone get right",
    "leave-one-out accuracy of prototypes without names",
    "leave-one-out accuracy of prototypes with names",
    "share of labels with an answer",
    "10 * mean margin of the names' cosines over the pool",
    "names' accuracy less prototypes' accuracy",
    "answers / 200, at most 2",
    "share of labels with a name",
    "10 * (mean rank in the pool, by the names' margin, of the answered items - 1/2)",
    "the same in standard errors of as many random items, from -4 to 0",
)
PROXIMAL = EXPERTS.index("proximal regression")
Features = Float[np.ndarray, " 12"]
Trust = Float[np.ndarray, " 4"]
"""How much each of `EXPERTS` counts, >= 0: the factor on its log-probabilities."""

UNTRAINED = np.array([0.18, 0.31, 0.0, 0.57], dtype=np.float32)
UNTRAINED_NAMELESS = np.array([0.0, 0.31, 0.0, 0.75], dtype=np.float32)


RECIPE = 6
"""Raised whenever experts, features or what a gate decides change: it is of no use to others than its own."""
COUNT, NAMED, RANK, SCORE = 8, 9, 10, 11
"""Where some of `FEATURES` lie."""
READ = (RANK, SCORE)
"""The features that a gate reads: whether the answered items are like the pool's, or were asked because they are hard.
Shares of right answers were tried too; of few answers they are noise."""
MOST = 0.8
"""The largest share that a gate may give the proximal head."""
HALF = 20.0
"""Answers at which half of that is allowed: before the first one every project begins with the fixed weights."""


def leaning(trust: Trust, share: float) -> Trust:
    """The same trust in all, with `share` in [0, 1] of each expert's given to the proximal head."""
    leant: Trust = (1 - np.float32(share)) * trust
    leant[PROXIMAL] += np.float32(share) * trust.sum()
    return leant


def together(one: float, other: float) -> float:
    """The share that leaning by one and then by the other comes to."""
    return 1 - (1 - one) * (1 - other)


def fixed(features: Features) -> Trust:
    """The weights that every project begins with. Without any name the first expert has nothing to say."""
    return UNTRAINED if features[NAMED] > 0 else UNTRAINED_NAMELESS


@dataclass(frozen=True)
class Network:
    """Features -> the share of the trust to give to the proximal head, in [0, `MOST`].

    share = MOST * n / (n + HALF) * sigmoid(w.f + b) after n answers. The sum of the weights stays, and with it how sure
    the recipe is and what its constants were found with. Several members are averaged.
    """

    weight: Float[np.ndarray, "members 2"]
    bias: Float[np.ndarray, " members"]

    def __call__(self, features: Features) -> float:
        chosen = expit(self.weight @ features[list(READ)] + self.bias)
        return most(features) * float(chosen.mean())


def most(features: Features) -> float:
    """The largest share a gate may give after so many answers: it grows with the evidence for what it goes by."""
    answers = 200 * float(features[COUNT])
    return MOST * answers / (answers + HALF)


@dataclass(frozen=True)
class Gate:
    """Decides how far to lean on the proximal head beside the fixed weights; untrained (`Gate()`) not at all."""

    network: Network | None = None

    def share(self, features: Features) -> float:
        """The share of the other experts' trust that the proximal head gets, in [0, `MOST`]; 0 untrained."""
        return 0.0 if self.network is None else self.network(features)

    @staticmethod
    def of(tensors: Mapping[str, np.ndarray]) -> Gate:
        """A trained gate from the tensors of `TENSORS`; raises `ValueError` naming one that is missing or misshapen."""
        members = len(tensors["gate.weight"]) if "gate.weight" in tensors else 0
        return Gate(Network(*(_tensor(tensors, name, (members, *shape)) for name, shape in TENSORS.items())))


def features(
    z: Float[np.ndarray, "rows dim"],
    label_ids: Rows,
    weights: Float[np.ndarray, " rows"],
    names: Float[np.ndarray, "labels dim"],
    pool_margins: Float[np.ndarray, " items"],
) -> Features:
    """`FEATURES` of a project: `z` and `names` centred, `pool_margins` are the `margins` by the names over the pool.

    Accuracies are shrunk towards guessing, so that one answer does not read as certainty. With no answers they are 0.
    """
    count, label_count = len(label_ids), len(names)
    by_names = without = with_names = seen = rank = score = 0.0
    if count:
        cosines = z @ names.T
        by_names = (float((cosines.argmax(axis=1) == label_ids).sum()) + 0.5) / (count + 1)
        rank = _mean_rank(margins(cosines), pool_margins) - 0.5
        score = min(max(rank * (12 * count) ** 0.5, -4.0), 0.0)  # of n ranks drawn evenly, 1 / (12 n) is the variance
        without, with_names = _leave_one_out(z, label_ids, weights, names)
        seen = len(np.unique(label_ids)) / label_count
    return np.array(
        [
            np.log1p(count / label_count),
            np.log(label_count) / 3,
            by_names,
            without,
            with_names,
            seen,
            10 * float(pool_margins.mean()) if len(pool_margins) else 0.0,
            by_names - without,
            min(count, 400) / 200,
            float(np.any(names != 0, axis=1).mean()),
            10 * rank,
            score,
        ],
        dtype=np.float32,
    )


def margins(cosines: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, " items"]:
    """Gap between the best and the second best of each row; 0 where there are not two."""
    if cosines.shape[1] < 2:
        return np.zeros(len(cosines), dtype=np.float32)
    best = np.partition(cosines, -2, axis=1)
    gaps: Float[np.ndarray, " items"] = best[:, -1] - best[:, -2]
    return gaps


def _mean_rank(found: Float[np.ndarray, " rows"], pool: Float[np.ndarray, " items"]) -> float:
    """Mean share of the pool that lies below each, ties counting half, in [0, 1]; 1/2 is what random items have."""
    if not len(pool):
        return 0.5
    ordered = np.sort(pool)
    places = np.searchsorted(ordered, found, "left") + np.searchsorted(ordered, found, "right")
    return float(places.mean()) / (2 * len(pool))


def _leave_one_out(
    z: Float[np.ndarray, "rows dim"],
    label_ids: Rows,
    weights: Float[np.ndarray, " rows"],
    names: Float[np.ndarray, "labels dim"],
) -> tuple[float, float]:
    """Accuracy of prototypes without the judged answer: without names (where the label has others), and with."""
    label_count = len(names)
    sums = label_sums(z, label_ids, label_count, weights)
    others = np.bincount(label_ids, minlength=label_count)[label_ids] > 1
    accuracies = []
    for name_weight, counted in ((0.0, others), (1.0, np.ones_like(others))):
        scores = z @ unit(sums + name_weight * names).T
        own = unit(sums[label_ids] - weights[:, None] * z + name_weight * names[label_ids])
        scores[np.arange(len(z)), label_ids] = (own * z).sum(axis=1)
        right = (scores.argmax(axis=1) == label_ids)[counted]
        accuracies.append((float(right.sum()) + 1 / label_count) / (len(right) + 1))
    return accuracies[0], accuracies[1]


TENSORS: dict[str, tuple[int, ...]] = {"gate.weight": (len(READ),), "gate.bias": ()}
"""What a trained gate is stored as, each with a leading dimension for its members."""


def _tensor(stored: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stored:
        raise ValueError(f"The gate has no tensor {name!r}; it needs {', '.join(TENSORS)}.")
    if stored[name].shape != shape:
        raise ValueError(f"The gate's tensor {name!r} has the shape {stored[name].shape} instead of {shape}.")
    return np.asarray(stored[name], dtype=np.float32)
