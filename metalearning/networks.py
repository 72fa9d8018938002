"""Networks as pure functions of a dict of tensors: a head on embeddings, an MLP and Conv-4.

A network is its `Features`: `features(params, inputs) -> (..., items, width)`. The last layer is always linear and
always called `head.weight`, `head.bias`, so that an algorithm may treat the head apart from the body (ANIL), compute
it (ProtoMAML) or ignore it (ProtoNet).

Heads and MLPs also accept parameters and inputs with leading dimensions, one entry for each episode of a stack; Conv-4
does not (a grouped convolution over episodes is slower on a CPU than a loop).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from metalearning.convolution import EPS, convolve, normalised_relu

Params = dict[str, Tensor]
Features = Callable[[Params, Tensor], Tensor]
Moments = tuple[Tensor, Tensor]
Statistics = list[Moments]

HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
CONV4_NAMES = [f"body.{block}.{part}" for block in range(4) for part in ("weight", "scale", "shift")]
CONV4_NAMES += [HEAD_WEIGHT, HEAD_BIAS]
FEW_CHANNELS = 4
"""Up to so many channels, grey and colour images, the first convolution is computed as a product of patches."""


class HeadDoesNotFit(ValueError):
    """The head has a fixed number of outputs and the episode needs another number."""

    def __init__(self, rows: int, outputs: int) -> None:
        super().__init__(
            f"the head has {rows} outputs and the episode needs {outputs}: "
            "start from a head of one row, which all classes share, or draw episodes of that way"
        )


# Parameters ---------------------------------------------------------------------------------------------------------


def leaves(params: Params) -> Params:
    """The same numbers as fresh leaves of the autograd graph."""
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def start(params: Params, outputs: int, episodes: Sequence[int] = ()) -> Params:
    """Where an episode's inner loop starts: one copy of `params` per episode, with a head of `outputs` rows.

    A head with one row is shared by all classes (Ye & Chao 2022, "How to train your MAML to excel"): it serves any
    number of classes, and no class depends on the order in which the labels were listed.
    `episodes` is () or (episodes,). The copies are views: gradients come back summed.
    """
    rows = params[HEAD_WEIGHT].shape[0]
    if rows not in (1, outputs):
        raise HeadDoesNotFit(rows, outputs)

    def view(name: str, value: Tensor) -> Tensor:
        shape = (outputs, *value.shape[1:]) if name in (HEAD_WEIGHT, HEAD_BIAS) else value.shape
        return value.expand(*episodes, *shape)

    return {name: view(name, value) for name, value in params.items()}


def body_of(params: Params) -> Params:
    """The parameters below the head."""
    return {name: value for name, value in params.items() if name not in (HEAD_WEIGHT, HEAD_BIAS)}


# Forward ------------------------------------------------------------------------------------------------------------


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(..., items, width), (..., outputs, width), (..., outputs) -> (..., items, outputs)"""
    if inputs.dim() == weight.dim() == 3:
        return torch.baddbmm(bias.unsqueeze(-2), inputs, weight.mT)  # one pass, where matmul would take five
    return inputs @ weight.mT + bias.unsqueeze(-2)


def predict(params: Params, inputs: Tensor, features: Features) -> Tensor:
    """Logits, or the regression's outputs: (..., items, outputs)."""
    return linear(features(params, inputs), params[HEAD_WEIGHT], params[HEAD_BIAS])


def embeddings(params: Params, vectors: Tensor) -> Tensor:
    """The features of a head on embeddings: the embeddings."""
    return vectors


def mlp(params: Params, inputs: Tensor) -> Tensor:
    """Hidden layers `body.0`, `body.1`, ..., each followed by a ReLU."""
    hidden = inputs
    for weight, bias in layer_names(params)[:-1]:
        hidden = linear(hidden, params[weight], params[bias]).relu()
    return hidden


def layer_names(params: Params) -> list[tuple[str, str]]:
    """The names of weight and bias of an MLP's layers, from the inputs up; the last is the head."""
    layers = sum(name.endswith(".weight") and name.startswith("body.") for name in params)
    return [(f"body.{layer}.weight", f"body.{layer}.bias") for layer in range(layers)] + [(HEAD_WEIGHT, HEAD_BIAS)]


def conv4(params: Params, images: Tensor, statistics: Statistics | None = None) -> Tensor:
    """Four blocks of 3x3 convolution with stride 2, batch norm and ReLU, then the mean over the image.

    images (items, channels, height, width) of any size -> (items, filters). Finn et al. 2017, appendix A.1, with the
    mean instead of flattening, so that the size of the image is free.
    Without `statistics` each batch is normalised by its own mean and variance: predictions for one item then depend
    on the others of the batch ("transductive"). With those of the support set they do not.
    """
    hidden = images
    for block in range(4):
        hidden = _conv_block(params, hidden, block, statistics[block] if statistics else None)
    return hidden.mean((-2, -1))


