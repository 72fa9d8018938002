"""Crossval: what models say of answers that were kept from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from metalearning.calibration import represent
from metalearning.experts import Answers, fit_experts, silent_labels, weigh
from metalearning.gate import Trust, leaning, together
from metalearning.graph import smooth, votes
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax
from metalearning.voices import Voice, said

WHOLE_POOL = 4000
"""Items up to which labels flow through the whole pool while cross-validating; beyond it only next to the answers."""
BACKGROUND = 300
"""Unanswered items that stand for a larger pool: enough to place its fifths by confidence to within three points."""
REFUTED = 0.025
"""How often chance alone may refute what was learned and does no harm."""


Choices = tuple[tuple[float, float], ...]
"""What can be chosen, each with its log-prior."""
Deal = Callable[[Rows, np.random.Generator], Rows]
"""From the rows of answers to the fold that each falls into."""


@dataclass(frozen=True)
class HeldOut:
    """Every answer with the logits of a model that was fitted without it."""

    answers: Answers
    logits: Float[np.ndarray, "rows labels"]
    """Smoothed, not yet tempered."""
    smoothing: float
    leaning: float
    """The share of the other experts' trust that the proximal head was given."""
    learned: float
    """The share that a trained gate gave it beside that; 0 without one, or where the answers refute it."""
    voices: tuple[Voice, ...]
    """With the weights at which the logits were taken."""
    foreseeable: Bool[np.ndarray, " rows"]
    """Whether the label had a name or another answer left, so that the model could have said it."""
    background: Float[np.ndarray, " items"]
    """The same models' confidences (likeliest label's probability, not tempered) on a sample of unanswered items."""


@dataclass(frozen=True)
class Seen:
    """The pool and the centred label names as the models of a fold see them."""

    pool: Pool
    names: Float[np.ndarray, "labels dim"]
    mean: Float[np.ndarray, " dim"]


@dataclass(frozen=True)
class Way:
    """How a model is made from answers, the same for every fold."""

    trust: Trust
    voices: tuple[Voice, ...]
    iterations: int
    strength: float


def held_out(
    seen: Sequence[Seen],
    answers: Answers,
    way: Way,
    smoothing: float,
    choices: Choices,
    *,
    leanings: Choices,
    learned: float,
    choose_voices: bool,
    deal: Deal,
    generator: np.random.Generator,
) -> HeldOut:
    """The held-out logits at the weights of the voices and of the neighbours under which the answers are likeliest.

    `seen` is one pool for all folds, or one for each; `deal` says into which fold each answer falls.

    `choices` are weights of the neighbours; with one nothing is chosen. How far to lean on the proximal head
    (`leanings`) and then the voices' weights are chosen before, one after the other, at `smoothing`. All of that is
    chosen as if nothing were learned; then `learned` is leant on too, unless the answers refute it. Heads are fitted
    afresh without the fold (no warm start: that would leak the answers), labels flow only from answers outside the
    fold, and of the items in it each voice says what it would without their answers.
    """
    parts = _parts(seen, answers, way, tuple(share for share, _ in leanings), learned, deal, generator)
    parts = _with_best_leaning(parts, answers, way.voices, leanings, smoothing)
    voices = way.voices
    if choose_voices:
        for number in range(len(voices)):
            voices = _with_best_weight(parts, answers, voices, number, smoothing)
    tried = [_said(parts, answers, voices, weight) for weight, _ in choices]
    best = int(np.argmax([_log_likelihood(tried[j], answers) + choices[j][1] for j in range(len(choices))]))
    found, logits, smoothing = parts, tried[best], choices[best][0]
    if learned:
        leant = replace(parts, leaning=together(parts.leaning, learned))
        said = _said(leant, answers, voices, smoothing)
        if refuted(_right(said, answers), _right(logits, answers)):
            learned = 0.0
        else:
            found, logits = leant, said
    return HeldOut(
        answers,
        logits,
        smoothing,
        parts.leaning,
        learned,
        voices,
        parts.foreseeable,
        _background(found, answers, voices, smoothing),
    )


def refuted(right: Bool[np.ndarray, " rows"], plainly: Bool[np.ndarray, " rows"]) -> bool:
    """Whether answers show that something learned does harm: by a one-sided exact sign test (McNemar 1947).

    Not by likelihood: a model of three in four answers misses what the whole one gains, and calls every gain a loss.
    """
    lost, won = int((plainly & ~right).sum()), int((right & ~plainly).sum())
    chance = sum(comb(lost + won, k) for k in range(lost, lost + won + 1)) / 2 ** (lost + won)
    return lost > won and chance <= REFUTED


