"""Tunings: what enters an encoder's top layers, and the items as tuned encoders see them, beside the pool's arrays.

projects/7/states/minilm/000002-1808.npz     hidden states of 1,808 of the rows 8192 to 12287
projects/7/tunings/00000003.vectors.npy      each row as the encoders of tuning 3 see it
projects/7/tunings/00000003.graphs.npz       who lies next to whom for each of them
projects/7/tunings/00000003.facts.npz        what they learned from; a tuning that has all three is whole
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
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from labeling import blobs, encoders, lessons, pool
from labeling.models import Job, Project, Tally

FIRST = 50  # answered items before which there is too little to learn from
EVERY = 25  # further answers after which the encoder learns anew, or a fifth more where that is more
PACE = 100  # items for each further answer that a large project waits for: every tuning looks at all of them anew
GROWN = 1.1  # times as many items: then too
KEPT = 2  # tunings: a round that began with the older one may still be reading it
STATES_NAME = re.compile(r"(\d{6,})-(\d{4})\.npz")
TUNING_NAME = re.compile(r"(\d{8,})\.facts\.npz")
CSR = ("data", "indices", "indptr")  # what scipy makes a sparse matrix of, in this order
States = Float[np.ndarray, "tokens width"]


@dataclass(frozen=True, eq=False)
class Tuning:
    """Tuned encoders: the first learned from all answers, the others each without a part of them."""

    number: int
    """1 first."""
    encoder: str
    answers: int
    wordings: dict[int, str]
    """By id of the labels that they knew, in column order, what stood for each."""
    vectors: Float[np.ndarray, "encoders items dim"]
    """Of length 1, float16, tuned and published ones blended; may be a memory map. Items that came later have none."""
    names: Float[np.ndarray, "encoders labels dim"]
    """The wordings' vectors, blended too."""
    learned_rows: Int[np.ndarray, " learned"]
    """The items whose answers were learned from, ascending."""
    part: Int[np.ndarray, " learned"]
    """Which of the others, counted from 0, has missed each."""


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
        enough = before["answers"] + max(EVERY, before["answers"] // 5, tally.items // PACE)
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


# What tuned encoders see


def write(project_id: int, tuning: Tuning, graphs: Sequence[csr_matrix]) -> None:
    """Store a tuning and the graph over each encoder's vectors; older ones than the last two go."""
    base = f"{_folder(project_id)}/{tuning.number:08d}"
    blobs.write(f"{base}.vectors.npy", lambda file: np.save(file, tuning.vectors))
    links = {f"{part}{place}": getattr(graph, part) for place, graph in enumerate(graphs) for part in CSR}
    blobs.write(f"{base}.graphs.npz", lambda file: np.savez(file, allow_pickle=False, **links))
    labels = [[label_id, wording] for label_id, wording in tuning.wordings.items()]
    facts = json.dumps({"encoder": tuning.encoder, "answers": tuning.answers, "labels": labels})
    arrays: dict[str, Any] = {
        "facts": np.array(facts),
        "names": tuning.names,
        "learned_rows": tuning.learned_rows,
        "part": tuning.part,
    }
    blobs.write(f"{base}.facts.npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
    for other in blobs.names(_folder(project_id)):
        if int(other.split(".")[0]) <= tuning.number - KEPT:
            blobs.delete(f"{_folder(project_id)}/{other}")


def newest(project_id: int, encoder: str) -> Tuning | None:
    """The newest tuning of this encoder; None where there is none, or only such as earlier versions stored."""
    for number in reversed(_numbers(project_id)):
        data = blobs.read(f"{_folder(project_id)}/{number:08d}.facts.npz")
        path = blobs.local(f"{_folder(project_id)}/{number:08d}.vectors.npy")
        if data is None or path is None:
            continue  # removed meanwhile: there is a newer one; or of the form before this one
        with np.load(io.BytesIO(data)) as stored:
            facts: dict[str, Any] = json.loads(str(stored["facts"]))
            if facts["encoder"] != encoder:
                continue
            return Tuning(
                number,
                encoder,
                int(facts["answers"]),
                {int(label_id): wording for label_id, wording in facts["labels"]},
                np.load(path, mmap_mode="r"),
                stored["names"],
                stored["learned_rows"],
                stored["part"],
            )
    return None


def graphs(project_id: int, number: int) -> list[csr_matrix] | None:
    """The graphs of a tuning in the order of its encoders; None where it was removed meanwhile."""
    path = blobs.local(f"{_folder(project_id)}/{number:08d}.graphs.npz")
    if path is None:
        return None
    with np.load(path) as stored:
        count = len(stored.files) // len(CSR)
        parts = [tuple(stored[f"{part}{place}"] for part in CSR) for place in range(count)]
    return [csr_matrix(one, shape=(len(one[-1]) - 1,) * 2) for one in parts]


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
