"""Bench: planted mistakes among random answers, and how many of them the answers in doubt show.

    python -m bench.label_errors [--answers 500] [--wrong 0.05] [--seeds 3]      --wrong 0: none is planted

Mistakes are of two kinds: any other label, or the label that the model confuses most with the right one. The peer in
the same run is plain self-confidence: answers by the held-out probability of their label, lowest first.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.recipe import Problem, problems
from metalearning.adapt import adapt
from metalearning.label_errors import LIKELY, doubts
from metalearning.predict import predict, top
from metalearning.vectors import softmax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=500)
    parser.add_argument("--wrong", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for problem in problems():
        for kind in ("any", "confused"):
            found = [one(problem, kind, options, seed) for seed in range(options.seeds)]
            figures = zip(*found, strict=True)
            listed, recall, precision, peer, shown, true, expected = (float(np.mean(column)) for column in figures)
            print(
                f"{problem.name:22s} mistakes: {kind:9s} among the first as many as there are mistakes "
                f"{recall:6.1%} (self-confidence {peer:6.1%})  of the confident ones {precision:6.1%} are"
                f"  listed at all {listed:6.1%}  shown {shown:5.1f}, of which mistakes {true:5.1f}, expected "
                f"{expected:5.1f} of {round(options.wrong * options.answers)}",
                flush=True,
            )


def one(problem: Problem, kind: str, options: argparse.Namespace, seed: int) -> tuple[float, ...]:
    """Shares in [0, 1]: of the mistakes that are listed, that come first, of the confident ones that are mistakes, and
    of the mistakes that come first by self-confidence. Then counts: how many are shown as likely mistakes, how many of
    these are mistakes, and how many mistakes are expected among all."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(problem.pool))[: options.answers]
    given = problem.label_ids[rows].copy()
    wrong = rng.permutation(len(rows))[: round(options.wrong * len(rows))]
    given[wrong] = others(problem, rows, wrong, kind, rng)
    found = adapt(problem.pool, problem.names, rows, given, len(problem.names), generator=rng)
    assert found.held_out is not None
    probabilities = softmax(found.calibration.temper(found.held_out.logits))
    listed = doubts(probabilities, given, found.held_out.foreseeable)
    plain = np.argsort(probabilities[np.arange(len(rows)), given])[: len(wrong)]
    sure = listed.place[listed.confident]
    precision = len(set(sure.tolist()) & set(wrong.tolist())) / max(len(sure), 1)
    shown = listed.place[: max((listed.chance >= LIKELY).sum(), round(listed.chance.sum()))]
    return (
        found_of(wrong, listed.place),
        found_of(wrong, listed.place[: len(wrong)]),
        precision,
        found_of(wrong, plain),
        len(shown),
        np.isin(shown, wrong).sum(),
        listed.chance.sum(),
    )


def found_of(wrong: np.ndarray, places: np.ndarray) -> float:
    """The share of the mistakes that are among these places."""
    return len(set(places.tolist()) & set(wrong.tolist())) / max(len(wrong), 1)


def others(problem: Problem, rows: np.ndarray, wrong: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A wrong label for each of these answers."""
    right, count = problem.label_ids[rows[wrong]], len(problem.names)
    if kind == "any" or count == 2:
        return (right + rng.integers(1, count, len(wrong))) % count
    nothing = np.zeros(0, dtype=np.intp)
    by_names = adapt(problem.pool, problem.names, nothing, nothing, count, generator=rng)
    columns, _ = top(by_names, problem.pool, rows[wrong], predict(by_names, problem.pool), 2)
    return np.where(columns[:, 0] == right, columns[:, 1], columns[:, 0])


if __name__ == "__main__":
    main()
