"""Bench: what ten plain keyword rules give, on frozen MiniLM embeddings, one thread.

    python -m bench.rules gain      accuracy of the unanswered items with and without rules at 0, 50 and 200 answers
    python -m bench.rules wrong     what a rule that is right half the time costs at 200 answers, alone and among ten
    python -m bench.rules speed     seconds to match 1,000,000 texts, and to learn from and say those votes

The data is found as bench/recipe.py finds it. The rules below were written by hand from the labels' names and a look at
some training texts; the items they are measured on are the test sets.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import django
from django.conf import settings

if not settings.configured:
    settings.configure(USE_I18N=False)
    django.setup()

import numpy as np
from scipy.sparse import csr_matrix

from bench.recipe import DATA, Problem, encoded, judged
from labeling.learner import marks
from labeling.matching import Content, Pattern, matcher
from metalearning import rules
from metalearning.adapt import adapt
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict
from metalearning.voices import Voice

ANSWERS = (0, 50, 200)
RULES = {
    "snips": (
        ("AddToPlaylist", "playlist"),
        ("AddToPlaylist", "add"),
        ("BookRestaurant", "restaurant, reservation, table"),
        ("BookRestaurant", "book"),
        ("GetWeather", "weather, forecast"),
        ("GetWeather", "rain, snow, sunny, cloudy, humid, temperature"),
        ("PlayMusic", "play"),
        ("RateBook", "stars, points, rate"),
        ("SearchCreativeWork", "find, search"),
        ("SearchScreeningEvent", "movie times, cinema, theatre, theater, movies"),
    ),
    "banking77": (
        ("passcode_forgotten", "passcode"),
        ("apple_pay_or_google_pay", "apple pay, google pay"),
        ("terminate_account", "close my account, delete my account"),
        ("age_limit", "children, kids, age, daughter, son"),
        ("Refund_not_showing_up", "refund"),
        ("change_pin", "change my pin"),
        ("direct_debit_payment_not_recognised", "direct debit"),
        ("card_about_to_expire", "expire, expires, expired"),
        ("disposable_card_limits", "disposable"),
        ("lost_or_stolen_phone", "phone"),
    ),
}


def texts_of(name: str, count: int | None = None) -> tuple[list[str], list[str]]:
    """The test set's texts and labels."""
    source = DATA / f"{name}.test.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()[:count]]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def problem_of(name: str) -> tuple[Problem, list[str], list[str]]:
    """The data set, its texts, and its labels in column order."""
    x, label_ids, names = encoded(f"{name}.test", None)
    texts, given = texts_of(name)
    pool = Pool(x, neighbour_graph(x, 10, np.random.default_rng(0)))
    return Problem(name, pool, label_ids, names), texts, sorted(set(given))


def votes_of(name: str, texts: list[str], labels: list[str]) -> rules.Votes:
    """The votes of the rules above, as the application would count them."""
    items = [Content(text) for text in texts]
    fired = np.stack([matcher(Pattern("keyword", text)).hits(items) for _label, text in RULES[name]], axis=1)
    return rules.Votes(
        csr_matrix(fired.astype(np.float32)), np.array([labels.index(label) for label, _ in RULES[name]])
    )


def joined(first: rules.Votes | None, second: rules.Votes) -> rules.Votes:
    """The rules of both."""
    if first is None:
        return second
    fired = csr_matrix(np.concatenate([first.fired.toarray(), second.fired.toarray()], axis=1))
    return rules.Votes(fired, np.concatenate([first.label_ids, second.label_ids]))


def accuracy(problem: Problem, rows: np.ndarray, votes: rules.Votes | None, seed: int) -> tuple[float, float]:
    """Points on the items that are not in `rows`, and the rules' weight."""
    label_ids = problem.label_ids[rows]
    voices: list[Voice] = []
    if votes is not None:
        heard = rules.hear(votes, problem.pool, problem.names, rows, label_ids, len(problem.names))
        voices = [heard.voice()]
    found = adapt(
        problem.pool,
        problem.names,
        rows,
        label_ids,
        len(problem.names),
        generator=np.random.default_rng(seed),
        voices=voices,
    )
    right, _confidence = judged(predict(found, problem.pool), problem, rows)
    return 100 * float(right.mean()), found.voices[0].weight if found.voices else 0.0


