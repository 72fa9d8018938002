"""Crossval: what models say of answers that were kept from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from metalearning.experts import Answers, Head, fit_experts, silent_labels, weigh
from metalearning.gate import Trust
from metalearning.graph import smooth, votes
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax

WHOLE_POOL = 4000
"""Items up to which labels flow through the whole pool while cross-validating; beyond it only next to the answers."""
BACKGROUND = 300
"""Unanswered items that stand for a larger pool: enough to place its fifths by confidence to within three points."""


@dataclass(frozen=True)
class HeldOut:
    """Every answer with the logits of a model that was fitted without it."""

    answers: Answers
    logits: Float[np.ndarray, "rows labels"]
    """Smoothed, not yet tempered."""
    smoothing: float
    foreseeable: Bool[np.ndarray, " rows"]
    """Whether the label had a name or another answer left, so that the model could have said it."""
    background: Float[np.ndarray, " items"]
    """The same models' confidences (likeliest label's probability, not tempered) on a sample of unanswered items."""


def best_smoothing(
    pool: Pool,
    answers: Answers,
    names: Float[np.ndarray, "labels dim"],
    mean: Float[np.ndarray, " dim"],
    trust: Trust,
    choices: tuple[tuple[float, float], ...],
    *,
    folds: int,
    iterations: int,
    strength: float,
    generator: np.random.Generator,
) -> HeldOut:
    """The held-out logits at the weight of the neighbours under which the answers are likeliest.

    `choices` are pairs of a weight and its log-prior; with one pair nothing is chosen. Heads are fitted afresh without
    the fold (no warm start: that would leak the answers), and labels flow only from answers outside the fold.
    """
    nearby = _nearby(pool, answers.rows, generator)
    unanswered = ~np.isin(nearby.rows, answers.rows) & np.isin(nearby.rows, nearby.sample)
    background = np.zeros((len(choices), int(unanswered.sum())), dtype=np.float32)
    foreseeable = np.zeros(len(answers), dtype=bool)
    fold = _deal(answers.rows, folds, generator)
    logits = np.zeros((len(choices), len(answers), len(names)), dtype=np.float32)
    for number in range(folds):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if not len(inside):
            continue
        known = answers[outside]
        head = _fit(pool, known, names, mean, trust, iterations, strength)
        foreseeable[inside] = ~silent_labels(known, names)[answers.label_ids[inside]]
        base = head.logits(nearby.x)
        clamped, clamped_to = votes(nearby.place(known.rows), known.label_ids, known.weights, len(names))
        for choice, (smoothing, _) in enumerate(choices):
            flowed = base if nearby.graph is None else smooth(base, nearby.graph, smoothing, clamped, clamped_to)
            logits[choice, inside] = flowed[nearby.place(answers.rows[inside])]
            if not background[choice].any():  # the first fold's model speaks for all: they differ little
                background[choice] = softmax(flowed[unanswered]).max(axis=1, initial=0)
    likelihood = [_log_likelihood(logits[j], answers) + choices[j][1] for j in range(len(choices))]
    best = int(np.argmax(likelihood))
    return HeldOut(answers, logits[best], choices[best][0], foreseeable, background[best])


@dataclass(frozen=True)
class _Nearby:
    """The part of a pool that cross-validation looks at: its rows ascending, vectors and graph."""

    rows: Rows
    sample: Rows
    """Rows that stand for the pool; the others are here because they lie next to them or to answers."""
    x: Float[np.ndarray, "items dim"]
    graph: csr_matrix | None

    def place(self, rows: Rows) -> Rows:
        """Where pool rows lie in this part."""
        return np.searchsorted(self.rows, rows)


def _nearby(pool: Pool, answered: Rows, generator: np.random.Generator) -> _Nearby:
    """All of a small pool; of a large one the answered items, a sample, and the neighbours of both.

    Where neighbours are left out, the weights of the others again sum to one.
    """
    if len(pool) <= WHOLE_POOL:
        rows = np.arange(len(pool))
        return _Nearby(rows, rows, pool.vectors(rows), pool.graph)
    sample = generator.choice(len(pool), BACKGROUND, replace=False)
    rows = np.union1d(answered, sample)
    if pool.graph is None:
        return _Nearby(rows, sample, pool.vectors(rows), None)
    rows = np.union1d(rows, pool.graph[rows].indices)
    part = pool.graph[rows][:, rows].tocsr()
    total = np.asarray(part.sum(axis=1)).ravel()
    part.data /= np.repeat(np.where(total > 0, total, 1), np.diff(part.indptr)).astype(np.float32)
    return _Nearby(rows, sample, pool.vectors(rows), part)


def _deal(rows: Rows, folds: int, generator: np.random.Generator) -> Rows:
    """A fold for each answer; all answers to one item fall into the same, or the item would answer for itself."""
    _, first, item = np.unique(rows, return_index=True, return_inverse=True)
    turn = np.empty(len(first), dtype=np.intp)
    turn[np.argsort(first)] = generator.permutation(len(first))
    return turn[item] % folds


def _fit(
    pool: Pool,
    known: Answers,
    names: Float[np.ndarray, "labels dim"],
    mean: Float[np.ndarray, " dim"],
    trust: Trust,
    iterations: int,
    strength: float,
) -> Head:
    experts = fit_experts(
        pool.vectors(known.rows),
        known,
        names,
        mean,
        iterations=iterations,
        strength=strength,
        logistic_too=bool(trust[2]),
    )
    return weigh(experts, trust, silent_labels(known, names))


def _log_likelihood(logits: Float[np.ndarray, "rows labels"], answers: Answers) -> float:
    """Of the answers, weighted; no single answer may cost more than log(0.001)."""
    probability = softmax(logits)[np.arange(len(answers)), answers.label_ids]
    return float(answers.weights @ np.log(probability + 1e-3))
