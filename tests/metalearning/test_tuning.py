"""Tuning: loss and gradient against brute force in float64, the steps against Adam by hand, and hard lessons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from labeling.encoders import bert
from metalearning import tuning
from tests.metalearning.tiny import INNER, WIDTH, tiny_network, tiny_params

HARD = {
    "balanced": ([0, 0, 1, 1, 2, 2], [True, True, True]),
    "unbalanced": ([0, 0, 0, 0, 1, 2], [True, True, True]),
    "labels without answers": ([0, 0, 3], [True, True, True, True, True]),
    "some without a name": ([0, 0, 1, 1, 2, 2, 3], [True, False, True, False, True]),
    "no names": ([0, 0, 1, 1, 1], [False, False]),
    "two labels": ([0, 1, 1, 0], [True, True]),
}


def tiny_lesson(label_ids: list[int], named: list[bool], seed: int = 0) -> tuning.Lesson:
    rng = np.random.default_rng(seed)
    states = [rng.standard_normal((rng.integers(2, 6), WIDTH)) for _ in label_ids]
    names = [rng.standard_normal((2, WIDTH)) if has else None for has in named]
    return tuning.Lesson(states, np.array(label_ids), names, tuning.Config(steps=3))


def plain_loss(params: Mapping[str, Tensor], lesson: tuning.Lesson) -> Tensor:
    """The loss, one item and one label after the other, from the docstring's formula."""

    def alone(states: np.ndarray) -> Tensor:
        mask = torch.ones(1, len(states), dtype=torch.bool)
        return tiny_network(params, torch.from_numpy(states)[None], mask)[0]

    def unit(vector: Tensor) -> Tensor:
        return vector / vector.norm().clamp(min=1e-12)

    vectors = [alone(one) for one in lesson.states]
    names = {c: alone(one) for c, one in enumerate(lesson.names) if one is not None}
    mean = sum(vectors[1:], vectors[0]) / len(vectors)
    z = [unit(vector - mean) for vector in vectors]
    centre = mean if len(names) <= 2 else sum(list(names.values())[1:], next(iter(names.values()))) / len(names)
    costs = []
    for own, label_id in enumerate(lesson.label_ids):
        logits = {}
        for c in range(lesson.label_count):
            others = [z[k] for k, other in enumerate(lesson.label_ids) if other == c and (k != own or c != label_id)]
            terms = [*others, *([unit(names[c] - centre)] if c in names else [])]
            if terms:
                logits[c] = 10 * (z[own] @ unit(sum(terms[1:], terms[0])))
        if label_id in logits:
            costs.append(torch.logsumexp(torch.stack(list(logits.values())), 0) - logits[label_id])
    return torch.stack(costs).mean()


def gradient(loss: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(params.values()))])


@pytest.mark.parametrize("hard", HARD)
def test_the_loss_and_its_gradient_are_those_of_the_formula(hard: str) -> None:
    lesson = tiny_lesson(*HARD[hard])
    params = {name: weight.requires_grad_() for name, weight in tiny_params().items()}
    ours = tuning.batch_loss(tiny_network, params, lesson, np.arange(len(lesson)))
    plain = plain_loss(params, lesson)
    assert ours.item() == pytest.approx(plain.item(), abs=1e-12)
    assert torch.allclose(gradient(ours, params), gradient(plain, params), atol=1e-10, rtol=1e-8)


