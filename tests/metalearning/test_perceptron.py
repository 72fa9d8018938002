"""The MLP's written gradient against autograd's, and its derivative against finite differences, in float64."""

from functools import partial

import pytest
import torch
from torch import Tensor

from metalearning import perceptron
from metalearning.derivatives import NotWritten
from metalearning.episodes import Examples
from metalearning.inner import gradient
from metalearning.networks import Params, init_mlp, leaves, losses, mlp, predict, start


def network(outputs: int, episodes: tuple[int, ...] = ()) -> Params:
    generator = torch.Generator().manual_seed(1)
    one = init_mlp((4, 6, 5), generator, outputs)
    some = partial(torch.randn, generator=generator)
    return {k: (v + 0.2 * some(v.shape)).double().requires_grad_() for k, v in start(one, outputs, episodes).items()}


def examples(*shape: int, real: bool) -> Examples:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(*shape, 4, generator=generator).double()
    targets = torch.randn(*shape, 3, generator=generator).double()
    return Examples(inputs, targets if real else targets.argmax(-1))


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("episodes", [(), (2,)])
def test_it_is_what_autograd_finds_and_its_derivative_is_what_small_steps_find(
    episodes: tuple[int, ...], real: bool
) -> None:
    params, support = network(3, episodes), examples(*episodes, 7, real=real)
    loss = losses(predict(params, support.inputs, mlp), support.targets).sum()
    wanted = torch.autograd.grad(loss, list(params.values()))
    found = gradient(params, support, mlp)
    assert list(found) == list(params)
    for name, want in zip(params, wanted, strict=True):
        torch.testing.assert_close(found[name], want, rtol=1e-12, atol=1e-12)

    def again(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient(dict(zip(params, values, strict=True)), support, mlp).values())

    assert torch.autograd.gradcheck(again, tuple(params.values()))


def test_a_third_derivative_is_refused_rather_than_left_out() -> None:
    params, support = leaves(network(3)), examples(7, real=False)
    first = sum((g.square().sum() for g in gradient(params, support, mlp).values()), torch.zeros(()).double())
    with pytest.raises(NotWritten):
        torch.autograd.grad(first, list(params.values()), create_graph=True)


def test_inputs_that_want_a_derivative_are_left_to_autograd() -> None:
    params, support = network(3), examples(7, real=False)
    inputs = support.inputs.clone().requires_grad_()
    found = gradient(params, Examples(inputs, support.targets), mlp)
    (by_inputs,) = torch.autograd.grad(sum((g.sum() for g in found.values()), torch.zeros(()).double()), inputs)
    assert float(by_inputs.abs().max()) > 0
    assert torch.isfinite(by_inputs).all()


def test_nothing_but_the_weights_outlives_a_step() -> None:
    """The memory: what lies between inputs and gradient is not kept for the derivative."""
    params, support = network(3), examples(7, real=False)
    layers = [(params["body.0.weight"], params["body.0.bias"]), (params["body.1.weight"], params["body.1.bias"])]
    layers.append((params["head.weight"], params["head.bias"]))
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        perceptron.gradient(layers, support.inputs, support.targets)
    alive = {value.data_ptr() for value in (*params.values(), support.inputs, support.targets)}
    assert kept
    assert {tensor.data_ptr() for tensor in kept} <= alive