def gain(seeds: int) -> None:
    """Answers are drawn at random, the same ones with and without rules."""
    for name in RULES:
        problem, texts, labels = problem_of(name)
        votes = votes_of(name, texts, labels)
        spoken = np.diff(votes.fired.indptr) > 0
        nobody = np.zeros(0, dtype=np.intp)
        own = rules.hear(votes, problem.pool, problem.names, nobody, nobody, len(labels))
        alone = (own.logits(slice(None)).argmax(axis=1) == problem.label_ids)[spoken].mean()
        print(
            f"{name:10s} rules speak of {100 * spoken.mean():.1f} % of the items, right of {100 * alone:.1f} % of those"
        )
        for answers in ANSWERS:
            with_rules, without, weights = [], [], []
            for seed in range(seeds if answers else 1):
                rows = np.random.default_rng(seed).choice(len(texts), answers, replace=False)
                points, weight = accuracy(problem, rows, votes, seed)
                with_rules.append(points)
                weights.append(weight)
                without.append(accuracy(problem, rows, None, seed)[0])
            print(
                f"  {answers:3d} answers  without {told(without)}  with {told(with_rules)}"
                f"  gain {told(np.subtract(with_rules, without))}  weights {weights}"
            )


def wrong(seeds: int) -> None:
    """A rule that speaks of half the items of a label, and of as many others: right half the time by construction."""
    for name in RULES:
        problem, texts, labels = problem_of(name)
        ten = votes_of(name, texts, labels)
        for what, base in (("alone", None), ("beside ten", ten)):
            costs = []
            for seed in range(seeds):
                rng = np.random.default_rng(1000 + seed)
                rows = rng.choice(len(texts), 200, replace=False)
                bad = half_right(problem, rng)
                before = accuracy(problem, rows, base, seed)[0]
                costs.append(before - accuracy(problem, rows, joined(base, bad), seed)[0])
            print(f"{name:10s} {what:10s} cost {told(costs)} points, the worst {max(costs):.2f}")


def half_right(problem: Problem, rng: np.random.Generator) -> rules.Votes:
    """A label drawn at random; half its items and as many of all others."""
    label = int(rng.integers(len(problem.names)))
    inside, outside = np.flatnonzero(problem.label_ids == label), np.flatnonzero(problem.label_ids != label)
    count = len(inside) // 2
    fired = np.zeros((len(problem.label_ids), 1), dtype=np.float32)
    fired[rng.choice(inside, count, replace=False)] = fired[rng.choice(outside, count, replace=False)] = 1
    return rules.Votes(csr_matrix(fired), np.array([label]))


def told(values: object) -> str:
    """Mean and its standard error."""
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return f"{found.mean():6.2f}"
    return f"{found.mean():6.2f} ± {found.std(ddof=1) / len(found) ** 0.5:.2f}"


def speed(count: int) -> None:
    """Copies of banking77's texts with a number behind; ten keyword rules, then their votes in a round. CPU seconds."""
    texts, _given = texts_of("banking77")
    problem, _texts, labels = problem_of("banking77")
    items = [Content(f"{texts[k % len(texts)]} {k}") for k in range(count)]
    spoken = []
    for label, text in RULES["banking77"]:
        began = time.process_time()
        fired = matcher(Pattern("keyword", text)).hits(items)
        spoken.append(np.flatnonzero(fired))
        print(f"{label:36s} {len(spoken[-1]):7,d} of {count:,d}  {time.process_time() - began:.2f} s", flush=True)
    began = time.process_time()
    matcher(Pattern("regex", r"(change|reset).*\bpin\b")).hits(items)
    print(f"one regular expression {time.process_time() - began:.2f} s", flush=True)
    copied = np.arange(count) % len(texts)
    vectors = np.asarray(problem.pool.x, dtype=np.float16)[copied]
    pool = Pool(vectors)
    rows = np.random.default_rng(0).choice(count, 200, replace=False)
    began = time.process_time()
    votes = rules.Votes(marks(spoken, count), np.array([labels.index(label) for label, _text in RULES["banking77"]]))
    heard = rules.hear(votes, pool, problem.names, rows, problem.label_ids[copied[rows]], len(labels))
    learned = time.process_time()
    for start in range(0, count, 8192):
        heard.logits(slice(start, start + 8192))
    print(f"learn from the votes {learned - began:.2f} s, say them of every item {time.process_time() - learned:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["gain", "wrong", "speed"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--items", type=int, default=1_000_000, help="texts of “speed”")
    chosen = parser.parse_args()
    if chosen.what == "speed":
        speed(chosen.items)
    else:
        {"gain": gain, "wrong": wrong}[chosen.what](chosen.seeds)
