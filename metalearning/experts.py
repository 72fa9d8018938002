"""Experts: four heads fitted to the same answers, and the single linear head that a weighing of them amounts to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from metalearning.gate import Trust
from metalearning.graph import smooth, votes
from metalearning.heads import NEAREST, Weights, centred, fit_linear, label_sums, linear, prototypes, without_bias
from metalearning.pool import Crowd
from metalearning.vectors import Rows, log_softmax, softmax, unit

SCALE = 10.0
"""Logits per unit of cosine."""
UNSEEN = -4.0
"""What logistic regression says of a label without answers: it has no reason to speak of it, nor to exclude it."""
PROXIMAL_BIAS = 1.0
"""Penalty of the proximal head's bias, as a multiple of its weights'. A freer one takes ten answers for the shares of
all labels: what nobody has given yet is then held for rare, and the head falls by up to eight points at first."""
SILENT = -12.0
"""The logit of a label with neither name nor answers: no evidence at all, so it must not win over a weak dislike."""
CROWD_COUNTS = 6.0
"""Answers that all unlabelled items of a label count for together, at most."""
CROWD_ROUNDS = 2
CROWD_SHARPNESS = 2.0
"""How much surer than an expert the prototypes are when they share out the unlabelled items."""
CROWD_SMOOTHING = 2.0
CROWD_STEPS = 3


@dataclass(frozen=True)
class Answers:
    """What people said: parallel arrays. A row may occur several times (several people), with any positive weight."""

    rows: Rows
    label_ids: Rows
    weights: Float[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Rows) -> Answers:
        return Answers(self.rows[which], self.label_ids[which], self.weights[which])


@dataclass(frozen=True)
class Experts:
    """The four heads, each a row per label: names, prototypes and proximal on centred items, logistic on plain ones."""

    mean: Float[np.ndarray, " dim"]
    names: Weights
    prototypes: Weights
    logistic: Weights
    proximal: Weights

    def logits(self, x: Float[np.ndarray, "items dim"]) -> Float[np.ndarray, "4 items labels"]:
        """Each expert's log-probabilities, in the order of `gate.EXPERTS`: what a gate is trained on."""
        z = centred(x, self.mean)
        heads = ((z, self.names), (z, self.prototypes), (x, self.logistic), (z, self.proximal))
        return np.stack([log_softmax(linear(inputs, head)) for inputs, head in heads])


@dataclass(frozen=True)
class Head:
    """Two linear heads whose logits are added: one on centred items, one (often nothing) on plain ones.

    A sum of weighted log-probabilities differs from the sum of weighted logits only by a number per item, which softmax
    ignores; so four experts cost one matrix product over the pool.
    """

    mean: Float[np.ndarray, " dim"]
    on_centred: Weights
    on_plain: Weights | None

    def logits(self, x: Float[np.ndarray, "items dim"]) -> Float[np.ndarray, "items labels"]:
        """Logits of float32 embeddings, without ever writing the centred ones down."""
        weights, bias = self.on_centred[:, :-1], self.on_centred[:, -1]
        squared = np.einsum("id,id->i", x, x) - 2 * (x @ self.mean) + self.mean @ self.mean
        total = x @ weights.T
        total -= weights @ self.mean
        total /= np.sqrt(np.maximum(squared, NEAREST**2))[:, None]
        total += bias
        return total if self.on_plain is None else total + linear(x, self.on_plain)


