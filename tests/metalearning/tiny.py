"""A transformer of two layers and width 24, made of the real one's parts, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from labeling.encoders import bert

WIDTH, INNER = 24, 32


def tiny_network(params: Mapping[str, Tensor], states: Tensor, mask: Tensor) -> Tensor:
    """Two transformer layers of width 24, as the real one is of width 384."""
    for number in (0, 1):
        states = bert.layer(params, number, states, mask)
    return F.normalize(bert.pool(states, mask), dim=1)


def tiny_params(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    shapes |= {f"attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
    shapes |= {"attention.output.dense": (WIDTH, WIDTH)}
    params = {}
    for number in (0, 1):
        at = f"encoder.layer.{number}"
        for name, shape in shapes.items():
            params[f"{at}.{name}.weight"] = 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
            params[f"{at}.{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator, dtype=torch.float64)
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            params[f"{at}.{norm}.weight"] = torch.ones(WIDTH, dtype=torch.float64)
            params[f"{at}.{norm}.bias"] = torch.zeros(WIDTH, dtype=torch.float64)
    return params
