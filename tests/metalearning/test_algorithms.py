"""The episodic algorithms against plain autograd, finite differences and laws, in float64."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metalearning import anil, conv4_gradient, fomaml, maml, metasgd, precision, protomaml, protonet, reptile
from metalearning.derivatives import NotWritten
from metalearning.episodes import Episode, Examples, stack, stack_alike
from metalearning.experiments import Algorithm, adapted, prepared
from metalearning.networks import (
    Features,
    HeadDoesNotFit,
    Params,
    conv4,
    embeddings,
    init_conv4,
    init_head,
    init_mlp,
    leaves,
    losses,
    mlp,
    predict,
    start,
)
from metalearning.outer import NoEpisodes, NothingToLearn
from tests.metalearning import plain

RATE = 0.3
SLOW = settings(max_examples=15, deadline=None)
ALGORITHMS: dict[str, Any] = {
    "maml": maml.meta_grad,
    "fomaml": fomaml.meta_grad,
    "anil": anil.meta_grad,
    "metasgd": metasgd.meta_grad,
    "protonet": protonet.meta_grad,
    "protomaml": protomaml.meta_grad,
}

# Prototypes need classes, and a body to learn: neither a regression nor a head on frozen embeddings has both.
PAIRS = [(name, kind) for name in ALGORITHMS for kind in ("conv4", "mlp")] + [
    (name, kind) for name in ("maml", "fomaml", "anil", "metasgd") for kind in ("head", "curve")
]


def meta_grad(
    name: str, params: Params, episodes: Iterable[Episode], features: Features, steps: int, rate: float = RATE
) -> tuple[Tensor, Params]:
    settings_of: dict[str, dict[str, float]] = {"protonet": {}, "metasgd": {"steps": steps}}
    return ALGORITHMS[name](params, episodes, features, **settings_of.get(name, {"rate": rate, "steps": steps}))


def double(params: Params, generator: torch.Generator) -> Params:
    """In float64, and with no zero left that would hide a gradient."""
    return {k: v.double() + 0.1 * torch.randn(v.shape, generator=generator).double() for k, v in params.items()}


def images(generator: torch.Generator, way: int = 3, shot: int = 2, queries: int = 3) -> Episode:
    return classify(lambda items: torch.randn(items, 1, 9, 11, generator=generator).double(), way, shot, queries)


def vectors(generator: torch.Generator, way: int = 3, shot: int = 2, queries: int = 3) -> Episode:
    return classify(lambda items: torch.randn(items, 4, generator=generator).double(), way, shot, queries)


def classify(some: Callable[[int], Tensor], way: int, shot: int, queries: int) -> Episode:
    return Episode(
        Examples(some(way * shot), torch.arange(way).repeat(shot)),
        Examples(some(way * queries), torch.arange(way).repeat(queries)),
        outputs=way,
    )


def curve(generator: torch.Generator) -> Episode:
    some = partial(torch.randn, generator=generator)
    return Episode(
        Examples(some(5, 1).double(), some(5, 1).double()),
        Examples(some(7, 1).double(), some(7, 1).double()),
        outputs=1,
    )


def case(kind: str, seed: int = 0) -> tuple[Params, list[Episode], Features]:
    """Three episodes of differing way (and one of weight two), with a network for them."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "conv4":
        params, features = init_conv4(1, 3, generator), conv4
        episodes = [images(generator, way) for way in (2, 3)]
    elif kind == "mlp":
        params, features = init_mlp((4, 6, 5), generator), mlp
        episodes = [vectors(generator, way) for way in (2, 3, 4)]
    elif kind == "head":
        params, features = init_head(4), embeddings
        episodes = [vectors(generator, way) for way in (2, 3, 4)]
    else:
        params, features = init_mlp((1, 8, 6), generator), mlp
        episodes = [curve(generator) for _ in range(3)]
    episodes[0] = replace(episodes[0], weight=torch.tensor(2.0))
    return double(params, generator), episodes, features


