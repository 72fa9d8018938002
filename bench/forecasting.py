"""Bench: how often the forecast "about so many more answers to the goal" came true, on real data and on made-up curves.

    python -m bench.forecasting curves [--seeds 5] [--most 400]   measure learning curves, and keep them for `real`
    python -m bench.forecasting real      forecasts after each round of those curves, against what happened
    python -m bench.forecasting made-up   the same on 1,000 curves of known shape, of two families

A curve is what the application knows and does not know after each round of ten answers: the estimated accuracy of the
suggestions for open items with its interval, and how many of them are right. Goals are every second point of accuracy
from 80 to 98 % above what is true at that round; a goal is reached in the round from which on the accuracy, averaged
over three rounds, stays at or above it. Where the curve ends before, an interval counts as held unless it says that
the goal is reached by then. All ends are taken with a round of ten answers to spare.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from metalearning.learning_curve import ROUND, fit, forecast, gain, pays

GOALS = np.arange(0.80, 0.99, 0.02)
MORE = 50  # answers whose gain is foretold
SPARE = 0.005  # of accuracy: half a point makes no difference


@dataclass(frozen=True)
class MadeUp:
    """A curve of known shape: `told` is what `fit` takes."""

    told: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    numbers: tuple[float, float, float, float]

    def goal_after(self, more: int) -> float:
        """The accuracy that it has so many answers later."""
        start, scale, shape, floor = self.numbers
        return float(1 - floor - start * np.exp(-(((self.told[0][-1] + more) / scale) ** shape)))


def made_up(generator: np.random.Generator, rounds: int, power_law: bool = False) -> MadeUp:
    """Rounds of ten answers; estimates off by what lasts from one to the next, with intervals that say how much.

    A power law is another family than the one that is fitted: its numbers are those of an inverse power.
    """
    n = 10.0 * np.arange(1, rounds + 1)
    start, scale = generator.uniform(0.15, 0.6), generator.uniform(60, 300)
    shape, floor = generator.uniform(0.7, 1.3), generator.uniform(0.001, 0.01)
    error = floor + start * ((1 + n / (4 * scale)) ** -4 if power_law else np.exp(-((n / scale) ** shape)))
    spread = generator.uniform(0.05, 0.3)
    ages = np.log(n + 1)
    alike = np.exp(-np.abs(ages[:, None] - ages[None, :]) / 0.7)
    off = spread * np.linalg.cholesky(alike + 1e-9 * np.eye(rounds)) @ generator.standard_normal(rounds)
    odds = np.log((1 - error) / error) + off + 0.05 * generator.standard_normal(rounds)
    ends = (1 / (1 + np.exp(-(odds + way * 1.96 * spread))) for way in (0, -1, 1))
    return MadeUp((n, *ends), (start, scale, shape, floor))  # type: ignore[arg-type]


@dataclass
class Score:
    """What became of the forecasts of one set of curves."""

    reasons: Counter[str] = field(default_factory=Counter)
    held: list[bool] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    gains: list[bool] = field(default_factory=list)
    gain_widths: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)

    def take(self, told, truth: float, seen: float) -> None:
        """A forecast: `truth` answers were needed, infinite if not reached in `seen` more."""
        self.reasons[told.reason or "told"] += 1
        if told.reason:
            return
        if np.isinf(truth):
            self.held.append(told.high + ROUND >= seen)
            return
        self.held.append(told.low - ROUND <= truth <= told.high + ROUND)
        self.ratios.append((told.likely + ROUND) / (truth + ROUND))
        self.widths.append((told.high + ROUND) / (told.likely + ROUND))

    def take_gain(self, expected, truth: float) -> None:
        self.gains.append(expected.low - SPARE <= truth <= expected.high + SPARE)
        self.gain_widths.append(expected.high - expected.low)
        if not pays(expected):
            self.stops.append(truth)

    def say(self, name: str) -> None:
        middle = np.median(self.ratios) if self.ratios else np.nan
        print(
            f"{name:22s} {dict(self.reasons)}  interval held {share(self.held)} of {len(self.held)} told"
            f"  likely / needed, median {middle:.2f}  upper / likely {np.median(self.widths or [np.nan]):.1f}"
        )
        if self.gains:
            print(
                f"{'':22s} gain of the next {MORE}: interval held {share(self.gains)} of {len(self.gains)}, width"
                f" {100 * np.mean(self.gain_widths):.1f} points; {len(self.stops)} times none was expected, and at most"
                f" {100 * max(self.stops, default=0):.2f} points came"
            )


def share(held: list[bool]) -> str:
    return f"{100 * np.mean(held):.1f} %" if held else "-"


def curves(options: argparse.Namespace) -> None:
    """One line for each round: what was known, and what was true."""
    from bench.recipe import CACHE, problems, rounds
    from metalearning.predict import estimated_accuracy

    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / KEPT).open("w", encoding="utf-8") as lines:
        for problem in problems():
            for seed in range(options.seeds):
                for round_ in rounds(problem, "recipe", None, seed, options.most):
                    rest = np.setdiff1d(np.arange(len(problem.pool)), round_.rows)
                    estimate = estimated_accuracy(round_.adaptation, round_.prediction, rest)
                    told = [estimate.value, estimate.low, estimate.high] if estimate else None
                    line = {"data": problem.name, "seed": seed, "answers": len(round_.rows), "told": told}
                    lines.write(json.dumps(line | {"right": float(round_.right.mean())}) + "\n")
                    lines.flush()


KEPT = "forecasting.jsonl"


def real(_: argparse.Namespace) -> None:
    """Every second round of the kept curves."""
    from bench.recipe import CACHE

    kept: dict[tuple[str, int], list[dict]] = defaultdict(list)
    for line in (CACHE / KEPT).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kept[row["data"], row["seed"]].append(row)
    scores: dict[str, Score] = defaultdict(Score)
    for (name, _seed), rows in kept.items():
        score_curve(rows, scores[name])
    for name, score in scores.items():
        score.say(name)


def score_curve(rows: list[dict], score: Score) -> None:
    answers = np.array([row["answers"] for row in rows])
    right = np.convolve(np.pad([row["right"] for row in rows], 1, "edge"), np.ones(3) / 3, "valid")
    from_then_on = np.minimum.accumulate(right[::-1])[::-1]
    for place in range(0, len(rows), 2):
        known = np.array([(row["answers"], *row["told"]) for row in rows[: place + 1] if row["told"]])
        if not rows[place]["told"]:
            continue
        curve = fit(*known.T, np.random.default_rng(0))
        for goal in GOALS[right[place] + SPARE < GOALS]:
            reached = np.flatnonzero(from_then_on >= goal)
            truth = float(answers[reached[0]] - answers[place]) if len(reached) else np.inf
            score.take(forecast(curve, goal), truth, answers[-1] - answers[place])
        later = np.flatnonzero(answers == answers[place] + MORE)
        if curve is not None and len(later):
            score.take_gain(gain(curve, MORE), float(right[later[0]] - right[place]))


def made_up_curves(_: argparse.Namespace) -> None:
    for name, power_law in (("Weibull's", False), ("inverse power", True)):
        score = Score()
        for seed in range(1000):
            generator = np.random.default_rng(seed)
            one = made_up(generator, int(generator.integers(8, 40)), power_law)
            more = int(generator.integers(20, 200))
            start, scale, _shape, floor = one.numbers
            at = one.told[0][-1] + more
            goal = 1 - floor - start * (1 + at / (4 * scale)) ** -4 if power_law else one.goal_after(more)
            score.take(forecast(fit(*one.told, np.random.default_rng(0)), goal), more, np.inf)
        score.say(name)


if __name__ == "__main__":
    parts = {"curves": curves, "real": real, "made-up": made_up_curves}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=400)
    chosen = parser.parse_args()
    parts[chosen.part](chosen)
