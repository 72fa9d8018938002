"""The inner gradient that MAML's kin share: that of the support set's loss, which can be derived once more."""

import torch

from metalearning import perceptron
from metalearning.episodes import Examples
from metalearning.networks import Features, Params, layer_names, losses, mlp, predict


def gradient(params: Params, support: Examples, features: Features) -> Params:
    """By every parameter, each episode's loss by its own copy; a function of `params`, which must belong to a graph.

    For an MLP it is written out (`perceptron`), for all other networks autograd derives it.
    """
    names = layer_names(params) if features is mlp else []
    if names and not support.inputs.requires_grad and params[names[0][0]].dim() == support.inputs.dim():
        layers = [(params[weight], params[bias]) for weight, bias in names]
        found = perceptron.gradient(layers, support.inputs, support.targets)
        return dict(pair for two in zip(names, found, strict=True) for pair in zip(*two, strict=True))
    loss = losses(predict(params, support.inputs, features), support.targets).sum()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True, materialize_grads=True)
    return dict(zip(params, grads, strict=True))
