"""Tunings: what enters an encoder's top layers, and what encoders tuned to a project say, as arrays beside the pool's.

projects/7/states/minilm/000002-1808.npz     hidden states of 1,808 of the rows 8192 to 12287
projects/7/tunings/00000003.said.npy         what tuning 3 says of each row
projects/7/tunings/00000003.facts.npz        what it learned from; a tuning that has this is whole
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.conf import settings
from jaxtyping import Float, Int, Shaped

from labeling import blobs, encoders, lessons, pool
from labeling.models import Job, Project, Tally

FIRST = 50  # answered items before which the encoder's held-out answers say too little to trust it by
EVERY = 50  # further answers after which the encoder learns anew, or a fifth more where that is more
GROWN = 1.1  # times as many items: then too
KEPT = 2  # tunings: a round that began with the older one may still be reading it
STATES_NAME = re.compile(r"(\d{6,})-(\d{4})\.npz")
TUNING_NAME = re.compile(r"(\d{8,})\.facts\.npz")
States = Float[np.ndarray, "tokens width"]


@dataclass(frozen=True, eq=False)
class Tuning:
    """One tuned encoder's opinions of a project's items; metalearning/opinions.py says what the arrays mean."""

    number: int
    """1 first."""
    encoder: str
    answers: int
    label_ids: Int[np.ndarray, " labels"]
    said: Shaped[np.ndarray, " items"]
    learned_rows: Int[np.ndarray, " learned"]
    unseen: Float[np.ndarray, "learned labels"]


# When


def obstacle(project: Project) -> str:
    """Why this project's encoder cannot learn: "off", "encoder" or "large"; empty where it can."""
    if not project.tunes:
        return "off"
    if not encoders.is_tunable(project.encoder):
        return "encoder"
    return "large" if Tally.objects.get(project=project).items > settings.ANNOTATOR_TUNED_ITEMS else ""


def due(project: Project) -> dict[str, Any] | None:
    """The arguments of the tuning that is due; None where none is.

    Counted from the last one begun, whatever became of it: one that failed is not tried again at once.
    """
    if obstacle(project):
        return None
    tally = Tally.objects.get(project=project)
    now = {"answers": tally.answered + min(tally.imported, lessons.LARGEST), "items": tally.items}
    if now["answers"] < FIRST:
        return None
    jobs = Job.objects.filter(project=project, kind=Job.Kind.TUNE, arguments__encoder=project.encoder)
    if last := jobs.order_by("-pk").first():
        before = last.arguments
        enough = before["answers"] + max(EVERY, before["answers"] // 5)
        if now["answers"] < enough and now["items"] < GROWN * before["items"]:
            return None
    return now | {"encoder": project.encoder}


# Hidden states


def within_limit(first: int, states: Sequence[States | None]) -> list[States | None]:
    """The states of the rows from `first` on, without those behind the installation's limit."""
    room = max(settings.ANNOTATOR_KEPT_STATES - first, 0)
    return [*states[:room], *([None] * (len(states) - room))]


def write_states(project_id: int, encoder: str, chunk: int, states: Sequence[States | None]) -> None:
    """Store a chunk's states, its first row first; None for a row without. In place of what was stored of it."""
    there = [np.zeros((0, 0), dtype=np.float16) if one is None else one for one in states]
    lengths = np.array([len(one) for one in there], dtype=np.uint16)
    if not lengths.any():
        return
    together = np.concatenate([one for one in there if len(one)]).astype(np.float16)
    folder = _states_folder(project_id, encoder)
    name = f"{chunk:06d}-{np.count_nonzero(lengths):04d}.npz"
    blobs.write(f"{folder}/{name}", lambda file: np.savez(file, lengths=lengths, states=together))
    for other in _of_chunk(folder, chunk):
        if other != name:
            blobs.delete(f"{folder}/{other}")
    blobs.sweep(folder)


def read_states(project_id: int, encoder: str, chunk: int, count: int) -> list[States | None]:
    """The states of a chunk's first `count` rows as they were written, float16; None for a row that has none."""
    none: list[States | None] = [None] * count
    folder = _states_folder(project_id, encoder)
    for name in reversed(_of_chunk(folder, chunk)):
        if (data := blobs.read(f"{folder}/{name}")) is None:
            continue  # just replaced by a fuller one
        with np.load(io.BytesIO(data)) as stored:
            parts = np.split(stored["states"], np.cumsum(stored["lengths"])[:-1].astype(np.intp))
        return ([part if len(part) else None for part in parts] + none)[:count]
    return none


def states_kept(project_id: int, encoder: str) -> int:
    """Of how many items the states are kept."""
    fullest: dict[str, int] = {}
    for name in blobs.names(_states_folder(project_id, encoder)):
        if match := STATES_NAME.fullmatch(name):
            fullest[match[1]] = int(match[2])  # sorted: the fullest of a chunk comes last
    return sum(fullest.values())


def delete_states(project_id: int, encoder: str) -> None:
    """Remove what is kept of this encoder."""
    blobs.delete_folder(_states_folder(project_id, encoder))


# What tuned encoders say


def write(project_id: int, tuning: Tuning) -> None:
    """Store a tuning: the table first, then the facts that make it known; older ones than the last two go."""
    folder = _folder(project_id)
    blobs.write(f"{folder}/{tuning.number:08d}.said.npy", lambda file: np.save(file, tuning.said))
    facts = json.dumps({"encoder": tuning.encoder, "answers": tuning.answers})
    arrays: dict[str, Any] = {
        "facts": np.array(facts),
        "label_ids": tuning.label_ids,
        "learned_rows": tuning.learned_rows,
        "unseen": tuning.unseen,
    }
    blobs.write(f"{folder}/{tuning.number:08d}.facts.npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
    for other in blobs.names(folder):
        if int(other.split(".")[0]) <= tuning.number - KEPT:
            blobs.delete(f"{folder}/{other}")


def newest(project_id: int, encoder: str) -> Tuning | None:
    """The newest tuning of this encoder; None where there is none."""
    for number in reversed(_numbers(project_id)):
        folder = _folder(project_id)
        data = blobs.read(f"{folder}/{number:08d}.facts.npz")
        path = blobs.local(f"{folder}/{number:08d}.said.npy")
        if data is None or path is None:
            continue  # removed meanwhile: there is a newer one
        with np.load(io.BytesIO(data)) as stored:
            facts: dict[str, Any] = json.loads(str(stored["facts"]))
            if facts["encoder"] != encoder:
                continue
            return Tuning(
                number,
                encoder,
                int(facts["answers"]),
                stored["label_ids"],
                np.load(path, mmap_mode="r"),
                stored["learned_rows"],
                stored["unseen"],
            )
    return None


def next_number(project_id: int) -> int:
    """The number that the next tuning gets."""
    return max(_numbers(project_id), default=0) + 1


def _numbers(project_id: int) -> list[int]:
    found = (TUNING_NAME.fullmatch(name) for name in blobs.names(_folder(project_id)))
    return sorted(int(match[1]) for match in found if match)


def _of_chunk(folder: str, chunk: int) -> list[str]:
    """The files of a chunk's states, the fullest last."""
    return [name for name in blobs.names(folder) if (m := STATES_NAME.fullmatch(name)) and int(m[1]) == chunk]


def _folder(project_id: int) -> str:
    return f"projects/{project_id}/tunings"


def _states_folder(project_id: int, encoder: str) -> str:
    return f"projects/{project_id}/states/{pool.safe(encoder)}"
