"""Crossval: what models say of answers that were kept from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from metalearning.experts import Answers, Head, fit_experts, weigh
from metalearning.gate import Trust
from metalearning.graph import smooth, votes
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax

WHOLE_POOL = 4000
"""Items up to which labels flow through the whole pool while cross-validating; beyond it only next to the answers."""


@dataclass(frozen=True)
class HeldOut:
    """Every answer with the logits of a model that was fitted without it."""

    answers: Answers
    logits: Float[np.ndarray, "rows labels"]
    """Smoothed, not yet tempered."""
    smoothing: float


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
    nearby = _nearby(pool, answers.rows)
    fold = _deal(answers.rows, folds, generator)
    logits = np.zeros((len(choices), len(answers), len(names)), dtype=np.float32)
    for number in range(folds):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if not len(inside):
            continue
        known = answers[outside]
        head = _fit(pool, known, names, mean, trust, iterations, strength)
        base = head.logits(nearby.x)
        clamped, clamped_to = votes(nearby.place(known.rows), known.label_ids, known.weights, len(names))
        for choice, (smoothing, _) in enumerate(choices):
            flowed = base if nearby.graph is None else smooth(base, nearby.graph, smoothing, clamped, clamped_to)
            logits[choice, inside] = flowed[nearby.place(answers.rows[inside])]
    likelihood = [_log_likelihood(logits[j], answers) + choices[j][1] for j in range(len(choices))]
    best = int(np.argmax(likelihood))
    return HeldOut(answers, logits[best], choices[best][0])


@dataclass(frozen=True)
class _Nearby:
    """The part of a pool that cross-validation looks at: its rows ascending, vectors and graph."""

    rows: Rows
    x: Float[np.ndarray, "items dim"]
    graph: csr_matrix | None

    def place(self, rows: Rows) -> Rows:
        """Where pool rows lie in this part."""
        return np.searchsorted(self.rows, rows)


def _nearby(pool: Pool, answered: Rows) -> _Nearby:
    """All of a small pool; of a large one the answered items and their neighbours, weights again summing to one."""
    if pool.graph is None:
        rows = np.unique(answered)
        return _Nearby(rows, pool.vectors(rows), None)
    if len(pool) <= WHOLE_POOL:
        rows = np.arange(len(pool))
        return _Nearby(rows, pool.vectors(rows), pool.graph)
    rows = np.union1d(answered, pool.graph[np.unique(answered)].indices)
    part = pool.graph[rows][:, rows].tocsr()
    total = np.asarray(part.sum(axis=1)).ravel()
    part.data /= np.repeat(np.where(total > 0, total, 1), np.diff(part.indptr)).astype(np.float32)
    return _Nearby(rows, pool.vectors(rows), part)


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
    silent = ~((np.bincount(known.label_ids, minlength=len(names)) > 0) | names.any(axis=1))
    return weigh(experts, trust, silent)


def _log_likelihood(logits: Float[np.ndarray, "rows labels"], answers: Answers) -> float:
    """Of the answers, weighted; no single answer may cost more than log(0.001)."""
    probability = softmax(logits)[np.arange(len(answers)), answers.label_ids]
    return float(answers.weights @ np.log(probability + 1e-3))