def expected(
    name: str, params: Params, episodes: Sequence[Episode], steps: int, head_rate: float | None = None
) -> Params:
    theta = leaves(params)
    values = [plain.episode_loss(name, theta, episode, RATE, steps, head_rate) * episode.weight for episode in episodes]
    whole = sum(float(episode.weight) for episode in episodes)
    grads = torch.autograd.grad(sum(values, torch.zeros(())) / whole, list(theta.values()), materialize_grads=True)
    return dict(zip(theta, grads, strict=True))


def assert_same(got: Params, want: Params, tolerance: float) -> None:
    assert got.keys() == want.keys()
    for name in want:
        scale = max(1.0, float(want[name].detach().abs().max()))
        assert float((got[name] - want[name]).detach().abs().max()) <= tolerance * scale, name


def theta_for(name: str, params: Params) -> Params:
    return metasgd.with_rates(params, RATE) if name == "metasgd" else params


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_gradient_equals_plain_autograd(name: str, kind: str, steps: int) -> None:
    params, episodes, features = case(kind)
    theta = theta_for(name, params)
    _, grads = meta_grad(name, theta, episodes, features, steps)
    assert_same(grads, expected(name, theta, episodes, steps), 1e-10)


@pytest.mark.parametrize("kind", ["conv4", "mlp"])
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "metasgd", "protomaml"])
def test_a_heads_rate_by_its_outputs_equals_plain_autograd(name: str, kind: str) -> None:
    params, episodes, features = case(kind)
    if name == "metasgd":
        theta = metasgd.with_rates(params, RATE, 0.2)
        _, grads = metasgd.meta_grad(theta, episodes, features, steps=3, by_outputs=True)
    else:
        theta = params
        _, grads = ALGORITHMS[name](params, episodes, features, rate=RATE, steps=3, head_rate=0.2)
    assert_same(grads, expected(name, theta, episodes, 3, head_rate=0.2), 1e-10)


@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "metasgd", "protomaml", "reptile"])
def test_adapting_takes_the_steps_that_the_outer_gradient_takes(name: Algorithm) -> None:
    """Twice the head's rate for two outputs is one rate for all."""
    params, episodes, _ = case("conv4")
    one, by_outputs = (
        adapted(name, prepared(name, params, RATE, head_rate), episodes[0], conv4, RATE, 3, head_rate)
        for head_rate in (None, RATE / 2)
    )
    other = adapted(name, prepared(name, params, RATE, RATE), episodes[0], conv4, RATE, 3, RATE)
    assert_same({k: by_outputs[k] for k in params}, {k: one[k] for k in params}, 1e-12)
    assert float((other["head.weight"] - one["head.weight"]).abs().max()) > 0.01


@pytest.mark.parametrize("channels", [3, 5])
def test_images_of_more_channels_have_the_same_gradient(channels: int) -> None:
    """Up to four channels it is written out, from five on the first block is like the others."""
    generator = torch.Generator().manual_seed(0)
    params = double(init_conv4(channels, 3, generator), generator)
    episode = classify(lambda items: torch.randn(items, channels, 8, 9, generator=generator).double(), 3, 2, 3)
    _, grads = maml.meta_grad(params, [episode], conv4, rate=RATE, steps=2)
    assert_same(grads, expected("maml", params, [episode], 2), 1e-10)


def test_the_written_gradient_of_conv4_is_let_go_with_its_results() -> None:
    params, episodes, _ = case("conv4")
    support = episodes[0].support
    found = conv4_gradient.gradient(list(leaves(start(params, 2)).values()), support.inputs, support.targets)
    first: Any = found[0].grad_fn
    kept = weakref.ref(first.layers[0])
    assert kept() is not None
    del found, first
    assert kept() is None


