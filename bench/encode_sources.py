"""Encode labelled texts into the episode sources that `python -m metalearning metatrain` reads.

    python -m bench.encode_sources FOLDER [--encoder minilm] [--items 6000]

For each data set one `.npz`: `vectors` (items, dim) float16, `label_ids` (items,), `names` (labels, dim) float32,
`label_names` and `hashes`, one SHA-256 (16 digits) of each text without case and surplus blanks, by which training data
is kept apart from test data. Coarse labels (clinc150's domains, hwu64's scenarios) make sources of their own, without
the vectors being computed twice. banking77 is encoded too, to be tested on. Data: ANNOTATOR_DEV_DATA (default:
`shared/data` beside the repository); a file takes as many rows of each label, from its beginning.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from tqdm import tqdm

from labeling import encoders

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", REPOSITORY.parent / "shared" / "data")) / "text"
FILES = ("clinc150.train", "hwu64.train", "snips.train", "clickbait.train", "banking77.test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--items", type=int, default=6000, help="of each file at most; default: 6000")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    encoder = encoders.get(options.encoder)
    for file in FILES:
        source = DATA / f"{file}.jsonl"
        if not source.exists():
            sys.exit(f"{source} is absent; set ANNOTATOR_DEV_DATA to the folder that holds text/{source.name}.")
        texts, labels = balanced(source, options.items)
        parts = [encoder.encode(texts[start : start + 512]) for start in tqdm(range(0, len(texts), 512), desc=file)]
        vectors = np.concatenate(parts).astype(np.float16)
        for name, relabel in relabellings(file):
            store(options.folder / f"{name}.npz", encoder, texts, vectors, [relabel(label) for label in labels])


def balanced(source: Path, most: int) -> tuple[list[str], list[str]]:
    """Texts and labels in the file's order, of each label the same number at most, `most` in all."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    each = max(most // len({row["label"] for row in rows}), 1)
    taken: Counter[str] = Counter()
    texts, labels = [], []
    for row in rows:
        if taken[row["label"]] < each:
            taken[row["label"]] += 1
            texts.append(row["text"])
            labels.append(row["label"])
    return texts, labels


def relabellings(file: str) -> list[tuple[str, Callable[[str], str]]]:
    """The sources that a file makes: their names, and what each calls a label."""
    name = file.split(".")[0]
    found: list[tuple[str, Callable[[str], str]]] = [(name, lambda label: label)]
    if name == "clinc150":
        domains = json.loads((DATA / "clinc150.domains.json").read_text(encoding="utf-8"))
        domain_of = {label: domain for domain, members in domains.items() for label in members}
        found.append(("clinc150-domains", lambda label: domain_of[label]))
    if name == "hwu64":
        found.append(("hwu64-scenarios", lambda label: label.split("_")[0]))
    return found


def store(path: Path, encoder: encoders.Encoder, texts: list[str], vectors: np.ndarray, labels: list[str]) -> None:
    known = sorted(set(labels))
    np.savez(
        path,
        vectors=vectors,
        label_ids=np.array([known.index(label) for label in labels]),
        names=encoder.encode_names(known).astype(np.float32),
        label_names=np.array(known),
        hashes=np.array([content_hash(text) for text in texts]),
    )
    print(f"{path.name}: {len(labels)} items, {len(known)} labels")


def content_hash(text: str) -> str:
    """Equal for texts that differ only in case and blanks."""
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "replace")).hexdigest()[:16]


if __name__ == "__main__":
    main()
