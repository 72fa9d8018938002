"""Voices: whatever else has an opinion of the items, beside the four experts: rules, an adapted encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from metalearning.vectors import Rows

CHOICES = ((0.0, -2.0), (0.5, -0.5), (1.0, 0.0), (2.0, -0.5))
"""Factors to choose from, each with its log-prior."""


@dataclass(frozen=True, eq=False)
class Voice:
    """Logits that are added to those of the experts before the neighbours are asked."""

    name: str
    logits: Callable[[slice | Rows], Float[np.ndarray, "items labels"]]
    """What it says of any rows of the pool; up to a number per item, as logits are."""
    unseen: Float[np.ndarray, "answers labels"]
    """For each answer, in the order in which `adapt` gets them: what it says of that item, had it not learned from that
    answer. Without this the model would be judged on what it was told."""
    weight: float = 1.0
    """The factor; where answers can choose it this is only where the choice begins."""
    choices: tuple[tuple[float, float], ...] = CHOICES
    """Factors to choose from by held-out answers, each with its log-prior; none: the weight is fixed."""


def add(
    logits: Float[np.ndarray, "items labels"], voices: Sequence[Voice], place: slice | Rows
) -> Float[np.ndarray, "items labels"]:
    """The logits of the rows at `place` with every voice's added; the array given is written over.

    Raises ValueError as `said` does.
    """
    for voice in voices:
        if voice.weight:
            logits += np.float32(voice.weight) * said(voice, place, logits.shape)
    return logits


def said(voice: Voice, place: slice | Rows, shape: tuple[int, ...]) -> Float[np.ndarray, "items labels"]:
    """What the voice says of the rows at `place`. Raises ValueError where it speaks of other items or labels."""
    logits = voice.logits(place)
    if logits.shape != shape:
        raise ValueError(f"The voice {voice.name!r} says {logits.shape} where {shape} logits are wanted.")
    return logits


def resumed(voices: Sequence[Voice], before: Sequence[Voice]) -> tuple[Voice, ...]:
    """The voices with the weights that voices of the same names had before."""
    weights = {voice.name: voice.weight for voice in before}
    return tuple(
        replace(voice, weight=weights.get(voice.name, voice.weight) if voice.choices else voice.weight)
        for voice in voices
    )