def test_the_written_gradient_of_conv4_refuses_to_be_derived_twice_more() -> None:
    params, episodes, _ = case("conv4")
    values, support = list(leaves(start(params, 2)).values()), episodes[0].support
    found = conv4_gradient.gradient(values, support.inputs, support.targets)
    with pytest.raises(NotWritten):
        torch.autograd.grad(sum((one * one).sum() for one in found), values, create_graph=True)
    with pytest.raises(NotWritten):
        torch.autograd.grad(
            conv4_gradient.loss(values, support.inputs, support.targets).square(), values, create_graph=True
        )


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", ["conv4", "mlp"])
@pytest.mark.parametrize("name", ["maml", "anil", "metasgd", "protonet", "protomaml"])
def test_gradient_equals_finite_differences(name: str, kind: str, steps: int) -> None:
    params, episodes, features = case(kind)
    theta, generator = theta_for(name, params), torch.Generator().manual_seed(5)
    _, grads = meta_grad(name, theta, episodes, features, steps)
    for _ in range(4):
        way = {k: torch.randn(v.shape, generator=generator).double() for k, v in theta.items()}

        def along(step: float, way: Params = way) -> float:
            moved = {k: v + step * way[k] for k, v in theta.items()}
            return float(meta_grad(name, moved, episodes, features, steps)[0])

        slope = (along(1e-6) - along(-1e-6)) / 2e-6
        product = float(sum((grads[k] * way[k]).sum() for k in theta))
        assert abs(slope - product) <= 1e-5 * max(1.0, abs(slope))


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", ["conv4", "mlp"])
def test_fomaml_equals_finite_differences_of_the_query_loss_with_the_way_held_still(kind: str, steps: int) -> None:
    params, episodes, features = case(kind)
    episode, generator = episodes[1], torch.Generator().manual_seed(5)
    _, grads = fomaml.meta_grad(params, [episode], features, rate=RATE, steps=steps)
    end = fomaml.adapt(start(params, episode.outputs), episode.support, features, rate=RATE, steps=steps)
    way = {k: torch.randn(v.shape, generator=generator).double() for k, v in params.items()}

    def along(step: float) -> float:
        moved = {k: end[k] + step * v for k, v in start(way, episode.outputs).items()}
        return float(losses(predict(moved, episode.query.inputs, features), episode.query.targets))

    slope = (along(1e-6) - along(-1e-6)) / 2e-6
    assert abs(slope - float(sum((grads[k] * way[k]).sum() for k in params))) <= 1e-5


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", ["conv4", "mlp", "head", "curve"])
def test_reptile_moves_to_the_mean_of_where_plain_training_ends(kind: str, steps: int) -> None:
    params, episodes, features = case(kind)
    _, grads = reptile.meta_grad(params, episodes, features, rate=RATE, steps=steps)
    want = {k: torch.zeros_like(v) for k, v in params.items()}
    whole = sum(float(episode.weight) for episode in episodes)
    for episode in episodes:
        begin = leaves(plain.widen(params, episode.outputs))
        rates = {k: torch.full_like(v, RATE) for k, v in begin.items()}
        both = replace(episode, support=reptile.all_examples(episode))
        end = plain.descend(begin, both, rates, steps, list(begin), first=True)
        for k, total in want.items():
            moved = (begin[k] - end[k]).detach()
            rows = moved if moved.shape == total.shape else moved.sum(0, keepdim=True)
            total += float(episode.weight) / whole * rows
    assert_same(grads, want, 1e-10)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", ["conv4", "mlp"])
def test_reptile_equals_training_with_finite_differences(kind: str, steps: int) -> None:
    params, episodes, features = case(kind)
    episode = episodes[0]
    _, grads = reptile.meta_grad(params, [episode], features, rate=RATE, steps=steps)
    examples = reptile.all_examples(episode)
    begin = start(params, episode.outputs)
    now = {k: v.clone(memory_format=torch.contiguous_format) for k, v in begin.items()}

    def value() -> float:
        return float(losses(predict(now, examples.inputs, features), examples.targets))

    def slope(entries: Tensor, at: int) -> float:
        old = float(entries[at])
        entries[at] = old + 1e-6
        above = value()
        entries[at] = old - 1e-6
        below = value()
        entries[at] = old
        return (above - below) / 2e-6

    for _ in range(steps):
        slopes = {k: torch.tensor([slope(v.view(-1), i) for i in range(v.numel())]) for k, v in now.items()}
        now = {k: v - RATE * slopes[k].view(v.shape) for k, v in now.items()}
    summed = {k: (begin[k] - now[k]) for k in begin}
    want = {k: v if v.shape == params[k].shape else v.sum(0, keepdim=True) for k, v in summed.items()}
    assert_same(grads, want, 1e-5)


