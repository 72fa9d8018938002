"""Replay: what a recorded project would have been told under other weights, neighbours included, with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metalearning.graph import smooth
from metalearning.recorded import Record
from metalearning.vectors import softmax

ROUNDS = 3
"""Times that neighbours are asked again under other weights, from where the fixed ones had led. Bounded weights move
the labels' shares little, and each further round moves them less."""
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.5, 4, 10))
CHANCE = 0.02
"""Share of chance mixed into every probability, so that no single item decides what is learned."""


@dataclass(frozen=True, eq=False)
class Replay:
    """A record, and the shares of the labels that the untrained recipe ended with."""

    record: Record
    shares: Float[np.ndarray, "items labels"]
    """Half precision; answered items as they were answered."""

    @staticmethod
    def of(record: Record) -> Replay:
        """Flow the labels once under the fixed weights."""
        shares = softmax(flowed(record, record.trust))
        shares[record.clamped] = record.clamped_to
        return Replay(record, shares.astype(np.float16))


def flowed(record: Record, trust: Float[np.ndarray, " heard"]) -> Float[np.ndarray, "items labels"]:
    """Every item's logits under these weights of the experts heard, as `predict` computes them; not yet tempered."""
    leant = _leant(torch.from_numpy(trust), record).numpy().astype(np.float32)
    logits = np.einsum("e,eil->il", leant, record.opinions.astype(np.float32))
    return smooth(logits, record.graph, record.smoothing, record.clamped, record.clamped_to)


def loss(moved: Tensor, replay: Replay) -> Tensor:
    """Cross-entropy of the judged items where the logarithms of the weights move by `moved`, (3,), before being scaled.

    The neighbours are asked `ROUNDS` times under the new weights, and gradients flow through all of them. It is taken
    at that temperature at which it is lowest: what is learned is which label is likelier, not how sure to be of it.
    """
    record = replay.record
    fixed = torch.from_numpy(record.trust)
    trust = fixed * torch.exp(moved)
    leant = _leant(trust * (fixed.sum() / trust.sum()), record)
    logits = torch.einsum("e,eil->il", leant, torch.from_numpy(record.opinions).float())
    final = _smoothed(logits, replay)[torch.from_numpy(record.rows)]
    label_ids = torch.from_numpy(record.label_ids)[:, None]
    with torch.no_grad():
        best = min(TEMPERATURES, key=lambda temperature: float(_cross_entropy(final / temperature, label_ids)))
    return _cross_entropy(final / best, label_ids)


def _cross_entropy(logits: Tensor, label_ids: Tensor) -> Tensor:
    right = torch.softmax(logits, 1).gather(1, label_ids)
    return -torch.log((1 - CHANCE) * right + CHANCE / logits.shape[1]).mean()


def _leant(trust: Tensor, record: Record) -> Tensor:
    """`gate.leaning`, with gradients: the proximal head is the last that is heard."""
    leant = (1 - record.leaning) * trust
    return torch.cat([leant[:-1], leant[-1:] + record.leaning * trust.sum()])


def _smoothed(logits: Tensor, replay: Replay) -> Tensor:
    record = replay.record
    if not record.smoothing:
        return logits
    links = torch.sparse_csr_tensor(
        torch.from_numpy(record.starts.astype(np.int64)),
        torch.from_numpy(record.indices.astype(np.int64)),
        torch.from_numpy(record.weights),
        size=(len(logits), len(logits)),
        check_invariants=False,
    )
    clamped, clamped_to = torch.from_numpy(record.clamped), torch.from_numpy(record.clamped_to)
    shares = torch.from_numpy(replay.shares).float()
    for _ in range(ROUNDS - 1):
        shares = torch.softmax(logits + record.smoothing * torch.sparse.mm(links, shares), 1)
        shares = shares.index_copy(0, clamped, clamped_to)
    return logits + record.smoothing * torch.sparse.mm(links, shares)
