"""The outer loop: it is Adam, goes on after being killed as if it had not been, and stops where nothing is gained."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from metalearning import maml
from metalearning.episodes import Episode
from metalearning.networks import Params, init_mlp, mlp
from metalearning.outer import MetaGrad
from metalearning.sinusoid import draw_waves
from metalearning.training import AnotherTraining, Schedule, learn, rate_at

BEGIN = init_mlp((1, 5), torch.Generator().manual_seed(0))
SCHEDULE = Schedule(iterations=12, outer_rate=0.05, check_every=3)
GRAD: MetaGrad = partial(maml.meta_grad, features=mlp, rate=0.01, steps=1)


class Killed(Exception):
    """Stands for the end of the process."""


def waves(generator: torch.Generator) -> Iterator[Sequence[Episode]]:
    while True:
        yield [draw_waves(3, 5, 5, generator)[0]]


def head(params: Params) -> float:
    return float(params["head.bias"].sum())


def test_the_steps_are_adams_with_the_rate_on_a_half_cosine() -> None:
    rates = [rate_at(step, SCHEDULE) for step in range(12)]
    weight = torch.nn.Parameter(torch.zeros(()))
    adam = torch.optim.Adam([weight], lr=SCHEDULE.outer_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=12, eta_min=SCHEDULE.outer_rate / 100)
    for rate in rates:
        assert rate == pytest.approx(adam.param_groups[0]["lr"])
        weight.grad = torch.zeros(())
        adam.step()
        cosine.step()

    theirs = {name: value.clone() for name, value in BEGIN.items()}
    adam = torch.optim.Adam(theirs.values())
    source = waves(torch.Generator().manual_seed(7))
    for rate in rates:
        _, grads = GRAD(theirs, next(source))
        for name, value in theirs.items():
            value.grad = grads[name]
        adam.param_groups[0]["lr"] = rate
        adam.step()
    ours = learn(BEGIN, GRAD, waves, SCHEDULE, seed=7).theta
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in BEGIN)


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole = learn(BEGIN, GRAD, waves, SCHEDULE, seed=7, score=head)

    def stop(iteration: int, loss: float) -> None:
        if iteration == 8:
            raise Killed

    file = tmp_path / "training.safetensors"
    with pytest.raises(Killed):
        learn(BEGIN, GRAD, waves, SCHEDULE, seed=7, score=head, progress=stop, file=file)
    resumed_at: list[int] = []
    note = lambda iteration, loss: resumed_at.append(iteration)  # noqa: E731
    again = learn(BEGIN, GRAD, waves, SCHEDULE, seed=7, score=head, progress=note, file=file)
    assert resumed_at == [7, 8, 9, 10, 11, 12]
    for one, other in ((whole.theta, again.theta), (whole.best, again.best)):
        assert all(torch.equal(one[name], other[name]) for name in one)
    curves = [[(p.iteration, p.loss, p.score) for p in standing.curve] for standing in (whole, again)]
    assert curves[0] == curves[1]
    assert [json.loads(line)["iteration"] for line in (tmp_path / "training.curve.jsonl").open()] == [3, 6, 9, 12]


def test_other_settings_do_not_go_on_with_it(tmp_path: Path) -> None:
    file = tmp_path / "training.safetensors"
    learn(BEGIN, GRAD, waves, SCHEDULE, seed=7, file=file)
    with pytest.raises(AnotherTraining, match="other settings"):
        learn(BEGIN, GRAD, waves, SCHEDULE, seed=8, file=file)
    with pytest.raises(AnotherTraining):
        learn(BEGIN, GRAD, waves, replace(SCHEDULE, iterations=13), seed=7, file=file)


def test_it_ends_where_validation_gains_no_more_and_gives_the_best() -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    kept: list[Params] = []

    def score(params: Params) -> float:
        kept.append({name: value.clone() for name, value in params.items()})
        return next(scores)

    found = learn(BEGIN, GRAD, waves, replace(SCHEDULE, iterations=100, patience=2), seed=7, score=score)
    assert found.iteration == 12
    assert all(torch.equal(found.best[name], kept[1][name]) for name in BEGIN)