def test_the_gradient_is_that_of_finite_differences() -> None:
    lesson = tiny_lesson(*HARD["unbalanced"])
    params = {name: weight.requires_grad_() for name, weight in tiny_params().items()}
    found = gradient(tuning.batch_loss(tiny_network, params, lesson, np.arange(6)), params)
    direction = torch.randn(len(found), generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def moved(step: float) -> float:
        start, shifted = 0, {}
        for name, weight in params.items():
            part = direction[start : start + weight.numel()].view_as(weight)
            shifted[name], start = weight.detach() + step * part, start + weight.numel()
        return tuning.batch_loss(tiny_network, shifted, lesson, np.arange(6)).item()

    assert (moved(1e-6) - moved(-1e-6)) / 2e-6 == pytest.approx(float(found @ direction), rel=1e-6)


def test_the_steps_are_adams_and_the_start_stays() -> None:
    lesson = tiny_lesson(*HARD["some without a name"])
    start = tiny_params()
    before = {name: weight.clone() for name, weight in start.items()}
    tuned = tuning.tune(tiny_network, start, lesson, np.random.default_rng(0))
    params, first, second = dict(start), dict.fromkeys(start, 0), dict.fromkeys(start, 0)
    for step in (1, 2, 3):
        leaves = {name: weight.clone().requires_grad_() for name, weight in params.items()}
        pulls = torch.autograd.grad(plain_loss(leaves, lesson), list(leaves.values()))
        for name, pull in zip(leaves, pulls, strict=True):
            first[name] = 0.9 * first[name] + 0.1 * pull
            second[name] = 0.999 * second[name] + 0.001 * pull**2
            scaled = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
            params[name] = params[name] - lesson.config.rate * first[name] / (1 - 0.9**step) / scaled
    for name, weight in tuned.items():
        assert torch.equal(start[name], before[name])
        assert torch.allclose(weight, params[name], atol=1e-7), name


def test_an_answer_that_nothing_can_be_learned_from_changes_nothing() -> None:
    lesson = tiny_lesson([0], [False, True])
    start = tiny_params()
    tuned = tuning.tune(tiny_network, start, lesson, np.random.default_rng(0))
    assert all(torch.equal(tuned[name], start[name]) for name in start)
    nobody = tuning.tune(tiny_network, start, lesson.part(np.zeros(0, dtype=int)), np.random.default_rng(0))
    assert all(torch.equal(nobody[name], start[name]) for name in start)


def test_of_many_answers_some_labels_are_drawn_with_two_answers_at_least() -> None:
    counts = [30, 1, 8, 2, *([5] * 16)]
    label_ids = np.repeat(np.arange(len(counts)), counts)
    lesson = tuning.Lesson([np.zeros((1, WIDTH))] * len(label_ids), label_ids, [None] * 20)
    for seed in range(20):
        places = tuning.draw(lesson, np.random.default_rng(seed))
        drawn, answers = np.unique(label_ids[places], return_counts=True)
        assert len(set(places)) == len(places) <= 40
        assert len(drawn) == 13
        assert all(found == min(3, counts[label_id]) for label_id, found in zip(drawn, answers, strict=True))


def test_a_vector_does_not_depend_on_what_it_is_embedded_with() -> None:
    rng = np.random.default_rng(3)
    states = [rng.standard_normal((length, WIDTH)) for length in (7, 1, 300, 4, 900, 2, 60)]
    together = tuning.embed(tiny_network, tiny_params(), states)
    alone = np.concatenate([tuning.embed(tiny_network, tiny_params(), [one]) for one in states])
    assert together.dtype == np.float32
    assert np.allclose(together, alone, atol=1e-6)


def test_the_layer_is_the_published_one() -> None:
    params = tiny_params(5)
    at = "encoder.layer.0"
    peer = torch.nn.TransformerEncoderLayer(
        WIDTH, bert.HEADS, INNER, dropout=0, activation="gelu", layer_norm_eps=bert.EPSILON, batch_first=True
    ).double()
    query = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
    peer.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([params[f"{name}.weight"] for name in query]),
            "self_attn.in_proj_bias": torch.cat([params[f"{name}.bias"] for name in query]),
        }
        | {
            f"{theirs}.{kind}": params[f"{at}.{ours}.{kind}"]
            for theirs, ours in {
                "self_attn.out_proj": "attention.output.dense",
                "linear1": "intermediate.dense",
                "linear2": "output.dense",
                "norm1": "attention.output.LayerNorm",
                "norm2": "output.LayerNorm",
            }.items()
            for kind in ("weight", "bias")
        }
    )
    states = torch.randn(3, 5, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5) < torch.tensor([[5], [2], [4]])
    ours = bert.layer(params, 0, states, mask)
    theirs = peer(states, src_key_padding_mask=~mask)
    assert torch.allclose(ours[mask], theirs[mask], atol=1e-10)
