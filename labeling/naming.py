"""Naming: what a project's label names mean to its encoder, each wording encoded once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from labeling import blobs, encoders, pool
from labeling.encoders.names import words
from labeling.models import Label, Project


def vectors(project: Project, labels: Sequence[Label]) -> Float[np.ndarray, "labels dim"] | None:
    """The vectors of the labels' names and descriptions, float32, in the order given.

    None where names have no place among the items' vectors: images, imported vectors, or no encoder chosen yet.
    Only wordings not seen before are encoded, so that renaming one label of seventy costs one name.
    """
    if not project.encoder or not labels or _wordless(project):
        return None
    texts = [wording(label) for label in labels]
    name = f"projects/{project.pk}/names/{pool.safe(project.encoder)}.npz"
    known = _read(name)
    if new := sorted({text for text in texts if _key(text) not in known}):
        encoded = encoders.get(project.encoder).encode_names(new)
        if encoded is None:
            return None
        known |= {_key(text): vector for text, vector in zip(new, encoded, strict=True)}
        _write(name, known)
    return np.stack([known[_key(text)] for text in texts])


def wording(label: Label) -> str:
    """What stands for the label: its name as words, and its description where it has one."""
    description = label.description.strip()
    return f"{words(label.name)}: {description}" if description else words(label.name)


def _wordless(project: Project) -> bool:
    return project.modality == Project.Modality.IMAGE or project.encoder == encoders.IMPORTED


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _read(name: str) -> dict[str, np.ndarray]:
    data = blobs.read(name)
    if data is None:
        return {}
    with np.load(io.BytesIO(data)) as stored:
        return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))


def _write(name: str, known: dict[str, np.ndarray]) -> None:
    keys, rows = np.array(list(known)), np.stack(list(known.values()))
    blobs.write(name, lambda file: np.savez(file, keys=keys, vectors=rows))
