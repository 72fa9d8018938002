"""Bench: how often certificates are broken, in 1,000 simulated projects a cell, beside a naive confidence threshold.

    python -m bench.certificates [--projects 1000] [--draws 5] [--only NAME] [--images]

A project is a set of suggestions with confidences, of which some are wrong, and an order of audits drawn at random. On
real data the suggestions come from the learning recipe after so many answers (`--draws` different ones); a few made-up
sets are as bad as can be. Auditors look after every audit and at most 200 times. A certificate is broken where more
than a share eps of what it accepted is wrong. The naive threshold accepts, without an audit, the largest set whose mean
of 1 - confidence is at most eps. Three attempts: whoever fails draws anew, up to three times, and accepts what passes.

The tests run on tables of the evidence; for a few projects of each cell the engine's own judge must say the same.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bench.recipe import DATA, encoded
from metalearning.adapt import adapt
from metalearning.certificate import (
    Claim,
    Plan,
    candidate_size,
    capital,
    judge,
    naive_size,
    next_audits,
    refused_errors,
)
from metalearning.gate import Gate
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict

BUDGET, DELTA = 200, 0.05
MOST_ERRORS = 60  # a prefix with so many errors among 200 audits never passes at eps <= 10 %
EPS = (0.02, 0.05, 0.1)
CHECKED = 1  # projects of each cell that the engine judges too


@dataclass(frozen=True)
class Suggested:
    """One set of suggestions, surest (by margin) first."""

    confidence: np.ndarray  # in [0, 1]
    wrong: np.ndarray  # bool


@dataclass(frozen=True)
class Cell:
    """What happened in one cell, over its projects."""

    broken: float
    certified: float  # share of the open items, mean
    passed: float
    audits: float  # median
    naive_broken: float
    naive_certified: float


def suggested(
    x: np.ndarray, label_ids: np.ndarray, names: np.ndarray | None, answers: int, draws: int
) -> list[Suggested]:
    """What the recipe suggests for the unanswered items after that many answers to items at random."""
    graph = neighbour_graph(x, 10, np.random.default_rng(0))
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(x), answers, replace=False)
        pool = Pool(x, graph)
        labels = int(label_ids.max()) + 1
        adaptation = adapt(pool, names, rows, label_ids[rows], labels, generator=rng, gate=Gate(), warm=None)
        told = predict(adaptation, pool)
        rest = np.setdiff1d(np.arange(len(x)), rows)
        rest = rest[np.lexsort((rest, -told.margin[rest]))]
        found.append(Suggested(told.confidence[rest].astype(np.float64), told.label_id[rest] != label_ids[rest]))
    return found


def real(draws: int) -> Iterator[tuple[str, list[Suggested]]]:
    """banking77, snips and the ten domains of clinc150 as ten projects."""
    import json

    x, label_ids, names = encoded("banking77.test", None)
    for answers in (200, 600):
        yield f"banking77, {answers} answers", suggested(x, label_ids, names, answers, draws)
    x, label_ids, names = encoded("snips.train", None)
    some = np.random.default_rng(0).permutation(len(x))[:3000]
    for answers in (30, 100):
        yield f"snips, {answers} answers", suggested(x[some], label_ids[some], names, answers, draws)
    x, label_ids, names = encoded("clinc150.train", None)
    domains = json.loads((DATA / "clinc150.domains.json").read_text())
    rows = (DATA / "clinc150.train.jsonl").read_text(encoding="utf-8").splitlines()
    labels = sorted({json.loads(row)["label"] for row in rows})
    for domain, intents in sorted(domains.items()):
        inside = [place for place, label in enumerate(labels) if label in set(intents)]
        chosen = np.flatnonzero(np.isin(label_ids, inside))
        columns = np.searchsorted(inside, label_ids[chosen])
        yield f"clinc150 {domain}, 100 answers", suggested(x[chosen], columns, names[inside], 100, draws)


def images(draws: int) -> Iterator[tuple[str, list[Suggested]]]:
    """trashnet, by its encoder's vectors."""
    import zipfile

    from bench.recipe import CACHE
    from labeling.encoders.efficientnet import EfficientNetLite0

    cached = CACHE / "trashnet.npz"
    if not cached.exists():
        with zipfile.ZipFile(DATA.parent / "images" / "trashnet.zip") as archive:
            files = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png")))
            classes = sorted({name.split("/")[-2] for name in files})
            encode = EfficientNetLite0().encode
            some = (files[start : start + 64] for start in range(0, len(files), 64))
            vectors = [encode([archive.read(name) for name in names]) for names in some]
        np.savez(cached, x=np.concatenate(vectors), label_ids=[classes.index(name.split("/")[-2]) for name in files])
    with np.load(cached) as stored:
        x, label_ids = stored["x"].astype(np.float32), stored["label_ids"]
    for answers in (100, 400):
        yield f"trashnet, {answers} answers", suggested(x, label_ids, None, answers, draws)


