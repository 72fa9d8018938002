"""Heads: the small classifiers on frozen embeddings whose opinions an adaptation weighs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from metalearning.vectors import Rows, softmax, unit

Weights = Float[np.ndarray, "labels dim_and_bias"]
"""A linear head: one row per label, the bias in the last column."""


NEAREST = 1e-3
"""Items closer to the mean than this are at the mean: what is left of them is rounding, not meaning."""


def centred(x: Float[np.ndarray, "items dim"], mean: Float[np.ndarray, " dim"]) -> Float[np.ndarray, "items dim"]:
    """`norm(x - pool mean)`: what is left of an embedding once what all items share is taken away."""
    apart = np.asarray(x, dtype=np.float32) - mean
    return apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), NEAREST)


def name_vectors(
    names: Float[np.ndarray, "labels dim"], mean: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, "labels dim"]:
    """Embedded label names, centred so that they compare with centred items; a zero row is a label without a name.

    Names are centred on their own mean, since short names share a direction that texts do not have. With one or
    two names that mean would make them opposites of each other or nothing at all, so there the pool's mean serves.
    """
    named = np.any(names != 0, axis=1)
    centre = np.asarray(names)[named].mean(axis=0) if named.sum() > 2 else mean
    return unit(names - centre) * named[:, None]


def names_to_text(
    z: Float[np.ndarray, "items dim"],
    names: Float[np.ndarray, "labels dim"],
    *,
    share: float = 0.25,
    sharpness: float = 20.0,
) -> Float[np.ndarray, "labels dim"]:
    """Each name moved half-way to the texts that it claims most surely, because a name is not worded like an item.

    `z` and `names` are centred. For each label the `share * items / labels` surest items are summed, weighted by
    their probability `softmax(sharpness * z.n)`, and that direction is added to the name's.
    """
    named = np.flatnonzero(np.any(names != 0, axis=1))
    if not len(z) or not len(named):
        return names
    claims = softmax(sharpness * z @ names[named].T)
    taken = min(len(z), max(3, int(share * len(z) / len(named))))
    moved = np.array(names, dtype=np.float32)
    for column, label_id in enumerate(named):
        surest = np.argpartition(-claims[:, column], taken - 1)[:taken]
        moved[label_id] += unit(claims[surest, column] @ z[surest])
    return unit(moved)


def label_sums(
    z: Float[np.ndarray, "rows dim"], label_ids: Rows, label_count: int, weights: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "labels dim"]:
    """The weighted sum of each label's answered items; zero for a label nobody has given."""
    sums = np.zeros((label_count, z.shape[1]), dtype=np.float32)
    np.add.at(sums, label_ids, z * weights[:, None])
    return sums


def prototypes(
    sums: Float[np.ndarray, "labels dim"], names: Float[np.ndarray, "labels dim"], name_weight: float = 1.0
) -> Float[np.ndarray, "labels dim"]:
    """Class prototypes (Snell et al. 2017, eq. 1) in which a name counts as `name_weight` answers."""
    return unit(name_weight * names + sums)


def fit_linear(
    x: Float[np.ndarray, "rows dim"],
    label_ids: Rows,
    weights: Float[np.ndarray, " rows"],
    prior: Weights,
    *,
    strength: float = 3.0,
    iterations: int = 40,
    warm: Weights | None = None,
    bias_penalty: float = 0.1,
) -> Weights:
    """`argmin_W sum_i w_i CE(W x_i, y_i) + |W - prior|^2 / (2 strength)`, the bias's part of it times `bias_penalty`.

    With a zero prior this is multinomial logistic regression at scikit-learn's `C = strength`; with prototypes as the
    prior it is ProtoMAML (Triantafillou et al. 2020) run to convergence. `warm` changes where the search starts, never
    what it minimises.
    """
    if not len(label_ids):
        return np.array(prior, dtype=np.float32)
    inputs = with_bias(x)
    answered = np.arange(len(label_ids))
    penalty = np.full(prior.shape[1], 1 / strength, dtype=np.float32)
    penalty[-1] *= np.float32(bias_penalty)

    def loss_and_gradient(
        flat: Float[np.ndarray, " parameters"],
    ) -> tuple[float, Float[np.ndarray, " parameters"]]:
        head = flat.reshape(prior.shape).astype(np.float32)
        logits = inputs @ head.T
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[answered, label_ids].copy()
        np.exp(logits, out=logits)
        totals = logits.sum(axis=1)
        cross_entropy = weights @ (np.log(totals) - chosen)
        residual = logits / totals[:, None]
        residual[answered, label_ids] -= 1
        pull = (head - prior) * penalty
        gradient = (residual * weights[:, None]).T @ inputs + pull
        return float(cross_entropy + 0.5 * np.vdot(pull, head - prior)), gradient.astype(np.float64).ravel()

    start = prior if warm is None else warm
    found = minimize(
        loss_and_gradient,
        start.astype(np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 5},
    )
    return np.asarray(found.x.reshape(prior.shape), dtype=np.float32)


def without_bias(weights: Float[np.ndarray, "labels dim"]) -> Weights:
    """A bias-free head in the form the other heads have."""
    return np.hstack([weights, np.zeros((len(weights), 1), dtype=np.float32)])


def with_bias(x: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim_and_bias"]:
    """Inputs with the constant one that a head's last column multiplies."""
    return np.hstack([np.asarray(x, dtype=np.float32), np.ones((len(x), 1), dtype=np.float32)])


def linear(x: Float[np.ndarray, "items dim"], head: Weights) -> Float[np.ndarray, "items labels"]:
    """The head's logits."""
    return np.asarray(x @ head[:, :-1].T + head[:, -1], dtype=np.float32)
