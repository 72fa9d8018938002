"""The algorithms once more, as a plain loop over episodes with torch's own layers: the tests' second opinion."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from metalearning.episodes import Episode
from metalearning.networks import Params


def body(params: Params, inputs: Tensor) -> Tensor:
    """Conv-4 for images, an MLP for vectors."""
    hidden, layer = inputs, 0
    while f"body.{layer}.weight" in params:
        weight = params[f"body.{layer}.weight"]
        if inputs.dim() == 4:
            hidden = F.conv2d(hidden, weight, stride=2, padding=1)
            scale, shift = params[f"body.{layer}.scale"], params[f"body.{layer}.shift"]
            hidden = F.relu(F.batch_norm(hidden, None, None, scale, shift, training=True))
        else:
            hidden = F.relu(F.linear(hidden, weight, params[f"body.{layer}.bias"]))
        layer += 1
    return F.adaptive_avg_pool2d(hidden, 1).flatten(1) if inputs.dim() == 4 else hidden


def forward(params: Params, inputs: Tensor) -> Tensor:
    return F.linear(body(params, inputs), params["head.weight"], params["head.bias"])


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets) if targets.is_floating_point() else F.cross_entropy(outputs, targets)


def widen(params: Params, outputs: int) -> Params:
    """Repeat a head of one row."""
    if params["head.weight"].shape[0] == outputs:
        return dict(params)
    weight, bias = params["head.weight"].repeat(outputs, 1), params["head.bias"].repeat(outputs)
    return {**params, "head.weight": weight, "head.bias": bias}


def descend(params: Params, episode: Episode, rates: Params, steps: int, names: Sequence[str], first: bool) -> Params:
    """`steps` of gradient descent over `names`; first = the gradient counts as a constant."""
    for _ in range(steps):
        value = loss(forward(params, episode.support.inputs), episode.support.targets)
        params = dict(params)
        grads = torch.autograd.grad(value, [params[name] for name in names], create_graph=True)
        for name, grad in zip(names, grads, strict=True):
            params[name] = params[name] - rates[name] * (grad.detach() if first else grad)
    return params


def centres(params: Params, episode: Episode) -> Tensor:
    hidden, targets = body(params, episode.support.inputs), episode.support.targets
    return torch.stack([hidden[targets == number].mean(0) for number in range(episode.outputs)])


def episode_loss(
    name: str, theta: Params, episode: Episode, rate: float, steps: int, head_rate: float | None = None
) -> Tensor:
    """The loss of one episode after adaptation, by the algorithm's name."""
    query, flat = episode.query, {k: torch.full_like(v, rate) for k, v in widen(theta, episode.outputs).items()}
    if head_rate is not None:
        flat |= {k: torch.full_like(v, head_rate * episode.outputs) for k, v in flat.items() if k.startswith("head.")}
    if name == "protonet":
        distances = torch.cdist(body(theta, query.inputs), centres(theta, episode)).square()
        return loss(-distances, query.targets)
    if name == "metasgd":
        alpha = widen({k[5:]: v for k, v in theta.items() if k.startswith("rate.")}, episode.outputs)
        if head_rate is not None:  # the learned rates of the head are then for each of its outputs
            alpha |= {k: v * episode.outputs for k, v in alpha.items() if k.startswith("head.")}
        begin = widen({k: v for k, v in theta.items() if not k.startswith("rate.")}, episode.outputs)
        return loss(forward(descend(begin, episode, alpha, steps, list(begin), False), query.inputs), query.targets)
    if name == "protomaml":
        means = centres(theta, episode)
        # Not the very tensors of theta, or autograd would look through the prototypes in the first inner step.
        begin = {k: v + 0 for k, v in theta.items()}
        begin |= {"head.weight": 2 * means, "head.bias": -means.square().sum(1)}
        return loss(forward(descend(begin, episode, flat, steps, list(begin), False), query.inputs), query.targets)
    begin = widen(theta, episode.outputs)
    names = [k for k in begin if k.startswith("head.")] if name == "anil" else list(begin)
    end = descend(begin, episode, flat, steps, names, first=name == "fomaml")
    return loss(forward(end, query.inputs), query.targets)
