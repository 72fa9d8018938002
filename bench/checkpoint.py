"""Bench: trains the checkpoint for texts that comes with the package, and shows whether it earns its place.

    python -m bench.checkpoint            all of it: each family of data sets left out once, then all four together
    python -m bench.checkpoint --keep     and put the checkpoint with its figures into the package

Gates are trained on clinc150, hwu64, snips and clickbait and the coarse labels of the first two, never on banking77. A
gate is judged only on a family that it has not seen: one trained on the three others, and on banking77 and on three
tasks whose labels are no topics the one trained on all four. Beside it, on the same answers: the recipe's fixed
weights, logistic regression and plain prototypes. What is done is kept in a folder for temporary files, so that a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from bench.recipe import CACHE, DATA, encoded, minilm, words
from bench.unlike import Pairs, naming_tweets, out_of_scope, some, utterances
from metalearning import checkpoint as files
from metalearning import gate as gates
from metalearning.__main__ import Bars
from metalearning.baselines import logistic_regression
from metalearning.calibration import expected_calibration_error
from metalearning.checkpoint import Checkpoint
from metalearning.comparison import over_groups
from metalearning.gate import Gate
from metalearning.heads import centred, label_sums
from metalearning.labelling import LabellingTask
from metalearning.metatrain import Config, answered, judged, metatrain
from metalearning.predict import predict
from metalearning.sources import TaskSource, coarser, split, text_keys, without
from metalearning.vectors import unit

NAME = "text"
FOLDER = CACHE / "checkpoint"
ORIGINS = {
    "banking77": "customers' questions to a bank, by intent",
    "kinds of utterance": "NLU++, utterances that ask how, why or when, deny, thank and so on",
    "out of scope": "clinc150's questions within and outside its scope, without names",
    "tweets that name somebody": "WNUT-17, tweets with and without a named entity",
}
LICENCES = {"clinc150": "CC BY 3.0", "hwu64": "CC BY 4.0", "snips": "CC0", "clickbait": "MIT", "banking77": "CC BY 4.0"}
SHOTS = (0, 1, 2, 3, 5, 10)
BY_MARGIN = (50, 100)
ITEMS = 1000
LEARNERS = ("trained", "untrained", "logistic regression", "prototypes")


def families() -> dict[str, list[TaskSource]]:
    """The sources that are trained on, by family, without any item of banking77 and of `unlike`."""
    clinc150, hwu64 = read("clinc150.train"), read("hwu64.train")
    domains = json.loads((DATA / "clinc150.domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    scenario_of = {label: label.split("_")[0] for label in hwu64.label_names}
    found = {
        "clinc150": [clinc150, coarser(clinc150, domain_of, "clinc150 domains", encode)],
        "hwu64": [hwu64, coarser(hwu64, scenario_of, "hwu64 scenarios", encode)],
        "snips": [read("snips.train")],
        "clickbait": [read("clickbait.train")],
    }
    taken = [read("banking77.test"), read("banking77.train"), *unlike()]
    for family in ("hwu64", "clinc150", "snips", "clickbait"):  # some texts occur in several families
        found[family] = [without(source, taken) for source in found[family]]
        taken.append(found[family][0])
    return found


def unlike() -> list[TaskSource]:
    """Tasks whose labels are no topics, so that names and neighbours mislead. Nothing is trained on them."""
    rng = np.random.default_rng(3)
    return [
        _made("kinds of utterance", utterances(), "CC BY 4.0"),
        _made("out of scope", out_of_scope(rng), "CC BY 3.0", nameless=True),
        _made("tweets that name somebody", some(naming_tweets(), 1500, rng), "CC BY 4.0"),
    ]


def _made(name: str, pairs: Pairs, licence: str, *, nameless: bool = False) -> TaskSource:
    texts = [text for text, _ in pairs]
    labels = sorted({label for _, label in pairs})
    cached = CACHE / f"{name}.npz"
    if not cached.exists():
        np.savez(cached, x=encode(texts), names=encode([words(label) for label in labels]))
    with np.load(cached) as stored:
        x, names = stored["x"], stored["names"]
    label_ids = np.array([labels.index(label) for _, label in pairs], dtype=np.intp)
    found = None if nameless else names
    return TaskSource(name, x, label_ids, tuple(labels), found, text_keys(texts), encoder="minilm", licence=licence)


@cache
def read(file: str) -> TaskSource:
    """One of the development data's files as a source."""
    x, label_ids, names = encoded(file, None)
    rows = [json.loads(line) for line in (DATA / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    name = file.split(".")[0]
    return TaskSource(
        name,
        x,
        label_ids.astype(np.intp),
        tuple(sorted({row["label"] for row in rows})),
        names,
        keys=text_keys([row["text"] for row in rows]),
        encoder="minilm",
        licence=LICENCES[name],
    )


@cache
def _encoder() -> Callable[[list[str]], np.ndarray]:
    return minilm()


def encode(texts: Sequence[str]) -> np.ndarray:
    """Vectors of texts; the model is read only where it is needed."""
    return _encoder()(list(texts))


def train(family: str | None, config: Config) -> Checkpoint:
    """A gate that has seen nothing of this family (None: all four), stopped early by a fifth of the others' items."""
    found = families()
    kept = [*found.pop(family or "", []), read("banking77.test"), *unlike()]
    sources = [source for part in found.values() for source in part]
    aside = [split(source, 0.2) for source in sources]
    folder, tasks = FOLDER / (f"without-{family}" if family else "all"), FOLDER / "tasks"
    tasks.mkdir(parents=True, exist_ok=True)
    with Bars() as bars:
        return metatrain(
            [part[0] for part in aside],
            [part[1] for part in aside],
            config,
            None,
            folder,
            kept=kept,
            name=NAME,
            records=tasks,
            progress=bars.advance,
        )


def judge(gate: Gate, source: TaskSource, draws: int) -> list[dict[str, Any]]:
    """A cell for each number of answers: mean accuracies and calibration errors in points, and what the gate gains."""
    cells: dict[tuple[str, int], dict[str, list[np.ndarray]]] = {}
    errors: dict[tuple[str, int], dict[str, list[float]]] = {}
    for _, count, task in answered(source, shots=SHOTS, by_margin=BY_MARGIN, draws=draws, most=ITEMS, seed=0):
        cell = cells.setdefault((task.manner, count), {name: [] for name in LEARNERS})
        error = errors.setdefault((task.manner, count), {"trained": [], "untrained": []})
        for name, one in (("trained", gate), ("untrained", Gate())):
            right, confidence = judged(task, one)
            cell[name].append(right)
            error[name].append(expected_calibration_error(confidence, right))
        for name, suggested in (("logistic regression", logistic(task)), ("prototypes", nearest(task))):
            cell[name].append(suggested[task.open_rows] == task.label_ids[task.open_rows])
    return [_cell(manner, count, cells[manner, count], errors[manner, count]) for manner, count in cells]


def _cell(manner: str, count: int, rights: Mapping[str, list[np.ndarray]], errors: Mapping[str, list[float]]) -> Any:
    """Gains with 95 % intervals over draws and items, drawn anew together (bootstrap)."""
    told: dict[str, Any] = {"manner": manner, "answers": count}
    told |= {name: _points(np.mean([right.mean() for right in found])) for name, found in rights.items()}
    for other in LEARNERS[1:]:
        pairs = zip(rights["trained"], rights[other], strict=True)
        differences = [ours.astype(float) - theirs for ours, theirs in pairs]
        gain = over_groups(differences, np.random.default_rng(0), draws=200)
        told[f"over {other}"] = [_points(gain.mean), _points(gain.low), _points(gain.high)]
    return told | {f"{name} ECE": _points(np.mean(found)) for name, found in errors.items()}


def _points(share: float) -> float:
    return round(100 * float(share), 2)


def logistic(task: LabellingTask) -> np.ndarray:
    """What tuned logistic regression suggests for every item; -1 before any answer."""
    found = logistic_regression(task.pool, task.rows, task.answers, task.label_count)
    return predict(found, task.pool).label_id


def nearest(task: LabellingTask) -> np.ndarray:
    """The label whose answered items' mean lies nearest, names unheard; -1 before any answer."""
    if not len(task.rows):
        return np.full(len(task.pool), -1)
    z = centred(task.pool.x, task.pool.mean)
    sums = label_sums(z[task.rows], task.answers, task.label_count, np.ones(len(task.rows), dtype=np.float32))
    cosines = z @ unit(sums).T
    cosines[:, ~sums.any(axis=1)] = -2
    return cosines.argmax(axis=1)


def judgements(config: Config, draws: int) -> tuple[Checkpoint, dict[str, list[dict[str, Any]]]]:
    """The gate trained on all four families, and the cells of every task, each by a gate that never saw its family."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    whole = train(None, config)
    tasks = [(None, source) for source in (read("banking77.test"), *unlike())]
    found = families()
    smallest_first = sorted(found, key=lambda family: len(found[family][0].label_names))
    tasks += [(family, source) for family in smallest_first for source in found[family]]
    told = {}
    for family, source in tasks:
        trained = whole if family is None else train(family, config)
        path = FOLDER / f"{source.name}-{files.content_hash(trained.params)[:16]}-{draws}.json"
        if not path.exists():
            path.write_text(json.dumps(judge(trained.gate, source, draws)), encoding="utf-8")
        told[source.name] = json.loads(path.read_text(encoding="utf-8"))
        show(source.name, told[source.name])
    return whole, told


def show(name: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """One task's cells as lines."""
    for cell in cells:
        mean, low, high = cell["over untrained"]
        print(
            f"{name:17s} {cell['manner']:8s} {cell['answers']:3d}"
            f"  trained {cell['trained']:5.1f}  fixed {cell['untrained']:5.1f} ({mean:+.1f}, {low:+.1f} to {high:+.1f})"
            f"  LR {cell['logistic regression']:5.1f}  prototypes {cell['prototypes']:5.1f}"
            f"  ECE {cell['trained ECE']:4.1f}, fixed {cell['untrained ECE']:4.1f}",
            flush=True,
        )


def summary(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Means over the tasks that have the cell, and the worst of them."""
    for manner, count in dict.fromkeys((cell["manner"], cell["answers"]) for cells in told.values() for cell in cells):
        found = [c for cells in told.values() for c in cells if (c["manner"], c["answers"]) == (manner, count)]
        gains = [cell["over untrained"][0] for cell in found]
        errors = [np.mean([cell[f"{name} ECE"] for cell in found]) for name in ("trained", "untrained")]
        print(
            f"{manner:8s} {count:3d}  {len(found)} tasks  gain {np.mean(gains):+.2f}, worst {min(gains):+.2f}"
            f"  over LR {np.mean([cell['over logistic regression'][0] for cell in found]):+.1f}"
            f"  ECE {errors[0]:.1f}, fixed {errors[1]:.1f}"
        )


def keep(trained: Checkpoint, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """The checkpoint with its figures and curves, where the package looks for it."""
    lines = (FOLDER / "all" / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    points = [json.loads(line) for line in lines]
    steps = sorted({point["epoch"] for point in points})
    curves: dict[str, list[float]] = {"steps": steps}
    for name in ("training", "validation"):
        means = [np.mean([point[name] for point in points if point["epoch"] == step]) for step in steps]
        curves[name] = [round(float(mean), 5) for mean in means]
    gains = [{"name": task, "gains": _gains(cells)} for task, cells in told.items()]
    card = trained.card | {
        "curves": curves,
        "tasks": dict(told),
        "figures": {**trained.card["figures"], "tasks": gains},
    }
    files.SHIPPED.mkdir(exist_ok=True)
    path = files.SHIPPED / f"{NAME}.safetensors"
    files.save(path, trained.params, card)
    path.with_suffix(".md").write_text(model_card(trained, told), encoding="utf-8")
    return path


def _gains(cells: Sequence[Mapping[str, Any]]) -> list[float]:
    """Over the fixed weights, logistic regression and prototypes, in [-1, 1]: means over the cells with answers."""
    means = [np.mean([cell[f"over {other}"][0] for cell in cells if cell["answers"]]) for other in LEARNERS[1:]]
    return [round(float(mean) / 100, 4) for mean in means]


def model_card(trained: Checkpoint, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the checkpoint is, what it was trained on, how it did and where it is worse."""
    numbers = sum(value.numel() for value in trained.params.values())
    lines = [
        "# Model card: the gate for texts",
        "",
        f"What it is: {numbers} numbers. They say how far to lean on the regression that heeds the answers (proximal)",
        "instead of names and prototypes: far where the answered items are like the others, hardly where they were",
        "asked because they are hard. After n answers:",
        "",
        f"    share = {gates.MOST} n / (n + {gates.HALF:.0f}) sigmoid(w.f + b)",
        f"    w = {[round(float(one), 3) for one in trained.params['gate.weight'][0]]}",
        f"    b = {float(trained.params['gate.bias'][0]):.3f}",
        "",
        f"f: {'; '.join(gates.FEATURES[place] for place in gates.READ)}.",
        "From twenty answers on held-out answers may refute it: then the fixed weights serve, as the snapshot says.",
        "For items and names embedded by `minilm`; all other projects begin with the fixed weights.",
        "",
        f"- **File**: `{NAME}.safetensors`, float32; its header holds this card as JSON. SHA-256 over the parameters:",
        f"  `{files.content_hash(trained.params)}`",
        "- **Command**: `python -m bench.checkpoint --keep`",
        "- **Licence of the weights**: CC BY 4.0; of the data: see below.",
        f"- **Config**: `{Config()}`",
        f"- **Losses**: {', '.join(f'{name} {value}' for name, value in trained.card['figures'].items())}",
        "",
        "| trained on | items | kept to stop early by | labels | licence |",
        "|---|---|---|---|---|",
    ]
    for source, aside in zip(trained.card["sources"], trained.card["validation"], strict=True):
        facts = (source["name"], source["items"], aside["items"], source["labels"], source["licence"])
        lines.append(f"| {' | '.join(map(str, facts))} |")
    judged = {one.name: one.licence for one in (read("banking77.test"), *unlike())}
    lines += ["", "Judged on, and never trained on:", ""]
    lines += [f"- {name}: {ORIGINS[name]}, {licence}" for name, licence in judged.items()]
    lines += ["", *_tables(told), *_worse(told)]
    return "\n".join(lines) + "\n"


def _tables(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """A row for each cell."""
    lines = [
        f"Accuracy of the unanswered items in points, up to {ITEMS:,} items a task, with names where there are any.",
        "Each task was judged by a gate that had seen nothing of its family (those of the list above: this one).",
        "Gains are of it on the same answers, with 95 % intervals over draws and items. ECE: calibration error of the",
        "gate, and of the fixed weights.",
        "",
        "| task | answers | gate | over the fixed weights | over tuned LR | over prototypes | ECE | fixed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, cells in told.items():
        for cell in cells:
            asked = f"{cell['answers']} {'a label' if cell['manner'] == 'balanced' else 'by margin'}"
            gains = ["{:+.1f} [{:+.1f}, {:+.1f}]".format(*cell[f"over {other}"]) for other in LEARNERS[1:]]
            points = [f"{cell[name]:.1f}" for name in ("trained", "trained ECE", "untrained ECE")]
            lines.append(f"| {' | '.join([task, asked, points[0], *gains, *points[1:]])} |")
    return lines


def _worse(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Every cell in which the gate lost against anything, and in how many it was worse calibrated."""
    every = [(task, cell) for task, cells in told.items() for cell in cells]
    lines = ["", "Where it is worse:", ""]
    for other in LEARNERS[1:]:
        lost = [
            f"{task} {cell['answers']} {cell['manner']} ({cell[f'over {other}'][0]:+.1f})"
            for task, cell in every
            if cell[f"over {other}"][0] < 0
        ]
        lines.append(
            f"- than {'the fixed weights' if other == 'untrained' else other}: {', '.join(lost) or 'nowhere'}."
        )
    doubtful = sum(cell["trained ECE"] > cell["untrained ECE"] for _, cell in every)
    return [*lines, f"- calibration error higher than the fixed weights' in {doubtful} of {len(every)} cells."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="put the checkpoint into the package")
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = Config()
    print(config)
    trained, told = judgements(config, options.draws)
    summary(told)
    if options.keep:
        print(keep(trained, told))


if __name__ == "__main__":
    main()
