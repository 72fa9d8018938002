"""Metatrain: better than untrained on tasks it has not seen, the same after a kill, never on what is kept from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from metalearning import recorded
from metalearning.__main__ import main
from metalearning.checkpoint import Checkpoint, content_hash, load
from metalearning.gate import Gate
from metalearning.labelling import Sampling, answered_evenly, whole
from metalearning.metatrain import Config, FolderInUse, evaluate, judged, losses, metatrain, outputs
from metalearning.sources import SourcesOverlap, save
from tests.metalearning.made_sources import made, misnamed

TRAINING, VALIDATION, TEST = misnamed("training"), misnamed("validation", seed=1), made("test", seed=2)
QUICK = Config(
    tasks=40,
    validation_tasks=20,
    epochs=6,
    members=2,
    rate=0.05,
    sampling=Sampling(items=(60, 120), labels=(2, 4), shots=(0, 1, 3, 5), asked=(10, 30), most_answers=30),
)


def test_a_trained_gate_is_better_on_validation_and_its_files_tell_how_it_went(tmp_path: Path) -> None:
    found = metatrain([TRAINING], [VALIDATION], QUICK, None, tmp_path, kept=[TEST])
    figures = found.card["figures"]
    assert figures["validation loss"] < figures["validation loss, untrained"]
    stored = load(tmp_path / "checkpoint.safetensors")
    assert content_hash(stored.params) == content_hash(found.params)
    assert stored.card == found.card
    assert stored.card["sources"][0]["content"] == TRAINING.content_hash
    assert stored.card["config"]["sampling"]["no_names"] == QUICK.sampling.no_names
    assert (tmp_path / "checkpoint.safetensors").stat().st_size < 5_000_000
    curves = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert [(line["member"], line["epoch"]) for line in curves] == [(m, e) for m in range(2) for e in range(1, 7)]
    assert curves[5]["training"] < curves[0]["training"]
    assert found.fits("made up")
    assert not found.fits("minilm")


def test_going_on_from_a_checkpoint_begins_where_it_ended(tmp_path: Path) -> None:
    first = metatrain([TRAINING], [VALIDATION], QUICK, None, tmp_path / "a")
    second = metatrain([TRAINING], [VALIDATION], QUICK, first, tmp_path / "b")
    assert second.card["start"] == content_hash(first.params)
    assert second.card["figures"]["validation loss"] <= first.card["figures"]["validation loss"] + 1e-3


def test_nothing_that_is_kept_is_trained_on(tmp_path: Path) -> None:
    inside = TRAINING.part(np.arange(3), "leak")
    for validation, kept in (([VALIDATION], [inside]), ([inside], [TEST])):
        with pytest.raises(SourcesOverlap, match="training and leak share 3 items"):
            metatrain([TRAINING], validation, QUICK, None, tmp_path, kept=kept)
    assert not list(tmp_path.iterdir())


def test_a_folder_serves_one_training(tmp_path: Path) -> None:
    metatrain([TRAINING], [VALIDATION], QUICK, None, tmp_path)
    with pytest.raises(FolderInUse, match="another folder"):
        metatrain([VALIDATION], [TRAINING], QUICK, None, tmp_path)


def test_killed_and_started_again_it_ends_with_the_same_numbers(tmp_path: Path) -> None:
    for source in (TRAINING, VALIDATION):
        save(source, tmp_path / f"{source.name}.npz")
    whole_way = run(tmp_path, "whole").wait()
    assert whole_way == 0
    killed = run(tmp_path, "killed")
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "member-0.safetensors").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "checkpoint.safetensors").exists()
    assert run(tmp_path, "killed").wait() == 0
    one, other = (load(tmp_path / folder / "checkpoint.safetensors") for folder in ("whole", "killed"))
    assert content_hash(one.params) == content_hash(other.params)
    curves = [(tmp_path / folder / "curves.jsonl").read_text() for folder in ("whole", "killed")]
    assert curves[0] == curves[1]


def run(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "metalearning", "metatrain", "--folder", str(folder / name)]
    command += ["--train", str(folder / "training.npz"), "--validation", str(folder / "validation.npz")]
    command += ["--tasks", "20", "--validation-tasks", "10", "--epochs", "12", "--patience", "12", "--members", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_the_command_refuses_overlap_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(TRAINING, tmp_path / "training.npz")
    save(TRAINING.part(np.arange(9), "leak"), tmp_path / "leak.npz")
    given = [str(tmp_path / name) for name in ("training.npz", "leak.npz", "out")]
    assert main(["metatrain", "--train", given[0], "--validation", given[1], "--folder", given[2]]) == 1
    assert "training and leak share 9 items" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_torch_and_numpy_gates_agree(tmp_path: Path) -> None:
    found = metatrain([TRAINING], [VALIDATION], QUICK, None, tmp_path)
    rows = np.random.default_rng(0).random((5, 12)).astype(np.float32)
    members = [outputs({key: value[m] for key, value in found.params.items()}, torch.from_numpy(rows)) for m in (0, 1)]
    shares = torch.stack(members).mean(0).numpy()
    np.testing.assert_allclose([found.gate.share(one) for one in rows], shares, atol=1e-6)


def test_what_lies_between_two_shares_is_interpolated() -> None:
    one = recorded.Record(np.zeros(12, np.float32), np.array([0.5, 0.6, 0.8, 0.7, 0.7], np.float32))
    for share in (0.0, 0.1, 0.4, 0.55, 0.8):
        expected = 1 - np.interp(share, recorded.SHARES, one.accuracies)
        assert float(losses(torch.tensor([share]), [one])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("per_label", [1, 3])
def test_a_record_is_what_the_recipe_suggests(per_label: int) -> None:
    task = answered_evenly(whole(TRAINING), per_label, np.random.default_rng(0))
    found = recorded.record(task, np.random.default_rng(1))
    assert found is not None
    right, _ = judged(task, Gate(), 1)
    assert found.accuracies[0] == pytest.approx(right.mean(), abs=1e-6)
    gate = Gate.of({"gate.weight": np.zeros((1, 2)), "gate.bias": np.full(1, 20.0)})
    share = gate.share(found.features)
    right, _ = judged(task, gate, 1)
    assert np.interp(share, recorded.SHARES, found.accuracies) == pytest.approx(right.mean(), abs=0.02)


def test_evaluations_of_two_gates_are_pairs(tmp_path: Path) -> None:
    found = metatrain([TRAINING], [VALIDATION], QUICK, None, tmp_path)
    trained, untrained = (evaluate(gate, TEST, shots=(1, 3), by_margin=(20,), draws=2) for gate in (found, None))
    assert [(one.manner, one.answers, one.draw) for one in trained] == [
        (one.manner, one.answers, one.draw) for one in untrained
    ]
    assert len(trained) == 6
    assert all(0.3 < one.accuracy <= 1 for one in trained + untrained)
    assert evaluate(None, TEST, shots=(1, 3), by_margin=(20,), draws=2) == untrained


def test_a_start_that_is_no_gate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gate\.weight"):
        metatrain([TRAINING], [VALIDATION], QUICK, Checkpoint({"head.bias": torch.zeros(1)}, {}), tmp_path)
