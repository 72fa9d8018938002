"""Predict: what an adaptation says of every item of a pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from metalearning.adapt import Adaptation
from metalearning.calibration import Estimate, estimate_accuracy
from metalearning.graph import smooth
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax
from metalearning.voices import add

NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Prediction:
    """One suggestion per item, by row. An answered item carries its answer, at the share of the votes that it got."""

    label_id: Int[np.ndarray, " items"]
    """int32; `NO_LABEL` where nothing can be claimed."""
    confidence: Float[np.ndarray, " items"]
    """float32 in [0, 1], calibrated: of the items at 0.8, eight in ten are right. 0 where nothing is claimed."""
    runner_up: Int[np.ndarray, " items"]
    """int32, the second likeliest label; `NO_LABEL` where there is none."""
    margin: Float[np.ndarray, " items"]
    """float32 in [0, 1]: confidence less the runner-up's probability; lower is asked sooner."""
    probabilities: Float[np.ndarray, "items labels"] | None = None
    """All probabilities where they had to be computed at once (with a graph); not meant to be stored."""


def predict(adaptation: Adaptation, pool: Pool) -> Prediction:
    """Suggestions for the whole pool. With a usable graph neighbours are asked; otherwise it runs in flat memory."""
    result = _unclaimed(len(pool))
    if not adaptation.informed or not len(pool):
        return result
    clamped, clamped_to = adaptation.clamped
    if not uses_graph(adaptation, pool):
        for place, x in pool.blocks():
            _write(result, place, softmax(adaptation.calibration.temper(_logits(adaptation, x, place))))
        _write(result, clamped, clamped_to)
        return result
    probabilities = softmax(adaptation.calibration.temper(_smoothed(adaptation, pool)))
    probabilities[clamped] = clamped_to
    for start in range(0, len(pool), 8192):
        place = slice(start, start + 8192)
        _write(result, place, probabilities[place])
    return Prediction(result.label_id, result.confidence, result.runner_up, result.margin, probabilities)


def top(
    adaptation: Adaptation, pool: Pool, rows: Rows, prediction: Prediction | None = None, k: int = 9
) -> tuple[Int[np.ndarray, "rows k"], Float[np.ndarray, "rows k"]]:
    """The k likeliest labels of each of `rows`, likeliest first, with their calibrated probabilities.

    Fewer than k columns if there are fewer labels; none at all where nothing can be claimed. `prediction` is the
    pool's, fresh or read back from storage: neighbours speak through it. Without it (or a graph) they are not asked.
    """
    k = min(k, adaptation.label_count) if adaptation.informed else 0
    if not k:
        return np.zeros((len(rows), 0), dtype=np.int32), np.zeros((len(rows), 0), dtype=np.float32)
    probabilities = _probabilities_of(adaptation, pool, rows, prediction)
    best = np.argpartition(-probabilities, k - 1, axis=1)[:, :k]
    value = np.take_along_axis(probabilities, best, 1)
    order = np.argsort(-value, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1).astype(np.int32), np.take_along_axis(value, order, 1)


def estimated_accuracy(
    adaptation: Adaptation,
    prediction: Prediction,
    unanswered: Rows,
    at_random: Bool[np.ndarray, " answers"] | None = None,
) -> Estimate | None:
    """The accuracy of the suggestions for the `unanswered` rows, from held-out answers, or None.

    `at_random` tells of each answer, in the order in which `adapt` got them, whether its item was drawn at random. See
    `calibration.estimate_accuracy` for how, for what the interval covers, and for when it can't be told.
    """
    if adaptation.held_out is None or adaptation.evidence is None:
        return None
    held_out = adaptation.held_out
    return estimate_accuracy(
        held_out.logits,
        held_out.answers.label_ids,
        adaptation.evidence,
        adaptation.calibration,
        prediction.confidence[unanswered],
        at_random,
    )


def uses_graph(adaptation: Adaptation, pool: Pool) -> bool:
    """Whether neighbours are asked: there is a graph, it was found to help, and the pool is not too large for it."""
    fits = len(pool) * adaptation.label_count <= adaptation.config.graph_cells
    return pool.graph is not None and adaptation.smoothing > 0 and fits


def _logits(
    adaptation: Adaptation, x: Float[np.ndarray, "items dim"], place: slice | Rows
) -> Float[np.ndarray, "items labels"]:
    """What experts and voices say of the items at `place`, whose embeddings are `x`; not smoothed, not tempered."""
    return add(adaptation.head.logits(x), adaptation.voices, place)


def _smoothed(adaptation: Adaptation, pool: Pool) -> Float[np.ndarray, "items labels"]:
    logits = np.empty((len(pool), adaptation.label_count), dtype=np.float32)
    for place, x in pool.blocks():
        logits[place] = _logits(adaptation, x, place)
    steps = 10 if len(pool) <= 20_000 else 6  # the last four move no probability by more than about 0.01
    return smooth(logits, pool.graph, adaptation.smoothing, *adaptation.clamped, steps=steps)


def _probabilities_of(
    adaptation: Adaptation, pool: Pool, rows: Rows, prediction: Prediction | None
) -> Float[np.ndarray, "rows labels"]:
    if prediction is not None and prediction.probabilities is not None:
        return prediction.probabilities[rows]
    logits = _logits(adaptation, pool.vectors(rows), rows)
    if prediction is not None and pool.graph is not None and uses_graph(adaptation, pool):
        links = pool.graph[rows]
        near = np.unique(links.indices)
        logits += np.float32(adaptation.smoothing) * (links[:, near] @ _recalled(prediction, near, logits.shape[1]))
    probabilities = softmax(adaptation.calibration.temper(logits))
    clamped, clamped_to = adaptation.clamped
    answered = np.isin(rows, clamped)
    probabilities[answered] = clamped_to[np.searchsorted(clamped, rows[answered])]
    return probabilities


def _recalled(prediction: Prediction, rows: Rows, label_count: int) -> Float[np.ndarray, "rows labels"]:
    """Probabilities rebuilt from what a snapshot keeps: the best two labels, and the rest spread evenly."""
    first, second = prediction.confidence[rows], prediction.confidence[rows] - prediction.margin[rows]
    rest = np.maximum(1 - first - second, 0) / max(label_count - 2, 1)
    recalled = np.repeat(rest[:, None], label_count, axis=1).astype(np.float32)
    place = np.arange(len(rows))
    recalled[place, prediction.runner_up[rows]] = second
    recalled[place, prediction.label_id[rows]] = first
    return recalled


def _unclaimed(items: int) -> Prediction:
    return Prediction(
        np.full(items, NO_LABEL, dtype=np.int32),
        np.zeros(items, dtype=np.float32),
        np.full(items, NO_LABEL, dtype=np.int32),
        np.zeros(items, dtype=np.float32),
    )


def _write(result: Prediction, place: slice | Rows, probabilities: Float[np.ndarray, "items labels"]) -> None:
    """The best two labels of each item, into the arrays of `result`."""
    item = np.arange(len(probabilities))
    first = probabilities.argmax(axis=1)
    confidence = probabilities[item, first]
    result.label_id[place], result.confidence[place] = first, confidence
    if probabilities.shape[1] == 1:
        result.margin[place] = confidence
        return
    others = probabilities.copy()
    others[item, first] = -1
    second = others.argmax(axis=1)
    result.runner_up[place], result.margin[place] = second, confidence - others[item, second]
