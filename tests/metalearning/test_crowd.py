"""Prototypes that lean on unlabelled items: against a slow second opinion, and the laws they keep."""

from __future__ import annotations

import numpy as np

from metalearning import experts
from metalearning.experts import Answers, silent_labels, with_crowd
from metalearning.heads import label_sums, prototypes
from metalearning.pool import CROWD, Pool
from tests.metalearning.blobs import blobs, unit


def test_two_rounds_of_soft_k_means_by_hand() -> None:
    data = blobs(60, 3, spread=1.0)
    pool = data.pool(graph=False)
    rows = np.array([0, 1, 2, 3])
    answers = Answers(rows, data.label_ids[rows], np.ones(4, np.float32))
    z = pool.crowd.z
    start = prototypes(label_sums(z[rows], answers.label_ids, 3, answers.weights), data.names)
    found = with_crowd(start, answers, np.zeros(3, dtype=bool), pool.crowd)
    expected = start.astype(np.float64)
    for _ in range(2):
        mass, total = np.zeros(3), np.zeros((3, 12))
        for row in set(range(60)) - set(rows.tolist()):
            share = np.exp(20 * expected @ z[row])
            share /= share.sum()
            mass += share
            total += share[:, None] * z[row]
        counts = 1 + np.bincount(answers.label_ids, minlength=3)
        expected = np.stack(
            [counts[c] * start[c] + min(mass[c], 6) * total[c] / np.linalg.norm(total[c]) for c in range(3)]
        )
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - start).max() > 0.01


def test_the_crowd_brings_prototypes_closer_to_the_truth() -> None:
    closer = []
    for seed in range(20):
        data = blobs(400, 4, spread=0.8, seed=seed)
        pool = data.pool()
        rows = np.arange(4)
        answers = Answers(rows, data.label_ids[rows], np.ones(4, np.float32))
        z = pool.crowd.z
        nameless = np.zeros_like(data.names)
        start = prototypes(label_sums(z[rows], answers.label_ids, 4, answers.weights), nameless)
        truth = unit(np.stack([z[data.label_ids == c].mean(axis=0) for c in range(4)]))
        found = with_crowd(start, answers, silent_labels(answers, nameless), pool.crowd)
        closer.append(float(((found - start) * truth).sum(axis=1).mean()))
    assert np.mean(closer) > 0.05


def test_a_label_of_which_nothing_is_known_gets_nothing_from_the_crowd() -> None:
    data = blobs(60, 3)
    pool = data.pool()
    rows = np.array([0, 1])  # labels 0 and 1
    answers = Answers(rows, data.label_ids[rows], np.ones(2, np.float32))
    nameless = np.zeros_like(data.names)
    start = prototypes(label_sums(pool.crowd.z[rows], answers.label_ids, 3, answers.weights), nameless)
    found = with_crowd(start, answers, silent_labels(answers, nameless), pool.crowd)
    assert not found[2].any()
    one = answers[np.array([0])]
    lonely = with_crowd(start, one, silent_labels(one, nameless), pool.crowd)
    np.testing.assert_array_equal(lonely, start)  # or the only known label would get every item
    nobody = Answers(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))
    np.testing.assert_array_equal(with_crowd(nameless, nobody, np.ones(3, dtype=bool), pool.crowd), nameless)


def test_a_large_pool_sends_an_even_sample_without_neighbours() -> None:
    rng = np.random.default_rng(0)
    x = unit(rng.standard_normal((30_000, 4)))
    crowd = Pool(x).crowd
    assert len(crowd.rows) == len(crowd.z) == CROWD
    assert (np.diff(crowd.rows) > 0).all()
    assert crowd.rows[-1] == 29_999
    assert crowd.graph is None


def test_people_outvote_the_crowd() -> None:
    """A hundred answers of a label hold its prototype where they are."""
    data = blobs(300, 3, spread=1.0)
    pool = data.pool()
    rows = np.flatnonzero(data.label_ids == 0)[:90]
    rows = np.append(rows, [1, 2])
    answers = Answers(rows, data.label_ids[rows], np.ones(len(rows), np.float32))
    z = pool.vectors(rows)
    start = prototypes(label_sums(z, answers.label_ids, 3, answers.weights), data.names)
    found = with_crowd(start, answers, np.zeros(3, dtype=bool), pool.crowd)
    moved = 1 - (found * start).sum(axis=1)
    assert experts.CROWD_COUNTS < 90
    assert moved[0] < moved[1:].min()
