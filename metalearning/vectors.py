"""Vectors: the four lines of linear algebra that everything else here is written in."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

Rows: TypeAlias = Int[np.ndarray, " rows"]


def unit(x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
    """`x` scaled to length one along its last axis; a zero vector stays zero instead of becoming NaN."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(length, 1e-8), dtype=np.float32)


def softmax(logits: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, "items labels"]:
    """Each row as probabilities."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float32)


def log_softmax(logits: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, "items labels"]:
    """Each row as log-probabilities; finite wherever the logits are."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), dtype=np.float32)


def one_hot(label_ids: Rows, label_count: int) -> Float[np.ndarray, "rows labels"]:
    """A row of zeros with a one at each label id."""
    return np.eye(label_count, dtype=np.float32)[label_ids]
