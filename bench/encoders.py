"""How fast the encoders are, and how well a few examples tell classes apart in what they make of the data.

    python -m bench.encoders [--quick]

Prints one JSON line per measurement. Data: ANNOTATOR_DEV_DATA (default: shared/data beside the repository) and
scikit-learn's digits. One thread; `per_second` counts CPU seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import django
import numpy as np
from django.conf import settings
from PIL import Image

from labeling import encoders
from labeling.encoders import minilm
from labeling.encoders.base import unit

DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHOTS = (1, 3, 5, 10)
DRAWS = 10


def few_shot(vectors: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean accuracy of the nearest of the centroids of 1, 3, 5 and 10 random examples a class, on all other items."""
    classes, own = np.unique(labels, return_inverse=True)
    found = {}
    for shots in SHOTS:
        hits = []
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            support = [rng.permutation(np.flatnonzero(own == label))[:shots] for label in range(len(classes))]
            centroids = unit(np.stack([vectors[rows].mean(0) for rows in support]))
            rest = np.setdiff1d(np.arange(len(own)), np.concatenate(support))
            hits.append(((vectors[rest] @ centroids.T).argmax(1) == own[rest]).mean())
        found[str(shots)] = round(float(np.mean(hits)), 4)
    return found


def timed(encoder: Any, items: Sequence[Any]) -> tuple[np.ndarray, float]:
    """The items' vectors, and how many a CPU second made."""
    encoder.encode(items[:8])
    began = time.process_time()
    vectors = encoder.encode(items)
    return vectors, round(len(items) / (time.process_time() - began), 1)


def report(data: str, encoder: str, vectors: np.ndarray, labels: np.ndarray, **more: Any) -> None:
    """Print one measurement."""
    print(json.dumps({"data": data, "encoder": encoder, "few_shot": few_shot(vectors, labels)} | more), flush=True)


def texts(limit: int) -> None:
    """Banking77: both text encoders, MiniLM also in float32; `names` is the accuracy of label names alone."""
    lines = (DATA / "text" / "banking77.test.jsonl").read_text().splitlines()[:limit]
    rows = [json.loads(line) for line in lines]
    items, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    classes, own = np.unique(labels, return_inverse=True)
    for name, encoder in _text_encoders():
        vectors, speed = timed(encoder, items)
        words = encoder.encode_names(classes.tolist())
        centred = unit(vectors - vectors.mean(0)) @ unit(words - words.mean(0)).T
        names = round(float((centred.argmax(1) == own).mean()), 4)
        report("banking77", name, vectors, labels, per_second=speed, names=names)


def long_texts(limit: int) -> None:
    """Documents of ten questions on one topic that come after 300 words on others: the first window, or four."""
    rows = [json.loads(line) for line in (DATA / "text" / "clinc150.train.jsonl").read_text().splitlines()]
    domain_of = {
        intent: domain
        for domain, intents in json.loads((DATA / "text" / "clinc150.domains.json").read_text()).items()
        for intent in intents
    }
    rng = np.random.default_rng(0)
    by_domain: dict[str, list[str]] = {}
    for row in rows:
        if row["label"] in domain_of:
            by_domain.setdefault(domain_of[row["label"]], []).append(row["text"])
    everything = [text for group in by_domain.values() for text in group]
    labels = np.array([domain for domain in sorted(by_domain) for _ in range(limit)])
    for lead, how in ((0, "topic throughout"), (35, "topic after 35 questions on others")):
        documents = [
            ". ".join([*rng.choice(everything, lead), *rng.choice(by_domain[domain], 45 - lead)]) for domain in labels
        ]
        for windows in (1, minilm.WINDOWS):
            minilm.WINDOWS, before = windows, minilm.WINDOWS
            vectors, speed = timed(encoders.get("minilm"), documents)
            minilm.WINDOWS = before
            report(f"clinc150 domains, {how}", f"minilm, {windows} window(s)", vectors, labels, per_second=speed)


def drawings(limit: int) -> None:
    """Handwritten digits and 40 characters of Omniglot: `pixels`, plain pixels, and the network for photos."""
    for name, images, labels in drawings_of():
        some = np.random.default_rng(0).permutation(len(images))[:limit]
        files = [png(images[place]) for place in some]
        plain = unit(images[some].reshape(len(some), -1))
        report(name, "plain pixels", plain, labels[some])
        for encoder in ("pixels", "conv4", "efficientnet-lite0"):
            vectors, speed = timed(encoders.get(encoder), files)
            report(name, encoder, vectors, labels[some], per_second=speed)


def photos_of(limit: int) -> tuple[list[bytes], np.ndarray]:
    """Photos of waste, and their classes."""
    with zipfile.ZipFile(DATA / "images" / "trashnet.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png")))
        chosen = [names[place] for place in np.random.default_rng(0).permutation(len(names))[:limit]]
        files = [archive.read(name) for name in chosen]
    return files, np.array([name.split("/")[-2] for name in chosen])


def photos(limit: int) -> None:
    """Photos of waste."""
    files, labels = photos_of(limit)
    vectors, speed = timed(encoders.get("efficientnet-lite0"), files)
    report("trashnet", "efficientnet-lite0", vectors, labels, per_second=speed)


def _text_encoders() -> Iterator[tuple[str, Any]]:
    import torch

    yield "minilm", encoders.get("minilm")
    chosen, minilm.fast_type = minilm.fast_type, lambda: torch.float32
    yield "minilm in float32", minilm.MiniLM()
    minilm.fast_type = chosen
    yield "multilingual", encoders.get("multilingual")


def drawings_of() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    yield "digits", (digits.images * 255 / 16).astype(np.uint8), digits.target
    if (DATA / "images").is_dir():
        stored = np.load(DATA / "images" / "omniglot_small_28.npz")
        classes = np.random.default_rng(0).permutation(stored["labels"].max() + 1)[:40]
        ours = np.isin(stored["labels"], classes)
        yield "omniglot, 40 characters", stored["images"][ours], stored["labels"][ours]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """Measure everything that there is data for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few hundred items each")
    quick = parser.parse_args().quick
    settings.configure(USE_I18N=False)
    django.setup()
    drawings(300 if quick else 2000)
    if not DATA.is_dir():
        print(json.dumps({"skipped": f"no development data in {DATA}"}))
        return
    texts(400 if quick else 3100)
    long_texts(4 if quick else 12)
    photos(60 if quick else 400)


if __name__ == "__main__":
    main()
