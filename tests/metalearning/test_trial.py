"""Trial: taken where training helps on projects kept out, refused where there is nothing to learn; no item leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metalearning import trial
from metalearning.labelling import Sampling
from metalearning.metatrain import Config
from metalearning.sources import TaskSource, shared_items
from metalearning.vectors import unit

QUICK = trial.Plan(
    training=Config(tasks=30, validation_tasks=12, epochs=25, members=1, rate=1e-2, sampling=Sampling(items=(80, 160))),
    shots=(1, 2, 3),
    by_margin=(),
    draws=6,
)


def family(kind: str, number: int) -> TaskSource:
    """Four overlapping labels in 16 dimensions: "named" ones have names that say a lot, "noise" was answered by lot."""
    rng = np.random.default_rng(number)
    centres = unit(rng.standard_normal((4, 16)).astype(np.float32))
    label_ids = np.arange(160) % 4
    x = unit((centres[label_ids] + 0.5 * rng.standard_normal((160, 16))).astype(np.float32))
    if kind == "noise":
        label_ids = rng.permutation(label_ids)
    return TaskSource(f"{kind} {number}", x, label_ids, tuple("abcd"), centres, encoder="made up")


@pytest.mark.parametrize(("kind", "taken"), [("named", True), ("noise", False)])
def test_the_rule_takes_what_helps_and_refuses_what_does_not(kind: str, taken: bool, tmp_path: Path) -> None:
    verdict = trial.run([family(kind, number) for number in range(3)], None, QUICK, tmp_path)
    assert verdict.better is taken
    assert verdict.better == (verdict.gain.low > 0)
    assert len(verdict.kept_out) == 3
    assert verdict.gain.mean == pytest.approx(np.mean([one.gains.mean() for one in verdict.kept_out]))
    assert verdict.checkpoint.fits("made up")


def test_one_project_alone_cannot_be_judged(tmp_path: Path) -> None:
    with pytest.raises(trial.TooFewProjects, match="1 of 1"):
        trial.run([family("named", 0)], None, QUICK, tmp_path)


def test_equal_items_fall_on_one_side_and_no_label_is_lost() -> None:
    source = family("named", 1)
    twice = TaskSource(
        "twice", np.vstack([source.x, source.x]), np.tile(source.label_ids, 2), source.label_names, source.names
    )
    training, validation = trial.halves(twice)
    assert len(training) + len(validation) == len(twice)
    assert shared_items(training, validation) == 0
    assert trial.usable(twice)
    assert not trial.usable(twice.part(np.arange(6)))