def test_reptile_on_random_batches_repeats_with_its_generator_and_uses_them() -> None:
    params, episodes, features = case("mlp")

    def run(seed: int, batch: int | None) -> Params:
        generator = torch.Generator().manual_seed(seed)
        return reptile.meta_grad(params, episodes, features, rate=RATE, steps=3, batch=batch, generator=generator)[1]

    assert_same(run(1, 4), run(1, 4), 0.0)
    assert not torch.allclose(run(1, 4)["body.0.weight"], run(2, 4)["body.0.weight"])
    assert_same(run(1, 1000), run(1, None), 1e-12)


# Laws ---------------------------------------------------------------------------------------------------------------


def joint_gradient(params: Params, episodes: Sequence[Episode], features: Features) -> Params:
    """Ordinary training on the query sets, by plain layers."""
    return expected("maml", params, episodes, steps=0)


@SLOW
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["maml", "fomaml", "anil", "metasgd"]), still=st.booleans())
def test_without_an_inner_loop_it_is_joint_training(seed: int, name: str, still: bool) -> None:
    params, episodes, features = case("mlp", seed)
    steps, rate = (3, 0.0) if still else (0, RATE)
    theta = metasgd.with_rates(params, rate) if name == "metasgd" else params
    _, grads = meta_grad(name, theta, episodes, features, steps, rate)
    assert_same({k: grads[k] for k in params}, joint_gradient(params, episodes, features), 1e-10)


@SLOW
@given(seed=st.integers(0, 10**6))
def test_reptile_with_one_step_is_joint_training_and_with_none_stands_still(seed: int) -> None:
    params, episodes, features = case("mlp", seed)
    both = [replace(episode, query=reptile.all_examples(episode)) for episode in episodes]
    _, one = reptile.meta_grad(params, episodes, features, rate=RATE, steps=1)
    want = {k: RATE * v for k, v in joint_gradient(params, both, features).items()}
    assert_same(one, want, 1e-10)
    _, none = reptile.meta_grad(params, episodes, features, rate=RATE, steps=0)
    _, zero = reptile.meta_grad(params, episodes, features, rate=0.0, steps=4)
    assert all(float(v.abs().max()) == 0 for v in (*none.values(), *zero.values()))


@SLOW
@given(seed=st.integers(0, 10**6))
def test_protomaml_without_inner_steps_is_protonet(seed: int) -> None:
    params, episodes, features = case("mlp", seed)
    proto_loss, proto = protonet.meta_grad(params, episodes, features)
    loss, grads = protomaml.meta_grad(params, episodes, features, rate=RATE, steps=0)
    assert abs(float(loss - proto_loss)) < 1e-10
    assert_same(grads, proto, 1e-10)


@SLOW
@given(seed=st.integers(0, 10**6), name=st.sampled_from([*ALGORITHMS, "reptile"]), times=st.integers(2, 3))
def test_a_repeated_episode_counts_like_its_weight(seed: int, name: str, times: int) -> None:
    params, episodes, features = case("mlp", seed)
    heavy = replace(episodes[2], weight=torch.tensor(float(times)))
    theta = theta_for(name, params)
    if name == "reptile":
        _, weighted = reptile.meta_grad(theta, [episodes[1], heavy], features, rate=RATE, steps=2)
        _, repeated = reptile.meta_grad(theta, [episodes[1]] + [episodes[2]] * times, features, rate=RATE, steps=2)
    else:
        _, weighted = meta_grad(name, theta, [episodes[1], heavy], features, 2)
        _, repeated = meta_grad(name, theta, [episodes[1]] + [episodes[2]] * times, features, 2)
    assert_same(weighted, repeated, 1e-10)


