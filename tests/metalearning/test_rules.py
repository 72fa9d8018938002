"""Rules: one rule alone says its own precision; agreement teaches; a wrong rule loses its voice; brute force agrees."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from metalearning import rules
from metalearning.adapt import adapt
from metalearning.predict import predict
from metalearning.rules import Config, Votes, learn, novelty
from metalearning.vectors import softmax
from tests.metalearning.blobs import blobs

NONE = np.zeros(0, dtype=np.intp)
ALONE = Config(agreement=0.0)


def votes(fired: list[list[int]], label_ids: list[int]) -> Votes:
    return Votes(csr_matrix(np.array(fired, dtype=np.float32)), np.array(label_ids))


def test_a_new_rule_is_believed_as_far_as_rules_usually_are() -> None:
    model = learn(votes([[1], [0], [1]], [2]), 4, NONE, NONE, config=ALONE)
    said = softmax(model.logits(slice(None)))
    assert said[0] == pytest.approx([0.25 / 3, 0.25 / 3, 0.75, 0.25 / 3])
    assert said[1] == pytest.approx([0.25] * 4)  # silent
    assert model.precision == pytest.approx([0.75])


def test_answers_move_it_by_counting() -> None:
    fired = votes([[1]] * 8, [0])
    model = learn(fired, 2, np.arange(6), np.array([0, 0, 1, 1, 1, 1]), config=ALONE)
    assert model.precision == pytest.approx([(3 * 0.75 + 2) / (3 + 6)])


def test_two_answers_to_one_item_count_as_one() -> None:
    fired = votes([[1], [1]], [0])
    model = learn(fired, 2, np.array([0, 0]), np.array([0, 1]), config=ALONE)
    assert model.precision == pytest.approx([(3 * 0.75 + 0.5) / 4])


def test_a_copy_of_a_rule_adds_nothing() -> None:
    once = learn(votes([[1], [1], [0]], [1]), 3, NONE, NONE, config=ALONE)
    twice = learn(votes([[1, 1], [1, 1], [0, 0]], [1, 1]), 3, NONE, NONE, config=ALONE)
    assert twice.logits(slice(None)) == pytest.approx(once.logits(slice(None)), abs=1e-6)
    apart = votes([[1, 0], [0, 1]], [1, 1])
    assert novelty(apart) == pytest.approx([1, 1])


def test_what_it_said_of_an_answered_item_is_without_that_answer() -> None:
    rng = np.random.default_rng(1)
    fired = votes((rng.random((30, 4)) < 0.5).astype(int).tolist(), [0, 1, 2, 0])
    rows, label_ids = np.arange(12), rng.integers(0, 3, 12)
    model = learn(fired, 3, rows, label_ids, config=ALONE)
    for out in range(12):
        kept = rows != out
        without = learn(fired, 3, rows[kept], label_ids[kept], config=ALONE)
        assert model.unseen[out] == pytest.approx(without.logits(np.array([out]))[0], abs=1e-5)


def test_with_agreement_an_answer_changes_nothing_of_what_is_unseen_for_it() -> None:
    rng = np.random.default_rng(2)
    fired = votes((rng.random((60, 4)) < 0.4).astype(int).tolist(), [0, 1, 2, 0])
    rows, label_ids = np.arange(8), rng.integers(0, 3, 8)
    first = learn(fired, 3, rows, label_ids)
    for out in range(8):
        other = label_ids.copy()
        other[out] = (other[out] + 1) % 3
        assert learn(fired, 3, rows, other).unseen[out] == pytest.approx(first.unseen[out], abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3), st.integers(1, 3))
def test_em_comes_to_rest_where_brute_force_finds_the_best(seed: int, labels: int, count: int) -> None:
    """The posterior's logarithm, with every unanswered item's label summed over, is nowhere higher nearby."""
    rng = np.random.default_rng(seed)
    table = (rng.random((7, count)) < 0.7).astype(float)
    rule_labels = rng.integers(0, labels, count)
    config = Config(rounds=3000, agreement=2.0)
    guess = rng.dirichlet(np.ones(labels), 7).astype(np.float32)
    rows, label_ids = np.array([0, 1]), rng.integers(0, labels, 2)
    fired = votes(table.tolist(), rule_labels.tolist())
    unanswered = rules.sample(fired, rows, config)
    model = learn(fired, labels, rows, label_ids, guess=guess[unanswered], guessed=unanswered, config=config)
    share = novelty(fired)
    spoken = table[unanswered].sum(axis=0)
    most = [2.0 / (1 + table[rows, rule].sum() / config.fading) / max(spoken[rule], 1) for rule in range(count)]
    weight = {
        row: min([min(1.0, most[rule]) for rule in range(count) if table[row, rule]], default=1.0) for row in unanswered
    }
    prior = np.full((count, labels), config.strength * (1 - config.precision) / (labels - 1))
    prior[np.arange(count), rule_labels] = config.strength * config.precision

    def expected(q: np.ndarray) -> np.ndarray:
        """Counts by enumerating every label of every unanswered item: E-step by brute force."""
        counts = prior.copy()
        for row, label in zip(rows, label_ids, strict=True):
            counts[table[row] > 0, label] += 1
        for row in unanswered:
            joint = np.array(
                [
                    (guess[row, y] + 1e-9)
                    * np.prod([(q[rule, y] * labels) ** share[rule] for rule in range(count) if table[row, rule]])
                    for y in range(labels)
                ]
            )
            for rule, y in product(range(count), range(labels)):
                counts[rule, y] += table[row, rule] * weight[row] * joint[y] / joint.sum()
        return counts

    counts = expected(model.q)
    assert model.q == pytest.approx(counts / counts.sum(axis=1, keepdims=True), abs=5e-3)


def test_one_rule_finds_the_maximum_that_a_plain_optimiser_finds() -> None:
    """With one rule the objective is the textbook's: log prior + log-likelihood, the unseen labels summed out."""
    rng = np.random.default_rng(5)
    fired = votes([[1]] * 9, [0])
    guess = rng.dirichlet([2.0, 1.0], 9).astype(np.float32)
    rows, label_ids = np.array([0, 1, 2]), np.array([0, 1, 0])
    config = Config(rounds=5000, agreement=1e9)
    rest = rules.sample(fired, rows, config)
    model = learn(fired, 2, rows, label_ids, guess=guess[rest], guessed=rest, config=config)

    def objective(z: np.ndarray) -> float:
        q = 1 / (1 + np.exp(-z[0]))
        told = 3 * 0.75 * np.log(q) + 3 * 0.25 * np.log(1 - q) + 2 * np.log(q) + np.log(1 - q)
        return -float(told + np.log(guess[rest, 0] * q + guess[rest, 1] * (1 - q)).sum())

    best = 1 / (1 + np.exp(-minimize(objective, [0.0]).x[0]))
    assert model.precision[0] == pytest.approx(best, abs=2e-3)


