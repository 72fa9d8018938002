"""Voices: opinions from beside the experts are heard as far as held-out answers bear them out."""

from __future__ import annotations

import numpy as np
import pytest

from metalearning.adapt import Adaptation, adapt
from metalearning.baselines import logistic_regression
from metalearning.pool import Pool
from metalearning.predict import predict, top
from metalearning.snapshot import from_arrays, to_arrays
from metalearning.vectors import softmax
from metalearning.voices import Voice
from tests.metalearning.blobs import Blobs, blobs

LABELS = 4
MADE = blobs(items=200, labels=LABELS, spread=2.0, seed=3)  # hard enough that a good voice can help


def opinion(made: Blobs, right: float, seed: int = 0) -> np.ndarray:
    """Logits whose likeliest label is the true one for this share of the items."""
    rng = np.random.default_rng(seed)
    wrong = (made.label_ids + rng.integers(1, LABELS, len(made.x))) % LABELS
    said = np.where(rng.random(len(made.x)) < right, made.label_ids, wrong)
    return (3.0 * np.eye(LABELS)[said]).astype(np.float32)


def voice(said: np.ndarray, rows: np.ndarray, unseen: np.ndarray | None = None, **more: object) -> Voice:
    return Voice("oracle", lambda place: said[place], said[rows] if unseen is None else unseen, **more)  # type: ignore[arg-type]


def learned(rows: np.ndarray, *voices: Voice, pool: Pool | None = None, warm: Adaptation | None = None) -> Adaptation:
    return adapt(
        pool or MADE.pool(), MADE.names, rows, MADE.label_ids[rows], LABELS,
        generator=np.random.default_rng(0), voices=voices, warm=warm,
    )  # fmt: skip


def right(found: Adaptation, pool: Pool) -> float:
    rest = np.setdiff1d(np.arange(len(pool)), found.answers.rows)
    return float((predict(found, pool).label_id[rest] == MADE.label_ids[rest]).mean())


ROWS = np.random.default_rng(1).permutation(200)[:60]


def test_a_good_voice_helps_and_is_given_weight() -> None:
    said = opinion(MADE, 0.95)
    with_it = learned(ROWS, voice(said, ROWS))
    assert with_it.voices[0].weight > 0
    assert right(with_it, MADE.pool()) > right(learned(ROWS), MADE.pool()) + 0.05


def test_a_voice_that_guesses_is_given_hardly_any_weight() -> None:
    said = opinion(MADE, 1 / LABELS)
    with_it = learned(ROWS, voice(said, ROWS))
    assert with_it.voices[0].weight <= 0.5
    assert right(with_it, MADE.pool()) > right(learned(ROWS), MADE.pool()) - 0.06


def test_a_voice_that_only_repeats_the_answers_is_not_believed() -> None:
    """It knows every answer that it was told and nothing else; `unseen` gives it away."""
    rng = np.random.default_rng(5)
    told = opinion(MADE, 1 / LABELS, seed=6)
    guesses = (3.0 * np.eye(LABELS)[rng.integers(0, LABELS, len(ROWS))]).astype(np.float32)
    told[ROWS] = 3.0 * np.eye(LABELS)[MADE.label_ids[ROWS]]
    assert learned(ROWS, voice(told, ROWS, guesses)).voices[0].weight <= 0.5
    assert learned(ROWS, voice(told, ROWS)).voices[0].weight == 2.0, "believed where nothing gives it away"


def test_before_there_are_enough_answers_its_own_weight_counts() -> None:
    said, none = opinion(MADE, 0.95), np.zeros(0, dtype=np.intp)
    found = learned(none, voice(said, none))
    assert found.voices[0].weight == 1.0
    assert right(found, MADE.pool()) > right(learned(none), MADE.pool())


def test_a_fixed_weight_is_kept() -> None:
    said = opinion(MADE, 1 / LABELS)
    assert learned(ROWS, voice(said, ROWS, weight=1.5, choices=())).voices[0].weight == 1.5


def test_a_chosen_weight_is_kept_until_weights_are_chosen_again() -> None:
    said = opinion(MADE, 0.95)
    first = learned(ROWS, voice(said, ROWS))
    more = np.append(ROWS, 199 if 199 not in ROWS else 0)
    bad = opinion(MADE, 0.0)
    assert learned(more, voice(bad, more), warm=first).voices[0].weight == first.voices[0].weight
    assert learned(more, voice(bad, more)).voices[0].weight == 0.0


def test_a_new_voice_is_weighed_at_once() -> None:
    bad = opinion(MADE, 0.0)
    assert learned(ROWS, voice(bad, ROWS), warm=learned(ROWS)).voices[0].weight == 0.0


def test_by_hand_without_neighbours() -> None:
    said, none = opinion(MADE, 0.7), np.zeros(0, dtype=np.intp)
    pool = MADE.pool(graph=False)
    found = learned(none, voice(said, none, weight=0.5, choices=()), pool=pool)
    expected = softmax(found.calibration.temper(found.head.logits(MADE.x) + 0.5 * said))
    told = predict(found, pool)
    np.testing.assert_allclose(told.confidence, expected.max(axis=1), atol=1e-5)
    columns, shares = top(found, pool, np.array([5, 7]), k=LABELS)
    np.testing.assert_allclose(shares, np.sort(expected[[5, 7]], axis=1)[:, ::-1], atol=1e-5)
    assert (columns[:, 0] == expected[[5, 7]].argmax(axis=1)).all()


def test_a_voice_alone_is_enough_to_suggest() -> None:
    said, none = opinion(MADE, 1.0), np.zeros(0, dtype=np.intp)
    found = adapt(MADE.pool(), None, none, none, LABELS, generator=np.random.default_rng(0), voices=[voice(said, none)])
    assert (predict(found, MADE.pool()).label_id == MADE.label_ids).mean() > 0.95


def test_a_voice_survives_storage() -> None:
    said = opinion(MADE, 0.95)
    found = learned(ROWS, voice(said, ROWS))
    read = from_arrays(to_arrays(found), voices=[voice(said, ROWS)])
    assert (predict(read, MADE.pool()).confidence == predict(found, MADE.pool()).confidence).all()


def test_a_voice_of_other_answers_or_labels_is_refused() -> None:
    said = opinion(MADE, 0.95)
    with pytest.raises(ValueError, match="oracle"):
        learned(ROWS, voice(said, ROWS[:-1]))
    with pytest.raises(ValueError, match="oracle"):
        predict(learned(ROWS, Voice("oracle", lambda place: said[place][:, :2], said[ROWS])), MADE.pool())


def test_without_voices_nothing_changes() -> None:
    plain = logistic_regression(MADE.pool(), ROWS, MADE.label_ids[ROWS], LABELS)
    assert plain.voices == ()
    assert learned(ROWS).voices == ()