def adapted_logits(name: str, params: Params, episode: Episode, features: Features) -> Tensor:
    """Logits of the query set after three inner steps."""
    begin, support, inputs = start(params, episode.outputs), episode.support, episode.query.inputs
    if name == "protonet":
        return protonet.predict(params, support, inputs, episode.outputs, features)
    if name == "protomaml":
        end = protomaml.adapt(leaves(params), support, episode.outputs, features, rate=RATE, steps=3)
    elif name == "metasgd":
        rates = start(leaves({k: torch.full_like(v, RATE) for k, v in params.items()}), episode.outputs)
        end = metasgd.adapt(leaves(begin), rates, support, features, steps=3)
    else:
        adapt = {"maml": maml, "fomaml": fomaml, "anil": anil, "reptile": reptile}[name].adapt
        end = adapt(leaves(begin), support, features, rate=RATE, steps=3)
    return predict(end, inputs, features)


@SLOW
@given(seed=st.integers(0, 10**6), name=st.sampled_from([*ALGORITHMS, "reptile"]), order=st.permutations(range(4)))
def test_permuting_classes_permutes_logits(seed: int, name: str, order: list[int]) -> None:
    params, episodes, features = case("mlp", seed)
    episode, to = episodes[2], torch.tensor(order)
    renamed = replace(episode, support=Examples(episode.support.inputs, to[episode.support.targets]))
    before = adapted_logits(name, params, episode, features)
    after = adapted_logits(name, params, renamed, features)
    assert torch.allclose(after[:, to], before, atol=1e-10)


# Stacks and precision -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "head"])
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "metasgd", "reptile"])
def test_a_stack_gives_what_its_episodes_give_one_by_one(name: str, kind: str) -> None:
    params, _, features = case(kind)
    generator = torch.Generator().manual_seed(3)
    episodes = [vectors(generator, way) for way in (2, 3, 3, 2, 3)]
    episodes[3] = replace(episodes[3], weight=torch.tensor(2.0))
    stacks, theta = stack_alike(episodes, at_once=8), theta_for(name, params)
    assert [len(group.weight) for group in stacks] == [2, 3]
    assert [len(group.weight) for group in stack_alike(episodes, at_once=2)] == [2, 2, 1]
    run = partial(reptile.meta_grad, rate=RATE, steps=3) if name == "reptile" else partial(meta_grad, name, steps=3)
    (loss, grads), (stacked_loss, stacked) = run(theta, episodes, features), run(theta, stacks, features)
    assert abs(float(loss - stacked_loss)) < 1e-10
    assert_same(stacked, grads, 1e-10)


@pytest.mark.parametrize("name", ["protonet", "protomaml"])
def test_a_stack_of_prototypes_gives_what_its_episodes_give_one_by_one(name: str) -> None:
    test_a_stack_gives_what_its_episodes_give_one_by_one(name, "mlp")


def test_a_stack_of_regressions_gives_what_they_give_one_by_one() -> None:
    params, episodes, features = case("curve")
    _, grads = maml.meta_grad(params, episodes, features, rate=RATE, steps=3)
    _, stacked = maml.meta_grad(params, [stack(episodes)], features, rate=RATE, steps=3)
    assert_same(stacked, grads, 1e-10)


def test_bfloat16_in_the_query_pass_changes_the_gradient_by_little() -> None:
    generator = torch.Generator().manual_seed(0)
    params = init_conv4(1, 16, generator, outputs=5)
    episode = images(generator, way=5, shot=2, queries=4)
    small = [replace(episode, support=as_float(episode.support), query=as_float(episode.query))]
    _, full = maml.meta_grad(params, small, conv4, rate=0.05, steps=2)
    _, half = maml.meta_grad(params, small, conv4, rate=0.05, steps=2, query_dtype=torch.bfloat16)
    flat, rough = (torch.cat([v.flatten() for v in grads.values()]) for grads in (full, half))
    assert rough.dtype == torch.float32
    assert float((flat - rough).norm() / flat.norm()) < 0.15  # random images: every unit is near its kink


