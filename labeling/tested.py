"""Tested: what the running claim froze. It is asked blind whatever for, and learned from once that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from labeling import pool
from labeling.models import Certificate

NOTHING = np.zeros(0, dtype=np.int64)


def item_ids(project_id: int) -> Int[np.ndarray, " n"]:
    """The ids of the items whose labels are tested now, surest first; of a project without a claim, none.

    Not of samples: what those draw is asked at once, so nothing else can come before it.
    """
    return _of_running(project_id, "item_ids")


def rows(project_id: int) -> Int[np.ndarray, " n"]:
    """Their rows."""
    return _of_running(project_id, "rows")


@lru_cache(maxsize=4)
def frozen(project_id: int, number: int, seed: str) -> Mapping[str, np.ndarray]:
    """What a certificate froze, as `pool.read_frozen` gives it: written once, so it may be kept."""
    return pool.read_frozen(project_id, number, seed)


def _of_running(project_id: int, name: str) -> Int[np.ndarray, " n"]:
    claims = Certificate.objects.filter(
        project=project_id, kind=Certificate.Kind.CLAIM, state=Certificate.State.RUNNING
    )
    running = claims.values_list("number", "seed").first()
    return frozen(project_id, *running)[name] if running else NOTHING
