"""Opinions: what a tuned encoder says of every item, kept small, and read back as a voice beside the recipe.

Of each item the likeliest labels' log-probabilities are kept and, as one number, what is left for each of the others:
some 130 bytes an item however many labels there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from metalearning.vectors import Rows, log_softmax, softmax
from metalearning.voices import Voice

KEPT = 32
"""Labels kept of an item."""
SMALLEST = 1e-9
"""Share below which a label's is not told apart from nothing."""
NAME = "encoder"
"""The voice's."""
WEIGHT = 0.0
CHOICES = ((0.0, -1.0), (0.25, -0.5), (0.5, 0.0), (1.0, -0.5), (2.0, -3.0))
"""Factors for the voice, each with its log-prior, found on development data."""


@dataclass(frozen=True, eq=False)
class Opinions:
    """What an encoder tuned to some of the answers says. `label_ids` are the labels it knew, in column order."""

    label_ids: Int[np.ndarray, " labels"]
    table: Shaped[np.ndarray, " items"]
    """By row, as `kept` makes it; may be a memory map. Items that came later have none."""
    learned_rows: Rows
    """The items whose answers it learned from, ascending."""
    unseen: Float[np.ndarray, "learned labels"]
    """For each of these the log-probabilities of an encoder that was tuned without its answer."""


def kept(logits: Float[np.ndarray, "items labels"]) -> Shaped[np.ndarray, " items"]:
    """The rows of a table: columns and log-probabilities of the likeliest labels, and the mean share of the others."""
    said = log_softmax(logits)
    count = min(KEPT, said.shape[1])
    rows = np.zeros(len(said), dtype=[("column", np.uint16, (count,)), ("said", np.float16, (count,)), ("rest", "f2")])
    order = np.argpartition(-said, count - 1, axis=1)
    best, others = order[:, :count], order[:, count:]
    rows["column"], rows["said"] = best, np.take_along_axis(said, best, 1)
    if others.shape[1]:
        share = np.exp(np.take_along_axis(said, others, 1)).mean(axis=1)
        rows["rest"] = np.log(np.maximum(share, SMALLEST))
    return rows


def spread(table: Shaped[np.ndarray, " items"], label_count: int) -> Float[np.ndarray, "items labels"]:
    """The log-probabilities back from a table's rows, float32."""
    out = np.repeat(table["rest"].astype(np.float32)[:, None], label_count, axis=1)
    np.put_along_axis(out, table["column"].astype(np.intp), table["said"].astype(np.float32), axis=1)
    return out


def voice(opinions: Opinions, rows: Rows, label_ids: Sequence[int], items: int) -> Voice:
    """The opinions as a voice on a project's labels and `items` as they are now; `rows` are its answers'.

    An answer that the encoder has not learned from it has not seen. Of an item that came later it says nothing, and to
    a label that it does not know it gives what it gives its own labels on average, weighed by how likely it holds them:
    the recipe decides between that label and the likeliest.
    """
    at = {int(label_id): column for column, label_id in enumerate(opinions.label_ids)}
    columns = np.array([at.get(int(label_id), -1) for label_id in label_ids], dtype=np.intp)

    def logits(place: slice | Rows) -> Float[np.ndarray, "rows labels"]:
        wanted = np.arange(items)[place]
        said = np.zeros((len(wanted), len(columns)), dtype=np.float32)
        there = wanted < len(opinions.table)
        said[there] = _in_columns(spread(opinions.table[wanted[there]], len(at)), columns)
        return said

    unseen = logits(rows)
    place = np.searchsorted(opinions.learned_rows, rows)
    learned = np.isin(rows, opinions.learned_rows)
    unseen[learned] = _in_columns(opinions.unseen[place[learned]], columns)
    return Voice(NAME, logits, unseen, WEIGHT, CHOICES)


def _in_columns(said: Float[np.ndarray, "rows known"], columns: Rows) -> Float[np.ndarray, "rows labels"]:
    neutral = np.log((softmax(said) ** 2).sum(axis=1, keepdims=True))
    return np.where(columns >= 0, said[:, columns], neutral).astype(np.float32)
