"""Comparison: paired intervals against the textbook, and judged answers against a model fitted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metalearning import comparison
from metalearning.adapt import Adaptation, adapt
from metalearning.pool import Pool
from metalearning.predict import predict
from tests.metalearning.blobs import blobs

DATA = blobs(items=120, labels=4)


def learned(rows: np.ndarray, label_ids: np.ndarray) -> Adaptation:
    return adapt(Pool(DATA.x), None, rows, label_ids, 4, generator=np.random.default_rng(0))


def test_each_answer_is_judged_by_a_model_without_it() -> None:
    rows = np.random.default_rng(1).permutation(120)[:24]
    seen: list[set[int]] = []

    def learn(known: np.ndarray, label_ids: np.ndarray) -> Adaptation:
        seen.append(set(known.tolist()))
        return learned(known, label_ids)

    judged = comparison.judge(
        learn, Pool(DATA.x), rows, DATA.label_ids[rows], folds=4, generator=np.random.default_rng(2)
    )
    assert len(seen) == 4
    kept_out = [set(rows.tolist()) - known for known in seen]
    assert sorted(row for part in kept_out for row in part) == sorted(rows.tolist())
    for known, part in zip(seen, kept_out, strict=True):
        order = [row for row in rows.tolist() if row in known]
        found = predict(learned(np.array(order), DATA.label_ids[order]), Pool(DATA.x))
        for row in part:
            place = rows.tolist().index(row)
            assert judged.right[place] == (found.label_id[row] == DATA.label_ids[row])
            if judged.right[place]:
                assert judged.log_likelihood[place] == pytest.approx(np.log(found.confidence[row]), abs=1e-4)


def test_two_answers_to_one_item_are_held_out_together() -> None:
    rows = np.repeat(np.arange(10), 2)

    def learn(known: np.ndarray, label_ids: np.ndarray) -> Adaptation:
        assert all((known == row).sum() in (0, 2) for row in range(10))
        return learned(known, label_ids)

    comparison.judge(learn, Pool(DATA.x), rows, DATA.label_ids[rows], folds=5, generator=np.random.default_rng(0))


def test_the_interval_of_pairs_is_that_of_the_normal_law() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(0.2, 1, 400)
    found = comparison.paired(differences, rng)
    error = 1.96 * differences.std() / 20
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - error, found.mean + error), abs=0.02)


def test_projects_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    agreeing = [rng.normal(0.2, 0.1, 20) for _ in range(4)]
    disagreeing = [rng.normal(mean, 0.1, 20) for mean in (-0.4, 0.0, 0.4, 0.8)]
    sure, unsure = comparison.over_groups(agreeing, rng), comparison.over_groups(disagreeing, rng)
    assert sure.low > 0.1
    assert unsure.low < 0 < unsure.mean