def test_the_faster_query_pass_is_the_one_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    params = init_conv4(1, 4, generator, outputs=3)
    episode = images(generator)
    small = [replace(episode, support=as_float(episode.support), query=as_float(episode.query))]

    def gradient(query_dtype: precision.QueryDtype) -> Tensor:
        _, grads = maml.meta_grad(params, small, conv4, rate=0.05, steps=1, query_dtype=query_dtype)
        return torch.cat([grad.flatten() for grad in grads.values()])

    full, half = gradient(None), gradient(torch.bfloat16)
    assert not torch.equal(full, half)
    for seconds, faster in (
        ({torch.bfloat16: 0.7, torch.float32: 1.0}, half),
        ({torch.bfloat16: 1.6, torch.float32: 1.0}, full),
    ):
        precision.bfloat16_is_faster.cache_clear()
        monkeypatch.setattr(precision, "_passes", lambda dtype: dtype)
        monkeypatch.setattr(precision, "_seconds", seconds.__getitem__)
        assert torch.equal(gradient("fastest"), faster)
    monkeypatch.undo()
    precision.bfloat16_is_faster.cache_clear()
    assert precision.bfloat16_is_faster() in (True, False)  # the measurement itself runs
    precision.bfloat16_is_faster.cache_clear()


def as_float(examples: Examples) -> Examples:
    return Examples(examples.inputs.float(), examples.targets)


def test_plain_descent_ends_where_maml_ends() -> None:
    params, episodes, features = case("conv4")
    begin = start(leaves(params), 2)
    a = maml.adapt(begin, episodes[0].support, features, rate=RATE, steps=3)
    b = fomaml.adapt(params | start(params, 2), episodes[0].support, features, rate=RATE, steps=3)
    assert_same(a, b, 1e-12)
    assert not any(value.requires_grad for value in b.values())


def test_protomaml_adapts_a_head_on_frozen_embeddings() -> None:
    episode = vectors(torch.Generator().manual_seed(1))
    params, support = leaves(init_head(4)), episode.support
    begin = protomaml.adapt(params, support, 3, embeddings, rate=0.05, steps=0)
    end = protomaml.adapt(params, support, 3, embeddings, rate=0.05, steps=5)
    before, after = (losses(predict(p, support.inputs, embeddings), support.targets).detach() for p in (begin, end))
    assert float(after) < float(before)


@pytest.mark.parametrize("name", ["protonet", "protomaml"])
def test_prototypes_of_frozen_embeddings_refuse_to_be_trained(name: str) -> None:
    with pytest.raises(NothingToLearn, match="no parameter"):
        meta_grad(name, init_head(4), [vectors(torch.Generator().manual_seed(1))], embeddings, 2)


@pytest.mark.parametrize("name", [*ALGORITHMS, "reptile"])
def test_no_episode_is_an_error_and_not_a_gradient_of_nan(name: str) -> None:
    params, episodes, features = case("mlp")
    run = partial(reptile.meta_grad, rate=RATE, steps=1) if name == "reptile" else partial(meta_grad, name, steps=1)
    weightless = replace(episodes[0], weight=torch.tensor(0.0))
    for none in ([], [weightless]):
        with pytest.raises(NoEpisodes, match="no episode to learn from"):
            run(theta_for(name, params), none, features)


def test_a_head_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(HeadDoesNotFit, match="5 outputs and the episode needs 3"):
        start(init_head(4, outputs=5), 3)


def test_a_class_without_support_gets_the_mean_of_all_items() -> None:
    hidden = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0]])
    centres = protonet.prototypes(hidden, torch.tensor([0, 0, 2]), 3)
    assert centres.tolist() == [[1.0, 0.0], [2.0, 1.0], [4.0, 3.0]]