def fit_experts(
    x: Float[np.ndarray, "rows dim"],
    answers: Answers,
    names: Float[np.ndarray, "labels dim"],
    mean: Float[np.ndarray, " dim"],
    *,
    iterations: int,
    strength: float = 3.0,
    logistic_too: bool = True,
    warm: Experts | None = None,
    crowd: Crowd | None = None,
) -> Experts:
    """All four fitted to the answers, whose embeddings are `x`; `names` are centred, zero rows for labels without one.

    Logistic regression is left at zero unless `logistic_too`: it is the one that may be given no trust at all. With a
    `crowd` prototypes lean on unlabelled items too, and with them the proximal head.
    """
    z = centred(x, mean)
    label_count = len(names)
    sums = label_sums(z, answers.label_ids, label_count, answers.weights)
    centres = prototypes(sums, names)
    if crowd is not None:
        centres = with_crowd(centres, answers, silent_labels(answers, names), crowd)
    by_prototype = without_bias(SCALE * centres)
    logistic = np.zeros_like(by_prototype)
    if logistic_too and len(answers):
        start = None if warm is None else warm.logistic.copy()
        if start is not None:
            start[start[:, -1] == UNSEEN] = 0
        logistic = fit_linear(
            x,
            answers.label_ids,
            answers.weights,
            logistic,
            strength=strength,
            iterations=iterations,
            warm=start,
        )
        unseen = np.bincount(answers.label_ids, minlength=label_count) == 0
        logistic[unseen, -1] += UNSEEN
    return Experts(
        mean,
        without_bias(SCALE * names),
        by_prototype,
        logistic,
        fit_linear(
            z,
            answers.label_ids,
            answers.weights,
            by_prototype,
            strength=strength,
            iterations=iterations,
            warm=None if warm is None else warm.proximal,
            bias_penalty=PROXIMAL_BIAS,
        ),
    )


def with_crowd(
    centres: Float[np.ndarray, "labels dim"], answers: Answers, silent: Bool[np.ndarray, " labels"], crowd: Crowd
) -> Float[np.ndarray, "labels dim"]:
    """Prototypes that also lean on the unlabelled items, each counted for the labels it probably has.

    Soft k-means from the labelled prototypes (Ren et al. 2018, section 3.1), with two changes: neighbours are asked
    before an item is shared out, and all the items of a label together count for at most `CROWD_COUNTS` answers, or
    they would outvote the people.
    """
    if not len(crowd.rows) or (~silent).sum() < 2:  # one known label would get every item
        return centres
    label_count = len(centres)
    own = centres * (1 + np.bincount(answers.label_ids, weights=answers.weights, minlength=label_count))[:, None]
    inside = np.isin(answers.rows, crowd.rows)
    places = np.searchsorted(crowd.rows, answers.rows[inside])
    clamped, clamped_to = votes(places, answers.label_ids[inside], answers.weights[inside], label_count)
    found = centres
    for _ in range(CROWD_ROUNDS):
        logits = (CROWD_SHARPNESS * SCALE) * crowd.z @ found.T
        logits[:, silent] = SILENT
        if crowd.graph is not None:
            logits = smooth(logits, crowd.graph, CROWD_SMOOTHING, clamped, clamped_to, steps=CROWD_STEPS)
        shares = softmax(logits)
        shares[clamped] = 0
        shares[:, silent] = 0
        counts = np.minimum(shares.sum(axis=0), CROWD_COUNTS)[:, None]
        found = unit(own + counts * unit(shares.T @ crowd.z))
    return found


def silent_labels(answers: Answers, names: Float[np.ndarray, "labels dim"]) -> Bool[np.ndarray, " labels"]:
    """Labels of which nothing is known: neither a name (a zero row) nor an answer."""
    return ~((np.bincount(answers.label_ids, minlength=len(names)) > 0) | names.any(axis=1))


def weigh(experts: Experts, trust: Trust, silent: Bool[np.ndarray, " labels"]) -> Head:
    """The one head that says what the four experts say together; `silent` is true of labels nothing is known of."""
    on_centred = trust[0] * experts.names + trust[1] * experts.prototypes + trust[3] * experts.proximal
    on_centred[silent] = 0
    on_centred[silent, -1] = SILENT
    on_plain = trust[2] * experts.logistic if trust[2] else None
    return Head(experts.mean, on_centred, on_plain)
