"""Trial: taken where training helps on projects kept out, refused where there is nothing to learn; no item leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metalearning import trial
from metalearning.labelling import Sampling
from metalearning.metatrain import Config
from metalearning.sources import TaskSource, shared_items
from tests.metalearning.made_sources import misnamed

QUICK = trial.Plan(
    training=Config(tasks=30, validation_tasks=12, sampling=Sampling(items=(80, 160), asked=(10, 40))),
    shots=(2, 3, 5),
    by_margin=(),
    draws=6,
)


def family(kind: str, number: int) -> TaskSource:
    """ "misnamed" ones gain by leaning on the head that heeds the answers, "noise" was answered by lot."""
    source = misnamed(f"{kind} {number}", seed=number)
    if kind == "misnamed":
        return source
    return replace(source, label_ids=np.random.default_rng(number).permutation(source.label_ids))


@pytest.mark.parametrize(("kind", "taken"), [("misnamed", True), ("noise", False)])
def test_the_rule_takes_what_helps_and_refuses_what_does_not(kind: str, taken: bool, tmp_path: Path) -> None:
    verdict = trial.run([family(kind, number) for number in range(3)], None, QUICK, tmp_path)
    assert verdict.better is taken
    assert verdict.better == (verdict.gain.low > 0)
    assert len(verdict.kept_out) == 3
    assert verdict.gain.mean == pytest.approx(np.mean([one.gains.mean() for one in verdict.kept_out]))
    assert verdict.checkpoint.fits("made up")


def test_one_project_alone_cannot_be_judged(tmp_path: Path) -> None:
    with pytest.raises(trial.TooFewProjects, match="1 of 1"):
        trial.run([family("misnamed", 0)], None, QUICK, tmp_path)


def test_equal_items_fall_on_one_side_and_no_label_is_lost() -> None:
    source = family("misnamed", 1)
    twice = TaskSource(
        "twice", np.vstack([source.x, source.x]), np.tile(source.label_ids, 2), source.label_names, source.names
    )
    training, validation = trial.halves(twice)
    assert len(training) + len(validation) == len(twice)
    assert shared_items(training, validation) == 0
    assert trial.usable(twice)
    assert not trial.usable(twice.part(np.arange(6)))