def test_rules_that_agree_are_believed_more_and_one_against_many_less() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    good = [(truth == label) & (rng.random(400) < 0.7) for label in (0, 1, 0, 1)]
    bad = (truth == 1) & (rng.random(400) < 0.7)  # speaks for 0
    fired = Votes(csr_matrix(np.stack([*good, bad], axis=1).astype(np.float32)), np.array([0, 1, 0, 1, 0]))
    precision = learn(fired, 2, NONE, NONE).precision
    assert min(precision[:4]) > 0.8
    assert precision[4] < 0.5


def test_names_tell_a_wrong_rule_before_any_answer() -> None:
    guess = np.tile(np.array([[0.95, 0.05]], dtype=np.float32), (20, 1))
    fired = votes([[1, 1]] * 20, [0, 1])
    model = learn(fired, 2, NONE, NONE, guess=guess, guessed=np.arange(20))
    assert model.precision[0] > 0.85
    assert model.precision[1] < 0.4


def test_a_rule_helps_an_adaptation_from_no_answer_on() -> None:
    made = blobs(spread=2.0)
    pool, label_ids, count = made.pool(), made.label_ids, len(made.names)
    fired = np.stack([(label_ids == label) for label in range(count)], axis=1).astype(np.float32)
    heard = rules.hear(Votes(csr_matrix(fired), np.arange(count)), pool, None, NONE, NONE, count)
    found = adapt(pool, None, NONE, NONE, count, generator=np.random.default_rng(0), voices=[heard.voice()])
    assert (predict(found, pool).label_id == label_ids).mean() > 0.95


def test_votes_must_name_a_label_for_each_rule() -> None:
    with pytest.raises(ValueError, match="2 rules but 1 labels"):
        votes([[1, 0]], [0])
