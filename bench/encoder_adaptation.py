"""Bench: an encoder whose top layers learn from the answers, against the same recipe on frozen vectors, one thread.

    python -m bench.encoder_adaptation fewshot   accuracy of the unlabelled items at k answers per label, seven tasks

The data is looked for in ANNOTATOR_DEV_DATA (default: `shared/data` beside the repository). Hidden states are kept in a
folder for temporary files between runs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import numpy as np

from bench.recipe import DATA, words
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool

CACHE = Path(tempfile.gettempdir()) / "annotator-bench-states"
DOMAINS = DATA / "clinc150.domains.json"


@dataclass(frozen=True)
class Task:
    """A labelled data set, its vectors, and what enters the encoder's top layers for its items and label names."""

    name: str
    pool: Pool
    label_ids: np.ndarray
    names: np.ndarray
    states: list[np.ndarray]
    name_states: list[np.ndarray]


def domain(label: str) -> str:
    """Which of clinc150's ten domains a label belongs to."""
    of = {intent: name for name, intents in json.loads(DOMAINS.read_text()).items() for intent in intents}
    return of[label].replace("_", " ")


def within(name: str) -> Callable[[str], str | None]:
    return lambda label: label if domain(label) == name else None


TASKS: dict[str, tuple[str, Callable[[str], str | None], int]] = {
    "banking77": ("banking77.test", str, 4000),
    "hwu64": ("hwu64.train", str, 3000),
    "hwu64, scenarios": ("hwu64.train", lambda label: label.split("_")[0], 1500),
    "snips": ("snips.train", str, 1500),
    "clickbait": ("clickbait.train", str, 1500),
    "clinc150, travel": ("clinc150.train", within("travel"), 1500),
    "clinc150, domains": ("clinc150.train", domain, 1500),
}
"""The file, what its labels are called here (None: left out), and how many rows are drawn."""


def tasks(encoder: str = "minilm", chosen: str = "") -> Iterator[Task]:
    for name, (file, rename, most) in TASKS.items():
        if chosen in name:
            yield task(name, file, rename, most, encoder)


def task(name: str, file: str, rename: Callable[[str], str | None], most: int, encoder: str) -> Task:
    source = DATA / f"{file}.jsonl"
    if not source.exists():
        sys.exit(f"{source} is absent; set ANNOTATOR_DEV_DATA to the folder that holds text/{source.name}.")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    rows = [row | {"label": label} for row in rows if (label := rename(row["label"])) is not None]
    rows = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:most]]
    labels = sorted({row["label"] for row in rows})
    x, states = read(f"{encoder}-{name}", encoder, [row["text"] for row in rows])
    names, name_states = read(f"{encoder}-{name}-names", encoder, [words(label) for label in labels])
    label_ids = np.array([labels.index(row["label"]) for row in rows])
    return Task(name, Pool(x, neighbour_graph(x, 10, np.random.default_rng(0))), label_ids, names, states, name_states)


def read(key: str, encoder: str, texts: list[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Vectors and states of the texts, from the cache where they are in it."""
    cached = CACHE / f"{key}-{len(texts)}.npz"
    if not cached.exists():
        vectors, states = tunable(encoder).read(texts)
        CACHE.mkdir(parents=True, exist_ok=True)
        lengths = [len(one) for one in states]
        np.savez(cached, vectors=vectors, states=np.concatenate(states), ends=np.cumsum(lengths))
    with np.load(cached) as stored:
        return stored["vectors"], np.split(stored["states"], stored["ends"][:-1])


def tunable(name: str):
    import django

    django.setup()
    from labeling import encoders

    return encoders.get(name)
