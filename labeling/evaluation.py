"""Evaluation: how the suggestions did that people answered afterwards, over time and by the way items were asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from labeling.models import Answer, Origin, Project, Purpose, Status
from metalearning import evaluation
from metalearning.evaluation import Mix, Score

STRATEGIES = ("margin", "random", "typical")
RECENT = 200  # newest predictions of each strategy that speak for it: the model of long ago is not the one in use
SCORED = 20_000  # newest predictions looked at
BLOCK = 25  # predictions behind each point of the chart
MIXED = 2_000  # newest predictions that decide how the queue is mixed
FEWEST = 5  # predictions below which a share is not shown


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions that people answered, in the order of the answers; one for each item, as it was first asked."""

    confidence: Float[np.ndarray, " n"]
    """In [0, 1], calibrated, as it was when the item was queued."""
    right: Bool[np.ndarray, " n"]
    """Whether the item's label, as people left it, is the one that was predicted."""
    reason: Int[np.ndarray, " n"]
    """Place in STRATEGIES of the way the item was chosen; -1 for any other."""
    shown: Bool[np.ndarray, " n"]
    rows: Int[np.ndarray, " n"]
    """The items' rows."""

    def __len__(self) -> int:
        return len(self.right)

    def by(self, strategy: str) -> Bool[np.ndarray, " n"]:
        """Which of them were asked by this strategy."""
        return self.reason == STRATEGIES.index(strategy)


def predictions(project: Project, most: int = SCORED) -> Predictions:
    """The newest answered predictions of the project.

    A label that was corrected later counts as corrected, and an answer that was taken back without another not at all:
    so withdrawn answers count, for what the model had said, wherever the item has a person's label now.
    """
    asked = Answer.objects.filter(project=project, origin=Origin.PERSON, purpose=Purpose.LABEL, foreseen__isnull=False)
    fields = (
        "pk",
        "item_id",
        "foreseen_id",
        "foreseen_p",
        "reason",
        "suggested_id",
        "item__status",
        "item__label_id",
        "item__row",
    )
    first: dict[int, tuple[Any, ...]] = {}
    for row in asked.order_by("-pk").values_list(*fields)[:most]:
        if row[6] == Status.ANSWERED:
            first[row[1]] = row  # an item's earliest, for they come newest first
    rows = sorted(first.values())
    return Predictions(
        np.array([row[3] for row in rows], dtype=np.float64),
        np.array([row[2] == row[7] for row in rows], dtype=bool),
        np.array([STRATEGIES.index(row[4]) if row[4] in STRATEGIES else -1 for row in rows], dtype=np.int64),
        np.array([row[5] is not None for row in rows], dtype=bool),
        np.array([row[8] for row in rows], dtype=np.int64),
    )


def wrong_at_random(project: Project) -> list[int]:
    """Rows of items that were asked at random and of which the suggestion was wrong, among the newest RECENT."""
    told = predictions(project)
    newest = np.flatnonzero(told.by("random"))[-RECENT:]
    return [int(row) for row in told.rows[newest[~told.right[newest]]]]


def calibration(project: Project) -> dict[str, Any] | None:
    """How far the confidence of all predictions that were answered can be believed; None where too few were."""
    told = predictions(project)
    return _calibration(told, np.ones(len(told), dtype=bool))


def mix(project: Project) -> Mix:
    """How the queue is shared among the strategies, on the evidence of the project's answers so far."""
    if not project.random_share:
        return evaluation.mix(Score(0, 0), Score(0, 0), 0.0)
    told = predictions(project, most=MIXED)
    return evaluation.mix(_recent(told, "margin"), _recent(told, "random"), project.random_share)


def describe(project: Project) -> dict[str, Any]:
    """All of it in plain values; what so few answers cannot tell is None.

    `strategies`: for each, the newest predictions and how many were right. `random` among them is the honest accuracy:
    a uniform sample of what was open when it was asked. `gain`: error rate of margin-asked items less that of random
    ones: what the choice of questions found. `calibration`: of all predictions, and of those asked at random.
    """
    told = predictions(project)
    margin, at_random = _recent(told, "margin"), _recent(told, "random")
    return {
        "answered": len(told),
        "hidden": int((~told.shown).sum()),
        "recent": RECENT,
        "strategies": {name: _shown(_recent(told, name)) for name in STRATEGIES},
        "gain": _gain(margin, at_random),
        "mix": {name: round(share, 4) for name, share in asdict(mix(project)).items()},
        "random_share": project.random_share,
        "over_time": _over_time(told),
        "calibration": {
            "all": _calibration(told, np.ones(len(told), dtype=bool)),
            "random": _calibration(told, told.by("random")),
        },
    }


def _recent(told: Predictions, strategy: str) -> Score:
    right = told.right[told.by(strategy)][-RECENT:]
    return Score(len(right), int(right.sum()))


def _shown(score: Score) -> dict[str, Any]:
    low, high = score.interval
    few = score.count < FEWEST
    return {
        "count": score.count,
        "right": score.right,
        "accuracy": None if few else round(score.accuracy, 4),
        "low": None if few else round(low, 4),
        "high": None if few else round(high, 4),
    }


def _gain(margin: Score, at_random: Score) -> dict[str, float] | None:
    """How much more often the model was wrong where the margin asked, in [-1, 1], with its interval."""
    if min(margin.count, at_random.count) < FEWEST:
        return None
    gap, low, high = evaluation.difference(at_random, margin)
    chance = evaluation.probability_more_wrong(margin, at_random)
    return {"errors": round(gap, 4), "low": round(low, 4), "high": round(high, 4), "probability": round(chance, 4)}


def _over_time(told: Predictions) -> list[dict[str, Any]]:
    """One point for each BLOCK of predictions in a row: all of them, and of the random ones the newest RECENT so far.

    The last block may be smaller. `predictions`: how many there had been by then.
    """
    points = []
    for start in range(0, len(told), BLOCK):
        end = min(start + BLOCK, len(told))
        drawn = told.right[:end][told.by("random")[:end]][-RECENT:]
        block = told.right[start:end]
        points.append(
            {
                "predictions": end,
                "all": _shown(Score(len(block), int(block.sum()))),
                "random": _shown(Score(len(drawn), int(drawn.sum()))),
                "confidence": round(float(told.confidence[start:end].mean()), 4),
            }
        )
    return points


def _calibration(told: Predictions, chosen: Bool[np.ndarray, " n"]) -> dict[str, Any] | None:
    confidence, right = told.confidence[chosen], told.right[chosen]
    if len(right) < BLOCK:
        return None
    error = evaluation.calibration_error(confidence, right, np.random.default_rng(0), draws=200)
    return {
        "count": len(right),
        "error": {name: round(value, 4) for name, value in asdict(error).items()},
        "bins": [
            {"from": one.low, "to": one.high, "confidence": round(one.confidence, 4)} | _shown(one.score)
            for one in evaluation.reliability(confidence, right)
        ],
    }
