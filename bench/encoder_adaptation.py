"""Bench: an encoder whose top layers learn from the answers, against the same recipe on frozen vectors, one thread.

    python -m bench.encoder_adaptation            accuracy of the unlabelled items at k answers per label, seven tasks
    python -m bench.encoder_adaptation --asked    the same after 50, 100 and 200 answers that the queue asked for

What is tuned, weighed and added is what the product does after so many answers. A cell that was measured is not
measured again (`--fresh` forgets them), so that a run can be broken off. The data is looked for in ANNOTATOR_DEV_DATA
(default: `shared/data` beside the repository); hidden states and cells are kept in a folder for temporary files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import numpy as np

from bench.recipe import DATA, words
from metalearning import opinions, tuned, tuning
from metalearning.acquisition import rank, strategy_for
from metalearning.adapt import adapt
from metalearning.baselines import logistic_regression
from metalearning.calibration import expected_calibration_error
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict
from metalearning.voices import Voice

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
    "banking77": ("banking77.test", str, 2500),
    "hwu64": ("hwu64.train", str, 2500),
    "hwu64, scenarios": ("hwu64.train", lambda label: label.split("_")[0], 1500),
    "snips": ("snips.train", str, 1500),
    "clickbait": ("clickbait.train", str, 1500),
    "clinc150, travel": ("clinc150.train", within("travel"), 1500),
    "clinc150, domains": ("clinc150.train", domain, 1500),
}
"""The file, what its labels are called here (None: left out), and how many rows are drawn."""


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


def balanced(task: Task, k: int, seed: int) -> np.ndarray:
    """The rows of k answers per label, ascending."""
    order = np.random.default_rng(seed).permutation(len(task.label_ids))
    return np.sort(np.concatenate([order[task.label_ids[order] == c][:k] for c in range(len(task.names))]))


def asked(task: Task, count: int, seed: int) -> np.ndarray:
    """The rows of as many answers, ten a round, of which the frozen recipe was unsure; ascending."""
    rows, warm = np.zeros(0, dtype=np.intp), None
    while len(rows) < count:
        rng = np.random.default_rng([seed, len(rows)])
        warm = adapt(task.pool, task.names, rows, task.label_ids[rows], len(task.names), generator=rng, warm=warm)
        free = np.setdiff1d(np.arange(len(task.label_ids)), rows)
        told, by = predict(warm, task.pool), strategy_for(warm)
        asks = rank(task.pool, told, free, min(10, count - len(rows)), strategy=by, answered=rows, generator=rng)
        rows = np.concatenate([rows, [ask.row for ask in asks]]).astype(np.intp)
    return np.sort(rows)


def cell(task: Task, encoder: str, rows: np.ndarray, seed: int) -> dict[str, float]:
    """One draw of answers: accuracies on all other items in points, and what it cost."""
    voice, costs = learned(task, tunable(encoder), rows, seed)
    label_ids, count = task.label_ids[rows], len(task.names)
    plain = logistic_regression(task.pool, rows, label_ids, count)
    frozen = adapt(task.pool, task.names, rows, label_ids, count, generator=np.random.default_rng(seed))
    both = adapt(task.pool, task.names, rows, label_ids, count, generator=np.random.default_rng(seed), voices=[voice])
    found: dict[str, float] = {"answers": len(rows), "weight": both.voices[0].weight, **costs}
    rest = np.setdiff1d(np.arange(len(task.label_ids)), rows)
    found["alone"] = 100 * float((voice.logits(rest).argmax(1) == task.label_ids[rest]).mean())
    for weight, _prior in opinions.CHOICES:
        heard = replace(voice, weight=weight, choices=())
        fixed = adapt(
            task.pool, task.names, rows, label_ids, count, generator=np.random.default_rng(seed), voices=[heard]
        )
        right = predict(fixed, task.pool).label_id[rest] == task.label_ids[rest]
        found[f"at {weight}"] = 100 * float(right.mean())
    for name, adaptation in (("lr", plain), ("frozen", frozen), ("tuned", both)):
        told = predict(adaptation, task.pool)
        right = told.label_id[rest] == task.label_ids[rest]
        found[name] = 100 * float(right.mean())
        found[f"{name} ece"] = 100 * expected_calibration_error(told.confidence[rest], right)
    return found


def learned(task: Task, encoder, rows: np.ndarray, seed: int) -> tuple[Voice, dict[str, float]]:
    """The voice of an encoder tuned to these answers, and the CPU seconds of each part."""
    rng, network, start = np.random.default_rng([seed, len(rows)]), encoder.finish, encoder.top()
    lesson = tuning.Lesson([task.states[row] for row in rows], task.label_ids[rows], task.name_states)
    clock = [time.process_time()]
    near = np.concatenate([rows, tuned.around(rows, len(task.states))])
    ground = tuned.Ground([task.states[row] for row in near], task.pool.vectors(near), task.names)
    unseen = tuned.held_out(network, start, lesson, ground, rng)
    clock.append(time.process_time())
    params = tuned.learn(network, start, lesson, np.arange(len(rows)), ground, rng)
    clock.append(time.process_time())
    vectors = tuning.embed(network, params, task.states)
    names = tuned.name_vectors(network, params, task.name_states, vectors.shape[1])
    said = tuned.recipe(vectors, names, rows, lesson.label_ids, rng)(np.arange(len(vectors)))
    clock.append(time.process_time())
    took = dict(zip(("held-out s", "adapt s", "re-embed and recipe s"), np.diff(clock).tolist(), strict=True))
    told = opinions.Opinions(np.arange(len(task.names)), opinions.kept(said), rows, unseen)
    return opinions.voice(told, rows, range(len(task.names)), len(task.states)), took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--task", default="", help="only those whose name contains this")
    parser.add_argument("--asked", action="store_true", help="answers that the queue asked for, not balanced ones")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    options = parser.parse_args()
    sizes, draw_rows = ((50, 100, 200), asked) if options.asked else ((5, 10, 20), balanced)
    measured = CACHE / f"{draw_rows.__name__}-{options.encoder}.jsonl"
    if options.fresh:
        measured.unlink(missing_ok=True)
    wanted = [(name, k, draw) for draw in range(options.draws) for name in TASKS for k in sizes]
    known = cells(measured)
    loaded: dict[str, Task] = {}
    for name, k, draw in wanted:
        if options.task not in name or (name, k, draw) in known:
            continue
        loaded[name] = loaded.get(name) or task(name, *TASKS[name], options.encoder)
        found = cell(loaded[name], options.encoder, draw_rows(loaded[name], k, draw), draw)
        with measured.open("a") as file:
            file.write(json.dumps({"task": name, "k": k, "draw": draw, **found}) + "\n")
    report(cells(measured), [one for one in wanted if options.task in one[0]])


def cells(path: Path) -> dict[tuple[str, int, int], dict[str, float]]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        one = json.loads(line)
        found[one.pop("task"), one.pop("k"), one.pop("draw")] = one
    return found


def report(known: dict[tuple[str, int, int], dict[str, float]], wanted: list[tuple[str, int, int]]) -> None:
    names = list(dict.fromkeys(name for name, _, _ in wanted))
    for k in sorted({k for _, k, _ in wanted}):
        means = {}
        for name in names:
            of_task = [known[one] for one in wanted if one[:2] == (name, k)]
            means[name] = {key: float(np.mean([one[key] for one in of_task])) for key in of_task[0]}
            told = "  ".join(f"{key} {value:.1f}" for key, value in means[name].items() if key != "weight")
            print(f"{name:18s} {k:3d}  {told}  weights {[one['weight'] for one in of_task]}")
        gains = np.array([of["tuned"] - of["frozen"] for of in means.values()])
        drawn = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(axis=1)  # bootstrap over the tasks
        low, high = np.percentile(drawn, [2.5, 97.5])
        columns = {
            key: float(np.mean([of[key] for of in means.values()])) for key in ("lr", "frozen", "alone", "tuned")
        }
        told = "  ".join(f"{key} {value:.1f}" for key, value in columns.items())
        print(f"mean of {len(gains)} tasks {k:3d}  {told}")
        print(f"  gain {gains.mean():+.2f} [{low:.2f}, {high:.2f}]  tasks won {(gains > 0).sum()}")


if __name__ == "__main__":
    main()
