"""Checkpoints: parameters and the card that says what they were trained on, in one safetensors file."""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from metalearning.gate import RECIPE, Gate
from metalearning.networks import Params

FORMAT = "metalearning/1"
SHIPPED = Path(__file__).parent / "checkpoints"
"""Where checkpoints that come with the package lie, each with its model card."""


class CheckpointUnreadable(ValueError):
    """The file is absent, cut off, or was not written by `save`."""


class CheckpointDoesNotFit(ValueError):
    """The parameters are not those of the network that should run them."""


@dataclass(frozen=True)
class Checkpoint:
    """card: algorithm, encoder, data, licences, config, seed, figures: whatever JSON can say. No pickle, no code."""

    params: Params
    card: dict[str, Any]

    @property
    def gate(self) -> Gate:
        """The trained gate in it. Raises `ValueError` naming what is missing if there is none."""
        return Gate.of({name: value.numpy() for name, value in self.params.items()})

    def fits(self, encoder: str) -> bool:
        """Whether its gate was trained for this recipe, and was seen to help on items of this encoder."""
        return self.card.get("recipe") == RECIPE and encoder in self.card.get("serves", ())

    @property
    def label(self) -> str:
        """What a person would call it: its name, and the beginning of the hash of its numbers."""
        return f"{self.card.get('name', 'checkpoint')} {content_hash(self.params)[:8]}"


def save(path: Path, params: Params, card: Mapping[str, Any]) -> None:
    """Write the file whole or not at all: a killed training leaves the last checkpoint as it was."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in params.items()}
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, partial, metadata={"format": FORMAT, "card": json.dumps(card, ensure_ascii=False)})
        with open(partial, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def load(path: Path, like: Params | None = None) -> Checkpoint:
    """The parameters and their card; with `like`, refused unless names and shapes are the same."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            params: Params = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, SafetensorError) as error:
        raise CheckpointUnreadable(f"{path}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointUnreadable(f"{path} has the format {metadata.get('format')!r}, expected {FORMAT!r}")
    if like is not None:
        _require_fit(path, params, like)
    return Checkpoint(params, json.loads(metadata["card"]))


@functools.cache
def default_checkpoint(encoder: str) -> Checkpoint | None:
    """The checkpoint that comes with the package for this encoder; None where none was seen to help."""
    for path in sorted(SHIPPED.glob("*.safetensors")):
        found = load(path)
        if found.fits(encoder):
            return found
    return None


def content_hash(params: Params) -> str:
    """SHA-256 over names, types, shapes and numbers: equal for equal parameters, wherever they are stored."""
    digest = hashlib.sha256()
    for name in sorted(params):
        value = params[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).numpy().tobytes())
    return digest.hexdigest()


def _require_fit(path: Path, params: Params, like: Params) -> None:
    missing, unknown = sorted(like.keys() - params.keys()), sorted(params.keys() - like.keys())
    if missing or unknown:
        raise CheckpointDoesNotFit(f"{path}: missing {missing}, unknown {unknown}")
    for name, value in like.items():
        if params[name].shape != value.shape:
            raise CheckpointDoesNotFit(
                f"{path}: {name} has the shape {tuple(params[name].shape)}, the network {tuple(value.shape)}"
            )