def _right(logits: Float[np.ndarray, "rows labels"], answers: Answers) -> Bool[np.ndarray, " rows"]:
    suggested = logits.argmax(axis=1)
    return np.asarray(suggested == answers.label_ids, dtype=bool)


@dataclass(frozen=True)
class _Fold:
    """Answers kept from a model, and what that model says of the items nearby before voices and neighbours speak."""

    nearby: _Nearby
    inside: Rows
    heads: dict[float, Float[np.ndarray, "items labels"]]
    """By how far it leans on the proximal head."""
    said: list[Float[np.ndarray, "items labels"]]
    """What each voice says of the items nearby, of those inside what it would say without their answers."""
    clamped: Rows
    clamped_to: Float[np.ndarray, "rows labels"]


@dataclass(frozen=True)
class _Parts:
    """All that does not depend on the weights that are tried."""

    folds: list[_Fold]
    foreseeable: Bool[np.ndarray, " rows"]
    leaning: float


def _parts(
    seen: Sequence[Seen],
    answers: Answers,
    way: Way,
    leanings: tuple[float, ...],
    learned: float,
    deal: Deal,
    generator: np.random.Generator,
) -> _Parts:
    shares = {*leanings, *(together(share, learned) for share in leanings)}
    sample = _sample(seen[0].pool, generator)
    nearby = [_nearby(one.pool, answers.rows, sample) for one in seen]
    foreseeable = np.zeros(len(answers), dtype=bool)
    fold = deal(answers.rows, generator)
    heard = [_heard(way.voices, one, len(seen[0].names)) for one in nearby]
    fitted = []
    for number in np.unique(fold):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        place = int(number) % len(seen)
        known, near, names = answers[outside], nearby[place], seen[place].names
        foreseeable[inside] = ~silent_labels(known, names)[answers.label_ids[inside]]
        clamped = votes(near.place(known.rows), known.label_ids, known.weights, len(names))
        said = _unseen(heard[place], way.voices, near.place(answers.rows[inside]), inside)
        fitted.append(_Fold(near, inside, _heads(seen[place], known, way, shares, near.x), said, *clamped))
    return _Parts(fitted, foreseeable, leanings[0])


def _heard(voices: tuple[Voice, ...], nearby: _Nearby, label_count: int) -> list[Float[np.ndarray, "items labels"]]:
    return [said(voice, nearby.rows, (len(nearby.rows), label_count)) for voice in voices]


def _unseen(
    heard: list[Float[np.ndarray, "items labels"]], voices: tuple[Voice, ...], places: Rows, inside: Rows
) -> list[Float[np.ndarray, "items labels"]]:
    """What voices say of the items nearby, of those at `places` without the answers `inside`."""
    found = [one.copy() for one in heard]
    for one, voice in zip(found, voices, strict=True):
        one[places] = voice.unseen[inside]
    return found


def _with_best_leaning(
    parts: _Parts, answers: Answers, voices: tuple[Voice, ...], leanings: Choices, smoothing: float
) -> _Parts:
    """Chosen by answers that count as far as they stand for the pool.

    Those that were asked for their small margin are all hard, and the proximal head was fitted to such; what it gains
    on them it may lose on the easy items.
    """
    if len(leanings) == 1:
        return parts
    tried = [replace(parts, leaning=share) for share, _ in leanings]
    logits = [_said(one, answers, voices, smoothing) for one in tried]
    confidence = softmax(logits[0]).max(axis=1)
    evidence = represent(confidence, _background(tried[0], answers, voices, smoothing), answers.weights)
    counted = Answers(answers.rows, answers.label_ids, np.where(parts.foreseeable, evidence.weights, 0))
    found = [_log_likelihood(logits[j], counted) + leanings[j][1] for j in range(len(leanings))]
    return tried[int(np.argmax(found))]


def _with_best_weight(
    parts: _Parts,
    answers: Answers,
    voices: tuple[Voice, ...],
    number: int,
    smoothing: float,
) -> tuple[Voice, ...]:
    """The voices with the weight of one of them chosen, the others' kept."""
    best, most = voices, -np.inf
    for weight, log_prior in voices[number].choices:
        tried = (*voices[:number], replace(voices[number], weight=weight), *voices[number + 1 :])
        likelihood = _log_likelihood(_said(parts, answers, tried, smoothing), answers) + log_prior
        if likelihood > most:
            best, most = tried, likelihood
    return best


