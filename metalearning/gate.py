"""Gate: how far a project's names, prototypes and heads are to be trusted, judged from its answers so far."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

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
)
Features = Float[np.ndarray, " 9"]
Trust = Float[np.ndarray, " 4"]
"""How much each of `EXPERTS` counts, >= 0: the factor on its log-probabilities."""

UNTRAINED = np.array([0.18, 0.31, 0.0, 0.57], dtype=np.float32)
UNTRAINED_NAMELESS = np.array([0.0, 0.31, 0.0, 0.75], dtype=np.float32)


@dataclass(frozen=True)
class Network:
    """9 features -> tanh 16 -> softplus 4; the shapes are those of two `torch.nn.Linear` layers."""

    hidden_weight: Float[np.ndarray, "16 9"]
    hidden_bias: Float[np.ndarray, " 16"]
    output_weight: Float[np.ndarray, "4 16"]
    output_bias: Float[np.ndarray, " 4"]

    def __call__(self, features: Features) -> Trust:
        hidden = np.tanh(self.hidden_weight @ features + self.hidden_bias)
        return np.logaddexp(0, self.output_weight @ hidden + self.output_bias).astype(np.float32)


@dataclass(frozen=True)
class Gate:
    """Decides the weights of the four experts; untrained (`Gate()`) it gives fixed ones."""

    network: Network | None = None

    def trust(self, features: Features, *, has_names: bool) -> Trust:
        """The experts' weights. Without names the first expert has nothing to say, and a gate trained on projects with
        names would be asked something that it has never seen, so there the fixed weights serve."""
        if not has_names:
            return UNTRAINED_NAMELESS
        return UNTRAINED if self.network is None else self.network(features)

    @staticmethod
    def load(path: str | PathLike[str]) -> Gate:
        """A trained gate from safetensors with `hidden.weight`, `hidden.bias`, `output.weight` and `output.bias`.

        Raises `ValueError` naming the tensor if one is missing or has another shape.
        """
        stored = load_file(path)
        return Gate(Network(*(_tensor(stored, name, shape) for name, shape in _SHAPES.items())))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a trained gate so that `Gate.load` reads it again; an untrained one has nothing to write."""
        if self.network is None:
            raise ValueError("An untrained gate has no weights to save.")
        tensors = (
            self.network.hidden_weight,
            self.network.hidden_bias,
            self.network.output_weight,
            self.network.output_bias,
        )
        named = zip(_SHAPES, tensors, strict=True)
        save_file({name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in named}, path)


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


_SHAPES = {"hidden.weight": (16, 9), "hidden.bias": (16,), "output.weight": (4, 16), "output.bias": (4,)}


def _tensor(stored: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stored:
        raise ValueError(f"The gate's file has no tensor {name!r}; it needs {', '.join(_SHAPES)}.")
    if stored[name].shape != shape:
        raise ValueError(f"The gate's tensor {name!r} has the shape {stored[name].shape} instead of {shape}.")
    return np.asarray(stored[name], dtype=np.float32)
