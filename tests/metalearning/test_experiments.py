"""The papers' experiments, in small: every algorithm learns, repeats from its seed, and runs from the command line."""

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metalearning import omniglot, sinusoid
from metalearning.__main__ import main
from metalearning.certificate import Claim, next_audits, plan
from metalearning.certificate_record import to_record
from metalearning.checkpoint import load
from metalearning.experiments import ALGORITHMS, Algorithm, interval

DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", Path(__file__).parents[3] / "shared" / "data"))


SMALL = omniglot.Config(
    way=4, way_to=4, shot_to=1, iterations=4, batch=4, filters=8, check_every=10, test_episodes=12, outer_rate=0.01
)


def quiet(iteration: int, loss: float) -> None:
    assert math.isfinite(loss), iteration


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Sixteen "characters" of four alphabets: a random 4x4 pattern each, drawn with noise, 20 times."""
    random = np.random.default_rng(0)
    patterns = random.random((16, 4, 4)) < 0.5
    large = np.repeat(np.repeat(patterns, 3, 1), 3, 2).repeat(20, 0)
    images = np.clip(large * 200 + random.normal(30, 25, large.shape), 0, 255).astype(np.uint8)
    classes = [
        f"{alphabet}/character{i:02}" for alphabet in ("Greek", "Latin", "Early_Aramaic", "Sanskrit") for i in range(4)
    ]
    np.savez(tmp_path / "shapes.npz", images=images, labels=np.arange(16).repeat(20), classes=np.array(classes))
    return tmp_path / "shapes.npz"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns_to_tell_new_characters(algorithm: Algorithm, shapes: Path) -> None:
    data = omniglot.load(shapes)
    assert {name.split("/")[0] for name in data.training.names} == {"Greek", "Latin"}
    assert {name.split("/")[0] for name in data.validation.names} == {"Early_Aramaic"}
    assert {name.split("/")[0] for name in data.testing.names} == {"Sanskrit"}
    config = replace(SMALL, algorithm=algorithm, iterations=20, inner_rate=0.1, test_steps=5)
    trained = omniglot.run(config, data, quiet)
    result = omniglot.evaluate(config, trained.best, data.testing, 4, 1)
    chance = 0.25
    assert result.transductive.mean - result.transductive.half_width > chance + 0.1
    assert result.inductive.mean > chance


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "anil", "metasgd", "reptile"])
def test_every_gradient_based_algorithm_learns_to_fit_waves(algorithm: Algorithm) -> None:
    short, long = (
        sinusoid.Config(algorithm, iterations=iterations, outer_rate=0.004, test_steps=1, test_episodes=100)
        for iterations in (1, 100)
    )
    before, after = sinusoid.run(short, quiet), sinusoid.run(long, quiet)
    assert len(after.learned) == 2
    assert after.learned[1].mean < before.learned[1].mean - 0.1


def test_an_experiment_repeats_from_its_seed() -> None:
    first, again, other = (
        sinusoid.run(sinusoid.Config(iterations=3, test_episodes=20, seed=seed), quiet) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_waves_are_the_papers() -> None:
    episode, told = sinusoid.draw_waves(500, 5, 7, torch.Generator().manual_seed(0))
    assert episode.support.inputs.shape == (500, 5, 1)
    assert episode.query.targets.shape == (500, 7, 1)
    amplitude, phase = told[:, 0, None, None], told[:, 1, None, None]
    assert torch.allclose(episode.query.targets, amplitude * torch.sin(episode.query.inputs - phase))
    assert 0.1 <= float(amplitude.min()) < 0.2 < 4.9 < float(amplitude.max()) <= 5
    assert 0 <= float(phase.min()) < 0.1 < 3.1 < float(phase.max()) <= math.pi
    assert -5 <= float(episode.support.inputs.min()) < -4.9 < 4.9 < float(episode.support.inputs.max()) <= 5


def test_an_interval_is_that_of_a_mean() -> None:
    found = interval(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found.mean == 2.5
    assert found.half_width == pytest.approx(1.96 * math.sqrt(5 / 3) / 2)


def test_the_omniglot_command_prints_a_table_and_saves_what_it_trained(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trained.safetensors"
    small = [
        "--way",
        "4",
        "--way-to",
        "4",
        "--iterations",
        "3",
        "--check-every",
        "2",
        "--filters",
        "4",
        "--test-episodes",
        "5",
    ]
    command = ["omniglot", "--data", str(shapes), "--file", str(file), *small]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\| protonet \| 4-way 5-shot \| [\d.]+ ± [\d.]+ \| [\d.]+ ± [\d.]+ \|", printed)
    assert [json.loads(line)["iteration"] for line in file.with_suffix(".curve.jsonl").open()] == [2, 3]
    assert load(file).card["training"]["settings"]["way"] == 4
    written = file.read_bytes()
    assert main(command) == 0
    assert capsys.readouterr().out == printed
    assert file.read_bytes() == written


def test_the_sinusoid_command_prints_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sinusoid", "--iterations", "3", "--test-episodes", "5", "--algorithm", "anil"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-3:]] == ["| anil", "| training on all waves", "| oracle"]


def test_the_verify_command_accepts_a_certificate_and_refuses_a_changed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = plan([f"row {i}" for i in range(300)], [0.98] * 300, Claim(0.05), "seed")
    known: dict[str, bool] = {}
    while more := next_audits(tested, known, 5):
        known |= dict.fromkeys(more, False)
    answers = dict.fromkeys(known, "right")
    record, file = to_record(tested, ["right"] * 300, answers), tmp_path / "certificate.json"
    file.write_text(json.dumps(record))
    assert main(["verify", str(file)]) == 0
    assert (
        "holds: passed, at most 5.0% (15) of 300 labels are wrong, with a confidence of 0.95" in capsys.readouterr().out
    )
    file.write_text(json.dumps(record | {"accepted": 200, "prefixes": [150, 300]}))
    assert main(["verify", str(file)]) == 1
    assert "does not hold" in capsys.readouterr().out


def test_the_development_characters_are_split_by_alphabet() -> None:
    file = DATA / "images" / "omniglot_small_28.npz"
    if not file.exists():
        pytest.skip(f"no development data at {file}")
    data = omniglot.load(file)
    parts = (data.training, data.validation, data.testing)
    assert [len(part.names) for part in parts] == [114, 22, 106]
    assert all(part.labels.bincount().tolist() == [20] * len(part.names) for part in parts)
    alphabets = [{name.split("/")[0] for name in part.names} for part in parts]
    assert sum(map(len, alphabets)) == len(set.union(*alphabets))