def conv4_statistics(params: Params, images: Tensor) -> Statistics:
    """Each block's mean and variance over these images, to normalise other images with. No gradient."""
    hidden, statistics = images, []
    with torch.no_grad():
        for block in range(4):
            before = F.conv2d(hidden, params[f"body.{block}.weight"], stride=2, padding=1).float()
            variance, mean = torch.var_mean(before, (0, 2, 3), correction=0)
            statistics.append((mean, variance))
            hidden = _conv_block(params, hidden, block, (mean, variance))
    return statistics


def _conv_block(params: Params, images: Tensor, block: int, moments: Moments | None) -> Tensor:
    weight, scale, shift = (params[f"body.{block}.{name}"] for name in ("weight", "scale", "shift"))
    if images.shape[1] <= FEW_CHANNELS:
        return _few_channels_normalised(images, weight, scale, shift, moments).relu()
    hidden = convolve(images, weight)
    if moments is None:
        return normalised_relu(hidden, scale, shift)
    mean, variance = moments
    gain = _exact(scale) * (variance + EPS).rsqrt()
    by_channel = (slice(None), None, None)
    return (hidden * gain[by_channel] + (shift - mean * gain)[by_channel]).to(hidden.dtype).relu()


def _few_channels_normalised(
    images: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, moments: Moments | None
) -> Tensor:
    """Convolution and batch norm at once, as one product of patches: the same numbers, a fifth faster in all.

    The result h = W p is linear in a patch p of few numbers, so mean and variance of h follow from those of p:
    E h = W E p and Var h = diag(W Cov(p) W'). The large map is then computed once, already normalised; and its
    derivatives, the second included, are products with nine columns a channel.
    The result lies in memory with the channels last, which later blocks keep.
    """
    height, width = (images.shape[2] + 1) // 2, (images.shape[3] + 1) // 2
    patches = F.unfold(images, 3, padding=1, stride=2).mT.flatten(0, 1)  # (items * height * width, channels * 9)
    centre = patches.mean(0)
    patches, kernel = patches - centre, weight.flatten(1)
    at_centre = _exact(kernel) @ _exact(centre)
    if moments is None:
        exact = _exact(patches)
        covariance = exact.mT @ exact / len(exact)
        moments = (at_centre, ((_exact(kernel) @ covariance) * _exact(kernel)).sum(1))
    mean, variance = moments
    gain = _exact(scale) * (variance + EPS).rsqrt()
    offset = _exact(shift) + gain * (at_centre - mean)
    out = torch.addmm(offset.to(patches.dtype), patches, (_exact(kernel) * gain.unsqueeze(1)).to(patches.dtype).mT)
    return out.view(len(images), height, width, -1).permute(0, 3, 1, 2)


def _exact(values: Tensor) -> Tensor:
    """At least float32."""
    return values.float() if values.dtype == torch.bfloat16 else values


# Loss ---------------------------------------------------------------------------------------------------------------


def losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """One mean loss per episode: cross-entropy for class numbers, mean squared error for real targets.

    outputs (*episodes, items, outputs); targets (*episodes, items) integers, or real of the outputs' shape.
    """
    if targets.is_floating_point():
        return (outputs - targets).square().mean((-2, -1))
    one_by_one = F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none")
    return one_by_one.view(targets.shape).mean(-1)


# Initial parameters -------------------------------------------------------------------------------------------------


def init_head(width: int, outputs: int = 1) -> Params:
    """A head of zeros. One row (the default) is shared by all classes, see `start`."""
    return {HEAD_WEIGHT: torch.zeros(outputs, width), HEAD_BIAS: torch.zeros(outputs)}


def init_mlp(sizes: Sequence[int], generator: torch.Generator, outputs: int = 1) -> Params:
    """Hidden layers of `sizes` (the first is the inputs' width), uniform as He et al. 2015, and a small random head."""
    params: Params = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        params[f"body.{layer}.weight"] = _uniform((fan_out, fan_in), (6 / fan_in) ** 0.5, generator)
        params[f"body.{layer}.bias"] = torch.zeros(fan_out)
    params[HEAD_WEIGHT] = _uniform((outputs, sizes[-1]), sizes[-1] ** -0.5, generator)
    params[HEAD_BIAS] = torch.zeros(outputs)
    return params


def init_conv4(channels: int, filters: int, generator: torch.Generator, outputs: int = 1) -> Params:
    """Convolutions without bias, which the batch norm behind each would take out again, and a small random head."""
    params: Params = {}
    for block in range(4):
        fan_in = 9 * (channels if block == 0 else filters)
        weight = _uniform((filters, fan_in // 9, 3, 3), (6 / fan_in) ** 0.5, generator)
        params[f"body.{block}.weight"] = weight.contiguous(memory_format=torch.channels_last)
        params[f"body.{block}.scale"] = torch.ones(filters)
        params[f"body.{block}.shift"] = torch.zeros(filters)
    params[HEAD_WEIGHT] = _uniform((outputs, filters), filters**-0.5, generator)
    params[HEAD_BIAS] = torch.zeros(outputs)
    return params


def _uniform(shape: Iterable[int], bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(tuple(shape), generator=generator) * 2 - 1) * bound
