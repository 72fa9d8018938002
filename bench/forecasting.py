"""Bench: how often the forecast "about so many more answers to the goal" came true, on real data and on made-up curves.

    python -m bench.forecasting curves [--seeds 5] [--most 400]   measure learning curves, and keep them for `real`
    python -m bench.forecasting real      forecasts after each round of those curves, against what happened
    python -m bench.forecasting made-up   the same on 1,000 curves of known shape

A curve is what the application knows and does not know after each round of ten answers: the estimated accuracy of the
suggestions for open items with its interval, and how many of them are right. The goals are every second point of
accuracy that the curve reaches; the truth is the first round from which on the accuracy stays at or above the goal on
average over three rounds.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bench.recipe import CACHE, problems, rounds
from metalearning.predict import estimated_accuracy

KEPT = CACHE / "forecasting.jsonl"


def curves(options: argparse.Namespace) -> None:
    """One line for each round: what was known, and what was true."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with KEPT.open("w", encoding="utf-8") as lines:
        for problem in problems():
            for seed in range(options.seeds):
                for round_ in rounds(problem, "recipe", None, seed, options.most):
                    rest = np.setdiff1d(np.arange(len(problem.pool)), round_.rows)
                    estimate = estimated_accuracy(round_.adaptation, round_.prediction, rest)
                    told = [estimate.value, estimate.low, estimate.high] if estimate else None
                    line = {"data": problem.name, "seed": seed, "answers": len(round_.rows), "told": told}
                    lines.write(json.dumps(line | {"right": float(round_.right.mean())}) + "\n")
                    lines.flush()
                print(problem.name, seed, flush=True)


if __name__ == "__main__":
    parts = {"curves": curves}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=400)
    chosen = parser.parse_args()
    parts[chosen.part](chosen)
