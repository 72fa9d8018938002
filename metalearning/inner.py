"""What MAML's kin share: the inner gradient, which can be derived once more, the inner rates and the outer loss."""

import torch
from torch import Tensor

from metalearning import conv4_gradient, perceptron
from metalearning.episodes import Examples
from metalearning.networks import (
    CONV4_NAMES,
    FEW_CHANNELS,
    HEAD_BIAS,
    HEAD_WEIGHT,
    Features,
    Params,
    conv4,
    layer_names,
    leaves,
    losses,
    mlp,
    predict,
)


def gradient(params: Params, support: Examples, features: Features) -> Params:
    """By every parameter, each episode's loss by its own copy; a function of `params`, which must belong to a graph.

    For an MLP (`perceptron`) and for Conv-4 (`conv4_gradient`) it is written out, for others autograd derives it.
    """
    written = _written(params, support, features)
    return written or _derived(params, support, features, create_graph=True)


def constant_gradient(params: Params, support: Examples, features: Features) -> Params:
    """The same numbers without a graph, for any parameters."""
    with torch.no_grad():
        written = _written(params, support, features)
    return written or _derived(leaves(params), support, features, create_graph=False)


def _written(params: Params, support: Examples, features: Features) -> Params | None:
    if _is_written_conv4(support, features):
        found = conv4_gradient.gradient([params[name] for name in CONV4_NAMES], support.inputs, support.targets)
        return dict(zip(CONV4_NAMES, found, strict=True))
    names = layer_names(params) if features is mlp else []
    if names and not support.inputs.requires_grad and params[names[0][0]].dim() == support.inputs.dim():
        layers = [(params[weight], params[bias]) for weight, bias in names]
        by_layer = perceptron.gradient(layers, support.inputs, support.targets)
        return dict(pair for two in zip(names, by_layer, strict=True) for pair in zip(*two, strict=True))
    return None


def _derived(params: Params, support: Examples, features: Features, create_graph: bool) -> Params:
    loss = losses(predict(params, support.inputs, features), support.targets).sum()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph, materialize_grads=True)
    return dict(zip(params, grads, strict=True))


def step_sizes(params: Params, rate: float, head_rate: float | None) -> dict[str, float]:
    """alpha by parameter: `rate`, and for the head `head_rate` times its number of outputs, where that is given.

    A mean over items of C classes gives each class, and so the head's row of it, 1/C of the pull, while the body is
    pulled by all of them. With one rate for both the head's first step is therefore four times shorter for twenty
    classes than for five, and a start learned on the ones doesn't suit the others. (MAML++, Antoniou et al. 2019,
    section 4, gives each layer a rate of its own, for one number of classes.)
    """
    outputs = params[HEAD_WEIGHT].shape[-2]
    of_head = rate if head_rate is None else head_rate * outputs
    return {name: of_head if name in (HEAD_WEIGHT, HEAD_BIAS) else rate for name in params}


def loss(params: Params, examples: Examples, features: Features) -> Tensor:
    """The query set's: one value per episode. For Conv-4 its derivative is written out as well (`conv4_gradient`)."""
    if _is_written_conv4(examples, features):
        return conv4_gradient.loss([params[name] for name in CONV4_NAMES], examples.inputs, examples.targets)
    return losses(predict(params, examples.inputs, features), examples.targets)


def _is_written_conv4(examples: Examples, features: Features) -> bool:
    return features is conv4 and examples.inputs.shape[1] <= FEW_CHANNELS and not examples.inputs.requires_grad