def worst(eps: float) -> Iterator[tuple[str, list[Suggested]]]:
    """Sets that are wrong just more often than the claim allows, while the model is sure of everything."""
    size, sure = 2000, np.full(2000, 0.99)
    rng = np.random.default_rng(0)

    def with_errors(places: np.ndarray) -> list[Suggested]:
        wrong = np.zeros(size, dtype=bool)
        wrong[places] = True
        return [Suggested(sure, wrong)]

    # The candidate set is all 2,000, its prefixes 1,000, 1,500 and 2,000.
    just = [refused_errors(n, eps) for n in (size // 2, size * 3 // 4, size)]
    yield "errors everywhere, 1 too many", with_errors(rng.permutation(size)[: just[2]])
    yield "errors in the surest half, 1 too many", with_errors(rng.permutation(size // 2)[: just[0]])
    yield "errors in the third quarter, 1 too many", with_errors(size // 2 + rng.permutation(size // 4)[: just[1]])
    yield "errors in the last quarter, 1 too many", with_errors(size * 3 // 4 + rng.permutation(size // 4)[: just[2]])
    yield "errors in one run of the last items", with_errors(np.arange(size - just[2], size))
    yield "twice as many errors as allowed", with_errors(rng.permutation(size)[: 2 * just[2]])


def evidence(size: int, eps: float) -> np.ndarray:
    """The capital after [draws, errors]."""
    key = (size, eps)
    if key not in _tables:
        most = min(BUDGET, size)
        table = np.zeros((most + 1, MOST_ERRORS + 1))
        for draws in range(most + 1):
            for errors in range(min(draws, MOST_ERRORS) + 1):
                table[draws, errors] = capital(size, eps, draws, errors)
                if table[draws, errors] < 1e-12:
                    break  # with more errors it is smaller still
        _tables[key] = table
    return _tables[key]


_tables: dict[tuple[int, float], np.ndarray] = {}


def certify(
    orders: np.ndarray, wrong: np.ndarray, claim: Claim, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(items accepted, audits used) in each of the projects whose audit orders are the rows of `orders`."""
    accepted, used = np.zeros(len(orders), dtype=int), np.zeros(len(orders), dtype=int)
    going = np.arange(len(orders))
    audited = np.zeros(orders.shape, dtype=bool)  # by place in the order
    for size in sizes:
        if not len(going):
            break
        table = evidence(size, claim.eps)
        inside = orders[going] < size
        draw = np.cumsum(inside, axis=1)
        errors = np.cumsum(inside & wrong[orders[going]], axis=1)
        within = inside & (draw <= BUDGET)
        held = np.where(within, table[np.minimum(draw, len(table) - 1), np.minimum(errors, MOST_ERRORS)], -1)
        # Audits of earlier prefixes are used again; what is new counts against the budget.
        new = np.cumsum(within & ~audited[going], axis=1) + used[going, None]
        spent = new > BUDGET
        ends = within & ~spent & ((held >= 1 / claim.level) | (held == 0))
        stop = np.where(ends.any(axis=1), ends.argmax(axis=1), orders.shape[1])
        passed = np.zeros(len(going), dtype=bool)
        there = stop < orders.shape[1]
        passed[there] = held[there, stop[there]] >= 1 / claim.level
        place = np.arange(orders.shape[1])
        looked = within & ~spent & (place <= stop[:, None])
        audited[going] |= looked
        used[going] = audited[going].sum(axis=1)
        accepted[going[passed]] = size
        going = going[passed]
    return accepted, used


def cell(cases: list[Suggested], eps: float, projects: int, attempts: int, seed: int) -> Cell:
    """Simulate the projects of a cell, as many for each of the cases."""
    rng = np.random.default_rng(seed)
    broken, share, passed, audits, naive_broken, naive_share = [], [], [], [], [], []
    for case in cases:
        each = projects // len(cases)
        accepted, used = np.zeros(each, dtype=int), np.zeros(each, dtype=int)
        for attempt in range(1, attempts + 1):
            again = np.flatnonzero(accepted == 0)
            claim = Claim(eps, DELTA, attempt)
            size = candidate_size(case.confidence.tolist(), claim)
            sizes = tuple(sorted({max(1, int(part * size)) for part in (0.5, 0.75, 1.0)}))
            for some in np.array_split(again, max(1, len(again) * size // 4_000_000)):
                orders = _orders(rng, len(some), size)
                accepted[some], now = certify(orders, case.wrong, claim, sizes)
                used[some] += now
                _check(orders[:CHECKED], case.wrong, claim, sizes, accepted[some][:CHECKED])
        errors = np.concatenate([[0], np.cumsum(case.wrong)])
        broken += (errors[accepted] > np.floor(eps * accepted + 1e-9)).tolist()
        share += (accepted / len(case.wrong)).tolist()
        passed += (accepted > 0).tolist()
        audits += used.tolist()
        naive = naive_size(case.confidence.tolist(), eps)
        naive_broken.append(errors[naive] > np.floor(eps * naive + 1e-9))
        naive_share.append(naive / len(case.wrong))
    means = (np.mean(column) for column in (broken, share, passed))
    return Cell(*means, float(np.median(audits)), float(np.mean(naive_broken)), float(np.mean(naive_share)))


def _orders(rng: np.random.Generator, projects: int, size: int) -> np.ndarray:
    """The first ranks of so many random orders: as many as give every prefix its 200 audits."""
    keys, most = rng.random((projects, size), dtype=np.float32), min(size, 3 * BUDGET)
    first = np.argpartition(keys, most - 1, axis=1)[:, :most]
    orders = np.take_along_axis(first, np.argsort(np.take_along_axis(keys, first, 1), axis=1), 1)
    assert most == size or ((orders < size // 2).sum(axis=1) >= BUDGET).all()
    return orders


def _check(orders: np.ndarray, wrong: np.ndarray, claim: Claim, sizes: tuple[int, ...], accepted: np.ndarray) -> None:
    """The engine's own judge says the same, asked as people are: one audit after the other until it is decided."""
    for order, expected in zip(orders, accepted, strict=True):
        ids = tuple(str(rank) for rank in range(sizes[-1]))
        rest = np.setdiff1d(np.arange(sizes[-1]), order)
        plan = Plan(claim, ids, sizes, "", (*order.tolist(), *rest.tolist()))
        known: dict[str, bool] = {}
        while len(known) < BUDGET and (ask := next_audits(plan, known, 1)):
            known |= {item: bool(wrong[int(item)]) for item in ask}
        assert judge(plan, known, BUDGET).accepted == expected, (expected, judge(plan, known, BUDGET))


def report(name: str, cases: list[Suggested], eps: float, projects: int, attempts: int) -> None:
    """One line of the table."""
    found = cell(cases, eps, projects, attempts, seed=0)
    rate = np.mean([case.wrong.mean() for case in cases])
    print(
        f"| {name} | {rate:.1%} | {eps:.0%} | {attempts} | {found.broken:.1%} | {found.passed:.0%} "
        f"| {found.certified:.0%} | {found.audits:.0f} | {found.naive_broken:.0%} | {found.naive_certified:.0%} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=5, help="different answers that the recipe learned from")
    parser.add_argument("--only", default="", help="sets whose name contains this")
    parser.add_argument("--images", action="store_true", help="trashnet as well: encodes 2,527 images")
    options = parser.parse_args()
    began = time.process_time()
    print("| suggestions | wrong | eps | attempts | broken | passed | certified | audits | naive: broken | accepted |")
    print("|" + "---|" * 10)
    for eps in EPS:
        for name, cases in worst(eps):
            if options.only in name:
                for attempts in (1, 3):
                    report(name, cases, eps, options.projects, attempts)
    sets = [real(options.draws)] if not options.images else [real(options.draws), images(options.draws)]
    for found in sets:
        for name, cases in found:
            if options.only in name:
                for eps in EPS:
                    for attempts in (1, 3):
                        report(name, cases, eps, options.projects, attempts)
    print(f"{time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    main()
