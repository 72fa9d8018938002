"""Shares: how often something held, with the interval in which the true share lies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """`estimate`, and the ends of its 95 % interval, all in [0, 1]; of `count` cases."""

    estimate: float
    low: float
    high: float
    count: int


def wilson(right: int, count: int, z: float = 1.96) -> Share | None:
    """The share of `right` in `count` independent cases with its score interval (Wilson 1927); None of none."""
    if not count:
        return None
    share = right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return Share(share, max(middle - half, 0.0), min(middle + half, 1.0), count)