def _said(
    parts: _Parts, answers: Answers, voices: tuple[Voice, ...], smoothing: float
) -> Float[np.ndarray, "rows labels"]:
    """Held-out logits of every answer at these weights."""
    logits = np.zeros((len(answers), parts.folds[0].heads[parts.leaning].shape[1]), dtype=np.float32)
    for fold in parts.folds:
        flowed = _flowed(fold, parts.leaning, voices, smoothing)
        logits[fold.inside] = flowed[fold.nearby.place(answers.rows[fold.inside])]
    return logits


def _flowed(
    fold: _Fold, leaning: float, voices: tuple[Voice, ...], smoothing: float
) -> Float[np.ndarray, "items labels"]:
    """What the fold's model, the voices and the neighbours say of the items nearby."""
    base = fold.heads[leaning]
    if voices:
        base = base.copy()
        for voice, heard in zip(voices, fold.said, strict=True):
            base += np.float32(voice.weight) * heard
    if fold.nearby.graph is None:
        return base
    return smooth(base, fold.nearby.graph, smoothing, fold.clamped, fold.clamped_to)


def _background(
    parts: _Parts, answers: Answers, voices: tuple[Voice, ...], smoothing: float
) -> Float[np.ndarray, " items"]:
    """Confidences on unanswered items. The first fold's model speaks for all: they differ little."""
    nearby = parts.folds[0].nearby
    unanswered = ~np.isin(nearby.rows, answers.rows) & np.isin(nearby.rows, nearby.sample)
    confidence: Float[np.ndarray, " items"] = softmax(
        _flowed(parts.folds[0], parts.leaning, voices, smoothing)[unanswered]
    ).max(axis=1, initial=0)
    return confidence


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


def _sample(pool: Pool, generator: np.random.Generator) -> Rows:
    """All rows of a small pool, some of a large one, ascending or not."""
    if len(pool) <= WHOLE_POOL:
        return np.arange(len(pool))
    return generator.choice(len(pool), BACKGROUND, replace=False)


def _nearby(pool: Pool, answered: Rows, sample: Rows) -> _Nearby:
    """All of a small pool; of a large one the answered items, a sample, and the neighbours of both.

    Where neighbours are left out, the weights of the others again sum to one.
    """
    if len(sample) == len(pool):
        return _Nearby(sample, sample, pool.vectors(sample), pool.graph)
    rows = np.union1d(answered, sample)
    if pool.graph is None:
        return _Nearby(rows, sample, pool.vectors(rows), None)
    rows = np.union1d(rows, pool.graph[rows].indices)
    part = pool.graph[rows][:, rows].tocsr()
    total = np.asarray(part.sum(axis=1)).ravel()
    part.data /= np.repeat(np.where(total > 0, total, 1), np.diff(part.indptr)).astype(np.float32)
    return _Nearby(rows, sample, pool.vectors(rows), part)


def dealt(rows: Rows, generator: np.random.Generator, folds: int) -> Rows:
    """A fold for each answer; all answers to one item fall into the same, or the item would answer for itself."""
    _, first, item = np.unique(rows, return_index=True, return_inverse=True)
    turn = np.empty(len(first), dtype=np.intp)
    turn[np.argsort(first)] = generator.permutation(len(first))
    return turn[item] % folds


def _heads(
    seen: Seen, known: Answers, way: Way, shares: set[float], x: Float[np.ndarray, "items dim"]
) -> dict[float, Float[np.ndarray, "items labels"]]:
    """What a model of the known answers says of `x`, for each share to lean by."""
    experts = fit_experts(
        seen.pool.vectors(known.rows),
        known,
        seen.names,
        seen.mean,
        iterations=way.iterations,
        strength=way.strength,
        logistic_too=bool(way.trust[2]),
        crowd=seen.pool.crowd,
    )
    silent = silent_labels(known, seen.names)
    return {share: weigh(experts, leaning(way.trust, share), silent).logits(x) for share in shares}


def _log_likelihood(logits: Float[np.ndarray, "rows labels"], answers: Answers) -> float:
    """Of the answers, weighted; no single answer may cost more than log(0.001)."""
    probability = softmax(logits)[np.arange(len(answers)), answers.label_ids]
    return float(answers.weights @ np.log(probability + 1e-3))
