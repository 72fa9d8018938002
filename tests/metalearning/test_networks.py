"""The networks against torch's own layers, and what they promise beyond them."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metalearning.convolution import convolve, normalised_relu
from metalearning.derivatives import NotWritten
from metalearning.networks import (
    conv4,
    conv4_statistics,
    init_conv4,
    init_head,
    init_mlp,
    losses,
    mlp,
    start,
)
from tests.metalearning import plain


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def block(images: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return normalised_relu(convolve(images, weight), scale, shift)


def torchs_block(images: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    hidden = F.conv2d(images, weight, stride=2, padding=1)
    return F.relu(F.batch_norm(hidden, None, None, scale, shift, training=True))


def derivatives(of: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The value, its first derivatives, and those of a function of all first derivatives that is not linear in them."""
    fresh = [value.clone().requires_grad_() for value in inputs]
    out = of(*fresh)
    first = torch.autograd.grad((out.sin() * torch.arange(out.numel()).view_as(out)).sum(), fresh, create_graph=True)
    second = torch.autograd.grad(sum((grad * grad * grad).sum() for grad in first) + out.square().sum(), fresh)
    return [out.detach(), *(grad.detach() for grad in first), *second]


@pytest.mark.parametrize("size", [(5, 6), (8, 8), (1, 3)])
def test_a_block_equals_torchs_own_layers_to_the_second_derivative(size: tuple[int, int]) -> None:
    inputs = [some(4, 5, *size), some(3, 5, 3, 3, seed=1), some(3, seed=2), some(3, seed=3)]
    for ours, theirs in zip(derivatives(block, inputs), derivatives(torchs_block, inputs), strict=True):
        assert float((ours - theirs).abs().max()) <= 1e-10 * max(1.0, float(theirs.abs().max()))


def test_a_blocks_written_derivatives_equal_finite_differences() -> None:
    inputs = [
        x.requires_grad_() for x in (some(3, 2, 5, 4), some(3, 2, 3, 3, seed=1), some(3, seed=2), some(3, seed=3))
    ]
    assert torch.autograd.gradcheck(block, inputs)
    assert torch.autograd.gradgradcheck(block, inputs)


def test_vmap_and_third_derivatives_are_refused_and_not_silently_wrong() -> None:
    images, scale, shift = some(2, 4, 3, 6, 2), some(3), some(3)
    with pytest.raises(RuntimeError, match="vmap"):
        torch.func.vmap(partial(normalised_relu, scale=scale, shift=shift))(images)
    x = images[0].requires_grad_()
    first = torch.autograd.grad(normalised_relu(x, scale, shift).sin().sum(), x, create_graph=True)[0]
    with pytest.raises(NotWritten, match="can't be derived once more"):
        torch.autograd.grad(first.sin().sum(), x, create_graph=True)


@pytest.mark.parametrize("size", [(1, 28, 28), (1, 17, 9), (3, 32, 20), (5, 8, 8)])
def test_conv4_equals_plain_convolutions_for_any_image_size(size: tuple[int, int, int]) -> None:
    params = {k: v.double() for k, v in init_conv4(size[0], 4, torch.Generator().manual_seed(0)).items()}
    images = some(6, *size)
    assert torch.allclose(conv4(params, images), plain.body(params, images), atol=1e-12)


def test_with_the_supports_statistics_an_item_does_not_depend_on_its_batch() -> None:
    params = {k: v.double() for k, v in init_conv4(1, 4, torch.Generator().manual_seed(0)).items()}
    support, queries = some(10, 1, 12, 12), some(7, 1, 12, 12, seed=1)
    statistics = conv4_statistics(params, support)
    together = conv4(params, queries, statistics)
    alone = torch.cat([conv4(params, query.unsqueeze(0), statistics) for query in queries])
    assert torch.allclose(together, alone, atol=1e-12)
    assert not torch.allclose(together, conv4(params, queries), atol=1e-3)
    assert torch.allclose(conv4(params, support, statistics), conv4(params, support), atol=1e-12)


def test_an_mlp_runs_a_stack_of_parameters_side_by_side() -> None:
    params = {k: some(3, *v.shape) for k, v in init_mlp((4, 6, 5), torch.Generator().manual_seed(0)).items()}
    inputs = some(3, 7, 4, seed=1)
    alone = [plain.body({k: v[i] for k, v in params.items()}, inputs[i]) for i in range(3)]
    assert torch.allclose(mlp(params, inputs), torch.stack(alone), atol=1e-12)


def test_a_start_has_one_head_row_per_class_for_every_episode() -> None:
    begin = start(init_head(4) | {"body.0.weight": some(6, 4)}, 3, (5,))
    assert {name: tuple(value.shape) for name, value in begin.items()} == {
        "head.weight": (5, 3, 4),
        "head.bias": (5, 3),
        "body.0.weight": (5, 6, 4),
    }


def test_losses_are_torchs_own_for_each_episode() -> None:
    outputs, classes = some(3, 6, 4), torch.arange(18).reshape(3, 6) % 4
    want = torch.stack([F.cross_entropy(o, c) for o, c in zip(outputs, classes, strict=True)])
    assert torch.allclose(losses(outputs, classes), want)
    targets = some(3, 6, 4, seed=1)
    assert torch.allclose(losses(outputs, targets)[1], F.mse_loss(outputs[1], targets[1]))


def test_initial_parameters_repeat_with_their_generator() -> None:
    first, again, other = (init_conv4(1, 8, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])
