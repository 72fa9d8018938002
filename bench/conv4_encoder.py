"""The encoder for drawings: trains its Conv-4 on Omniglot, and shows where it wins and where it does not.

    python -m bench.conv4_encoder train FILE    # four CPU minutes; FILE keeps the training and is gone on from
    python -m bench.conv4_encoder show          # the figures in bench/README.md; two CPU minutes

Data: ANNOTATOR_DEV_DATA (default: shared/data beside the repository). The training is that of `python -m metalearning
omniglot --iterations 5000 --jitter 1.0`, with the same split by alphabet; the batch norms' moments are then taken
on canvases, which the encoder makes of any image file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench.encoders import DATA, png, report, timed  # first: it keeps the libraries to one thread

# isort: split
import django
import numpy as np
import torch
from django.conf import settings
from PIL import Image

from labeling import encoders
from labeling.encoders import evidence
from labeling.encoders.base import unit
from labeling.encoders.conv4 import WEIGHTS, Conv4
from labeling.encoders.drawings import centred, ink
from metalearning import omniglot
from metalearning.checkpoint import save
from metalearning.episodes import Source
from metalearning.networks import body_of, conv4, conv4_statistics

OMNIGLOT = DATA / "images" / "omniglot_small_28.npz"
CONFIG = omniglot.Config(iterations=5000, jitter=1.0, test_episodes=200)
CHARACTERS = 20  # of the 106 unseen ones, all drawings of each
ITEMS = 400  # of every kind: the network for photos makes some 50 a CPU second


def train(file: Path) -> None:
    """Meta-train by ProtoNet and write the weights with their card."""
    data = omniglot.load(OMNIGLOT)
    trained = omniglot.run(CONFIG, data, lambda iteration, loss: None, file)
    params = body_of(trained.best)
    upright = _canvases(data.training)
    statistics = conv4_statistics(params, upright)
    with torch.no_grad():
        centre = conv4(params, upright, statistics).mean(0)
    tensors = params | {"centre": centre}
    for block, (mean, variance) in enumerate(statistics):
        tensors |= {f"mean.{block}": mean, f"variance.{block}": variance}
    results = [omniglot.evaluate(CONFIG, trained.best, data.testing, *test) for test in omniglot.tests(data.testing)]
    card = {
        "what": "Conv-4 for drawings, meta-trained from pixels by ProtoNet",
        "data": "Omniglot (Lake, Salakhutdinov & Tenenbaum 2015), five of its alphabets, 28 x 28 pixels",
        "licence": "MIT, as the data",
        "trained on": sorted({name.split("/")[0] for name in data.training.names}),
        "stopped by": list(omniglot.VALIDATION_ALPHABETS),
        "never seen": list(omniglot.TEST_ALPHABETS),
        "config": vars(CONFIG),
        "cpu_seconds": round(trained.curve[-1].cpu_seconds),
        "accuracy": [
            {"way": r.way, "shot": r.shot, "mean": r.inductive.mean, "half_width": r.inductive.half_width}
            for r in results
        ],
    }
    save(WEIGHTS, tensors, card)
    print(json.dumps(card, indent=1))


def show() -> None:
    """Each candidate's few-shot accuracy, and what the evidence of 40 to 200 answers says, on five kinds of images."""
    for name, files, labels in _kinds():
        vectors = {}
        for encoder in evidence.CANDIDATES:
            vectors[encoder], speed = timed(encoders.get(encoder), files)
            report(name, encoder, vectors[encoder], labels, per_second=speed)
            if encoder == "conv4":
                alone = vectors[encoder][:, : Conv4.learned]
                report(name, "conv4 without the pixels beside it", unit(alone), labels)
        first = encoders.choose(files[:60], "image")
        for answers in (40, 80, 120, 200):
            chosen = _chosen(first, vectors, labels, answers)
            print(json.dumps({"data": name, "at first": first, "answers": answers, "chosen": chosen}), flush=True)


def _chosen(first: str, vectors: dict[str, np.ndarray], labels: np.ndarray, answers: int) -> dict[str, int]:
    """How often each candidate is the one that 20 draws of so many answers settle on, from the first choice on."""
    found: dict[str, int] = {}
    for draw in range(20):
        rows = np.random.default_rng(draw).permutation(len(labels))[:answers]
        columns = np.unique(labels[rows], return_inverse=True)[1]
        right = {name: evidence.right_without(of[rows], columns) for name, of in vectors.items()}
        winner = evidence.winner(right, first)
        found[winner] = found.get(winner, 0) + 1
    return found


def _kinds() -> Any:
    from bench.encoders import drawings_of, photos_of

    with np.load(OMNIGLOT) as stored:
        alphabets = np.array([name.split("/")[0] for name in stored["classes"]])[stored["labels"]]
        unseen = np.unique(stored["labels"][np.isin(alphabets, omniglot.TEST_ALPHABETS)])
        some = np.isin(stored["labels"], np.random.default_rng(0).permutation(unseen)[:CHARACTERS])
        images, labels = stored["images"][some], stored["labels"][some]
    yield f"Omniglot, {CHARACTERS} characters of unseen alphabets", [png(image) for image in images], labels
    yield "the same, dark on light", [png(255 - image) for image in images], labels
    large = [np.asarray(Image.fromarray(image).resize((90, 90), Image.Resampling.BICUBIC)) for image in images]
    yield "the same, 90 x 90", [png(image) for image in large], labels
    name, images, labels = next(iter(drawings_of()))
    some = np.random.default_rng(0).permutation(len(images))[:ITEMS]
    yield name, [png(images[place]) for place in some], labels[some]
    yield "trashnet", *photos_of(ITEMS)


def _canvases(source: Source) -> torch.Tensor:
    images = (source.inputs.squeeze(1) * 255).byte().numpy()
    return torch.from_numpy(np.stack([centred(ink(image)) for image in images])).unsqueeze(1)


def main() -> None:
    """Train, or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("train").add_argument("file", type=Path)
    commands.add_parser("show")
    options = parser.parse_args()
    settings.configure(USE_I18N=False)
    django.setup()
    torch.set_num_threads(1)
    if options.command == "train":
        train(options.file)
    else:
        show()


if __name__ == "__main__":
    main()
