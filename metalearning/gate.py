"""Gate: how far a project's names, prototypes and heads are to be trusted, judged from its answers so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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
)
PROXIMAL = EXPERTS.index("proximal regression")
Features = Float[np.ndarray, " 10"]
Trust = Float[np.ndarray, " 4"]
"""How much each of `EXPERTS` counts, >= 0: the factor on its log-probabilities."""

UNTRAINED = np.array([0.18, 0.31, 0.0, 0.57], dtype=np.float32)
UNTRAINED_NAMELESS = np.array([0.0, 0.31, 0.0, 0.75], dtype=np.float32)


RECIPE = 5
"""Raised whenever experts, features or what a gate decides change: it is of no use to others than its own."""
HEARD = (0, 1, 3)
"""The experts whose weights a gate may change: those that the recipe trusts at all. Others need not be fitted."""
READ = (0, 2, 3, 4, 5, 6, 7, 9)
"""The features that a gate reads: shares and margins, which mean the same in a project of another kind or size."""
REACH = 0.5
"""How far a gate may move the logarithm of a weight before all are scaled back to the same sum."""


def leaning(trust: Trust, share: float) -> Trust:
    """The same trust in all, with `share` in [0, 1] of each expert's given to the proximal head."""
    leant: Trust = (1 - np.float32(share)) * trust
    leant[PROXIMAL] += np.float32(share) * trust.sum()
    return leant


@dataclass(frozen=True)
class Network:
    """Features -> factors on the fixed weights of `HEARD`.

    factor = exp(REACH tanh(W f + b)): with W = b = 0 the recipe is what it is untrained, and no project, however unlike
    those it was trained on, can be led further away than `REACH`. Several networks lie behind one another; the mean of
    their logarithms counts.
    """

    weight: Float[np.ndarray, "members 3 8"]
    bias: Float[np.ndarray, "members 3"]

    def __call__(self, features: Features) -> Float[np.ndarray, " 3"]:
        moved = np.tanh(self.weight @ features[list(READ)] + self.bias).mean(axis=0)
        return np.exp(np.float32(REACH) * moved).astype(np.float32)


@dataclass(frozen=True)
class Gate:
    """Decides the weights of the four experts; untrained (`Gate()`) they are fixed numbers."""

    network: Network | None = None

    def trust(self, features: Features) -> Trust:
        """The experts' weights. Without any name the first expert has nothing to say.

        A trained gate shifts weight from one to another and leaves their sum, so that confidences and the neighbours'
        share stay what the recipe's constants were found with.
        """
        fixed = UNTRAINED if features[-1] > 0 else UNTRAINED_NAMELESS
        if self.network is None:
            return fixed
        trust = fixed.copy()
        trust[list(HEARD)] *= self.network(features)
        return trust * np.float32(fixed.sum() / trust.sum())

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
    pool_margin: float,
) -> Features:
    """`FEATURES` of a project: `z` and `names` centred, `pool_margin` is the pool's `mean_margin`.

    Accuracies are shrunk towards guessing, so that one answer does not read as certainty. With no answers they are 0.
    """
    count, label_count = len(label_ids), len(names)
    by_names = without = with_names = seen = 0.0
    if count:
        by_names = (float(((z @ names.T).argmax(axis=1) == label_ids).sum()) + 0.5) / (count + 1)
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
            10 * pool_margin,
            by_names - without,
            min(count, 400) / 200,
            float(np.any(names != 0, axis=1).mean()),
        ],
        dtype=np.float32,
    )


def mean_margin(cosines: Float[np.ndarray, "items labels"]) -> float:
    """Mean gap between the best and the second best of each row; 0 where there are not two."""
    if cosines.shape[0] == 0 or cosines.shape[1] < 2:
        return 0.0
    best = np.partition(cosines, -2, axis=1)
    return float((best[:, -1] - best[:, -2]).mean())


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


TENSORS = {"gate.weight": (len(HEARD), len(READ)), "gate.bias": (len(HEARD),)}
"""What a trained gate is stored as, each with a leading dimension for its members."""


def _tensor(stored: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stored:
        raise ValueError(f"The gate has no tensor {name!r}; it needs {', '.join(TENSORS)}.")
    if stored[name].shape != shape:
        raise ValueError(f"The gate's tensor {name!r} has the shape {stored[name].shape} instead of {shape}.")
    return np.asarray(stored[name], dtype=np.float32)
