"""Tuning: an encoder's top layers learn from a project's own answers.

The network is a pure function of its weights; what enters it (the hidden states below it) was computed once. It begins
anew from the published weights each time, takes ten steps, and so can never drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from metalearning.heads import NEAREST
from metalearning.vectors import Rows

Params: TypeAlias = Mapping[str, Tensor]
States: TypeAlias = Float[np.ndarray, "tokens width"]
"""What enters the network for one item, float16; at least one token."""
Network: TypeAlias = Callable[
    [Params, Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]], Float[Tensor, "batch dim"]
]
"""Weights, states and which of them are tokens (the rest is padding) -> vectors of length 1."""

BATCH_TOKENS = 2048
"""Of a batch without gradients, padding included."""


@dataclass(frozen=True)
class Config:
    """Constants of the tuning, found on development data."""

    rate: float = 2e-4
    """Adam's."""
    steps: int = 10
    batch: int = 40
    """Answers in a step; where there are more, some labels are drawn."""
    labels: int = 13
    """Labels in a step, where labels are drawn."""
    scale: float = 10.0
    """Logits per unit of cosine."""
    name_weight: float = 1.0
    """How many answers a name counts for in its label's prototype."""
    folds: int = 4
    """Parts of the answers, each kept from one encoder that is then judged on it."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What there is to learn from: each answered item once, in any order.

    `names` are the states of the label names in column order, None for a label without one.
    """

    states: Sequence[States]
    label_ids: Int[np.ndarray, " answers"]
    names: Sequence[States | None]
    config: Config = field(default_factory=Config)

    @property
    def label_count(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return len(self.states)

    def part(self, which: Rows) -> Lesson:
        """The lesson of some of the answers alone."""
        return Lesson([self.states[place] for place in which], self.label_ids[which], self.names, self.config)


def tune(network: Network, start: Params, lesson: Lesson, generator: np.random.Generator) -> dict[str, Tensor]:
    """The weights after `config.steps` steps of Adam (Kingma & Ba 2015) from `start`, which stays as it is.

    Without dropout: what is random is which answers a step sees, and only where they are more than `config.batch`.
    """
    params = {name: weight.detach().clone().requires_grad_() for name, weight in start.items()}
    optimizer = torch.optim.Adam(params.values(), lr=lesson.config.rate)
    for _ in range(lesson.config.steps if len(lesson) else 0):
        loss = batch_loss(network, params, lesson, draw(lesson, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: weight.detach() for name, weight in params.items()}


def draw(lesson: Lesson, generator: np.random.Generator) -> Rows:
    """The places of a step's answers: all, or of some labels as many each, two at least where a label has two."""
    config = lesson.config
    if len(lesson) <= config.batch:
        return np.arange(len(lesson))
    answered = np.unique(lesson.label_ids)
    chosen = generator.choice(answered, min(len(answered), config.labels), replace=False)
    each = max(2, config.batch // len(chosen))
    of_label = [np.flatnonzero(lesson.label_ids == label_id) for label_id in chosen]
    return np.concatenate([generator.permutation(places)[:each] for places in of_label])


def batch_loss(network: Network, params: Params, lesson: Lesson, places: Rows) -> Float[Tensor, ""]:
    """The loss of one step on the answers at these places.

    Names and answers go through the same layers. Where labels were drawn, only theirs are told apart; else all are.
    """
    drawn = np.unique(lesson.label_ids[places]) if len(places) < len(lesson) else np.arange(lesson.label_count)
    label_ids = torch.from_numpy(np.searchsorted(drawn, lesson.label_ids[places]))
    words = {column: name for column, label_id in enumerate(drawn) if (name := lesson.names[int(label_id)]) is not None}
    states = [lesson.states[place] for place in places]
    vectors = network(params, *padded(states, _type_of(params)))
    names = vectors.new_zeros(len(drawn), vectors.shape[1])
    if words:
        embedded = network(params, *padded(list(words.values()), _type_of(params)))
        names = names.index_copy(0, torch.tensor(list(words)), embedded)
    has_name = torch.zeros(len(drawn), dtype=torch.bool)
    has_name[list(words)] = True
    return leave_one_out_loss(vectors, label_ids, names, has_name, lesson.config.scale, lesson.config.name_weight)


def leave_one_out_loss(
    vectors: Float[Tensor, "answers dim"],
    label_ids: Int[Tensor, " answers"],
    names: Float[Tensor, "labels dim"],
    has_name: Bool[Tensor, " labels"],
    scale: float,
    name_weight: float,
) -> Float[Tensor, ""]:
    """Cross-entropy of each answer under prototypes (Snell et al. 2017) that do not contain it.

    z = norm(v - mean of the batch); S_c = the sum of the z of label c + name_weight * norm(name_c - mean of names);
    logits = scale * z . norm(S_c), for the answer's own label without its own z. Two names have no mean worth taking:
    there the batch's serves. An answer whose label has neither a name nor another answer teaches nothing and is
    left out, and a label with neither is no rival.
    """
    mean = vectors.mean(0)
    z = _unit(vectors - mean)
    centre = names[has_name].mean(0) if int(has_name.sum()) > 2 else mean
    of_label = F.one_hot(label_ids, len(names)).to(z.dtype)
    sums = of_label.T @ z + name_weight * _unit(names - centre) * has_name[:, None]
    logits = scale * z @ _unit(sums).T
    own = scale * (z * _unit(sums[label_ids] - z)).sum(1)
    logits = torch.where(of_label.bool(), own[:, None], logits)
    answers = of_label.sum(0)
    logits = logits.masked_fill(~(has_name | (answers > 0)), -torch.inf)
    taught = has_name[label_ids] | (answers[label_ids] > 1)
    if not taught.any():
        return (vectors * 0).sum()
    return F.cross_entropy(logits[taught], label_ids[taught])


def embed(network: Network, params: Params, states: Sequence[States]) -> Float[np.ndarray, "items dim"]:
    """Vectors of the items under these weights, float32, in the order given; those of like length go together."""
    if not len(states):
        return np.zeros((0, 0), dtype=np.float32)
    lengths = np.array([len(one) for one in states])
    order = np.argsort(lengths, kind="stable")
    out: np.ndarray | None = None
    with torch.inference_mode():
        for places in _batches(order, lengths):
            vectors = network(params, *padded([states[place] for place in places], _type_of(params))).float().numpy()
            out = np.empty((len(states), vectors.shape[1]), dtype=np.float32) if out is None else out
            out[places] = vectors
    assert out is not None
    return out


def padded(
    states: Sequence[States], kind: torch.dtype
) -> tuple[Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]]:
    """The items' states side by side, zeros behind the shorter ones, and which of them are tokens."""
    longest = max(len(one) for one in states)
    together = np.zeros((len(states), longest, states[0].shape[1]), dtype=states[0].dtype)
    mask = np.zeros((len(states), longest), dtype=bool)
    for row, one in enumerate(states):
        together[row, : len(one)] = one
        mask[row, : len(one)] = True
    return torch.from_numpy(together).to(kind), torch.from_numpy(mask)


def _batches(order: Rows, lengths: Int[np.ndarray, " items"]) -> Iterable[Rows]:
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[order[end]] <= BATCH_TOKENS:
            end += 1
        yield order[start:end]
        start = end


def _unit(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """At length 1, but for what lies at the mean: there a direction would be rounding, with a gradient without end."""
    return F.normalize(x, dim=1, eps=NEAREST)


def _type_of(params: Params) -> torch.dtype:
    return next(iter(params.values())).dtype
