"""What the papers' experiments share: choose an algorithm by name, adapt with it, and give means with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor

from metalearning import anil, fomaml, maml, metasgd, protomaml, protonet, reptile
from metalearning.episodes import Episode
from metalearning.networks import Features, Params, leaves, start
from metalearning.outer import MetaGrad
from metalearning.precision import QueryDtype

Algorithm = Literal["maml", "fomaml", "reptile", "anil", "metasgd", "protonet", "protomaml"]
ALGORITHMS: tuple[Algorithm, ...] = ("maml", "fomaml", "reptile", "anil", "metasgd", "protonet", "protomaml")


@dataclass(frozen=True)
class Interval:
    """A mean over episodes and the half width of its 95 % interval (normal approximation)."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half_width:.3f}"


def interval(values: Tensor) -> Interval:
    """Of the values of independent episodes, at least two."""
    return Interval(float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values)))


def meta_grad_of(
    name: Algorithm,
    features: Features,
    rate: float,
    steps: int,
    head_rate: float | None = None,
    query_dtype: QueryDtype = None,
) -> MetaGrad:
    """The algorithm's outer gradient with its settings filled in (Meta-SGD and ProtoNet have no inner rate)."""
    inner: dict[str, Any] = {"features": features, "rate": rate, "steps": steps, "head_rate": head_rate}
    match name:
        case "maml":
            return partial(maml.meta_grad, **inner, query_dtype=query_dtype)
        case "fomaml":
            return partial(fomaml.meta_grad, **inner)
        case "reptile":
            return partial(reptile.meta_grad, **inner)
        case "anil":
            return partial(anil.meta_grad, **inner)
        case "metasgd":
            return partial(metasgd.meta_grad, features=features, steps=steps, by_outputs=head_rate is not None)
        case "protonet":
            return partial(protonet.meta_grad, features=features)
        case "protomaml":
            return partial(protomaml.meta_grad, **inner)


def prepared(name: Algorithm, params: Params, rate: float, head_rate: float | None = None) -> Params:
    """The parameters that the algorithm learns: with the inner rates for Meta-SGD."""
    return metasgd.with_rates(params, rate, head_rate) if name == "metasgd" else params


def adapted(
    name: Algorithm,
    params: Params,
    episode: Episode,
    features: Features,
    rate: float,
    steps: int,
    head_rate: float | None = None,
) -> Params:
    """Body and head after `steps` inner steps on the episode's support set, ready for `networks.predict`."""
    outputs, support = episode.outputs, episode.support
    if name in ("protonet", "protomaml"):
        begin = {k: v.expand(*episode.weight.shape, *v.shape) for k, v in params.items()}
        inner = steps if name == "protomaml" else 0
        end = protomaml.adapt(leaves(begin), support, outputs, features, rate=rate, steps=inner, head_rate=head_rate)
    elif name == "metasgd":
        theta, rates = (leaves(start(part, outputs, episode.weight.shape)) for part in metasgd.split(params))
        end = metasgd.adapt(theta, rates, support, features, steps=steps, by_outputs=head_rate is not None)
    elif name == "anil":
        begin = leaves(start(params, outputs, episode.weight.shape))
        end = anil.adapt(begin, support, features, rate=rate, steps=steps, head_rate=head_rate)
    else:
        begin = start(params, outputs, episode.weight.shape)
        end = fomaml.adapt(begin, support, features, rate=rate, steps=steps, head_rate=head_rate)
    return {k: v.detach() for k, v in end.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])
