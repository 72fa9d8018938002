"""Baselines: the plain learner that an adaptation has to beat in the same run."""

from __future__ import annotations

import numpy as np

from metalearning.adapt import Adaptation
from metalearning.calibration import Calibration
from metalearning.experts import SILENT, Answers, Experts, weigh
from metalearning.gate import FEATURES
from metalearning.heads import fit_linear, without_bias
from metalearning.pool import Pool
from metalearning.vectors import Rows

LOGISTIC_STRENGTH = 10.0
"""C of the baseline: best on average of {1, 3, 10, 30}, if barely, so that the comparison is fair (docs/results.md)."""


def logistic_regression(
    pool: Pool,
    rows: Rows,
    label_ids: Rows,
    label_count: int,
    *,
    strength: float = LOGISTIC_STRENGTH,
    warm: Adaptation | None = None,
) -> Adaptation:
    """Multinomial logistic regression on the plain embeddings, like scikit-learn's at `C = strength`.

    An `Adaptation` like any other, so that predicting and ranking are the same code for both. Labels without answers
    are never predicted, and without any answer nothing is. `warm`, an earlier one of the same labels, saves iterations.
    """
    answers = Answers(np.asarray(rows), np.asarray(label_ids), np.ones(len(rows), dtype=np.float32))
    nothing = np.zeros((label_count, pool.x.shape[1]), dtype=np.float32)
    empty = without_bias(nothing)
    seen = np.unique(answers.label_ids)
    fitted = np.array(empty)
    fitted[:, -1] = SILENT
    if len(seen):
        column = np.searchsorted(seen, answers.label_ids)
        prior = empty[: len(seen)]
        start = prior if warm is None else np.where(warm.experts.logistic == SILENT, 0, warm.experts.logistic)[seen]
        fitted[seen] = fit_linear(
            pool.vectors(answers.rows), column, answers.weights, prior, strength=strength, iterations=100, warm=start
        )
    experts = Experts(pool.mean, empty, empty, fitted, empty)
    trust = np.array([0, 0, 1, 0], dtype=np.float32)
    return Adaptation(
        label_count=label_count,
        answers=answers,
        names=nothing,
        experts=experts,
        head=weigh(experts, trust, np.zeros(label_count, dtype=bool)),
        features=np.zeros(len(FEATURES), dtype=np.float32),
        trust=trust,
        leaning=0.0,
        learned=0.0,
        smoothing=0.0,
        smoothing_chosen_at=0,
        calibration=Calibration(1.0),
        held_out=None,
        evidence=None,
    )
