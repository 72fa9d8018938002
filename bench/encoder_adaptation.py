"""Bench: an encoder whose top layers learn from the answers, against the same recipe on published vectors, one thread.

    python -m bench.encoder_adaptation            accuracy of the unlabelled items at k answers per label
    python -m bench.encoder_adaptation --loop     the loop: ten answers a round, tuned whenever the product would be;
                                                  accuracy of all items, those answered counted as right, and how often
                                                  the interval of the estimated accuracy holds the truth
    python -m bench.encoder_adaptation --cost 10000   what one tuning takes over so many items

With `--quick` there is one encoder instead of five: held-out answers are then judged by what was told them, so that
only the accuracies mean anything, and these nearly what they are in the product. Beside tasks whose labels are topics
there are three where names say little: kinds of utterance, out of scope or not, tweets that name somebody; a task with
a star hides the names. A cell that was measured is not measured again (`--fresh` forgets them), so that a run can be
broken off. The data is looked for in ANNOTATOR_DEV_DATA (default: `shared/data` beside the repository); hidden states
and cells are kept in a folder for temporary files.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import numpy as np

from bench.recipe import DATA, words
from bench.unlike import Pairs, naming_tweets, out_of_scope, records, some, utterances
from metalearning import tuned, tuning
from metalearning.acquisition import rank, strategy_for
from metalearning.adapt import Adaptation, adapt
from metalearning.baselines import logistic_regression
from metalearning.calibration import expected_calibration_error
from metalearning.graph import NEIGHBOURS, neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import Prediction, estimated_accuracy, predict
from metalearning.views import View, Views, blended

CACHE = Path(tempfile.gettempdir()) / "annotator-bench-states"
DOMAINS = DATA / "clinc150.domains.json"
HIDDEN = "*"
"""Ends the name of a task whose label names are hidden."""


@dataclass(frozen=True)
class Task:
    """A labelled data set, its vectors, and what enters the encoder's top layers for its items and label names."""

    name: str
    published: View
    label_ids: np.ndarray
    states: list[np.ndarray]
    name_states: list[np.ndarray | None]

    @property
    def label_count(self) -> int:
        return len(self.name_states)


def domain(label: str) -> str:
    """Which of clinc150's ten domains a label belongs to."""
    of = {intent: name for name, intents in json.loads(DOMAINS.read_text()).items() for intent in intents}
    return of[label].replace("_", " ")


def labelled(file: str, rename: Callable[[str], str | None] = str) -> Callable[[], Pairs]:
    """The texts of a file with their labels as they are called here; None: left out."""
    return lambda: [
        (row["text"], label) for row in records(f"text/{file}") if (label := rename(row["label"])) is not None
    ]


TASKS: dict[str, tuple[Callable[[], Pairs], int]] = {
    "banking77": (labelled("banking77.test"), 2500),
    "hwu64": (labelled("hwu64.train"), 2500),
    "hwu64, scenarios": (labelled("hwu64.train", lambda label: label.split("_")[0]), 1500),
    "snips": (labelled("snips.train"), 1500),
    "clickbait": (labelled("clickbait.train"), 1500),
    "clinc150, travel": (labelled("clinc150.train", lambda label: label if domain(label) == "travel" else None), 1500),
    "clinc150, domains": (labelled("clinc150.train", domain), 1500),
    "kinds of utterance": (utterances, 1500),
    "out of scope": (lambda: out_of_scope(np.random.default_rng(3)), 1500),
    "tweets with names": (naming_tweets, 1500),
}
"""Where it comes from, and how many rows are drawn."""
TOPICS = list(TASKS)[:7]
NAMELESS = ["hwu64, scenarios*", "snips*", "clinc150, domains*", "kinds of utterance*"]
IN_LOOP = 1500
"""Items in the loop."""


def task(name: str, encoder: str, most: int | None = None) -> Task:
    read_all, drawn = TASKS[name.rstrip(HIDDEN)]
    texts, labels = map(list, zip(*some(read_all(), min(drawn, most or drawn), np.random.default_rng(0)), strict=True))
    known = sorted(set(labels))
    x, states = read(f"{encoder}-{name.rstrip(HIDDEN)}", encoder, texts)
    names, name_states = read(f"{encoder}-{name.rstrip(HIDDEN)}-names", encoder, [words(label) for label in known])
    if name.endswith(HIDDEN):
        names, name_states = np.zeros_like(names), [None] * len(known)
    label_ids = np.array([known.index(label) for label in labels])
    return Task(name, View(pooled(x), names), label_ids, states, name_states)


def pooled(x: np.ndarray) -> Pool:
    return Pool(x, neighbour_graph(x, NEIGHBOURS, np.random.default_rng(0)))


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


def learned(task: Task, encoder, rows: np.ndarray, seed: int, *, apart: bool) -> tuple[View, Views | None]:
    """The pool as an encoder sees it that learned from these answers, and as those do that missed a part of them."""
    rows = np.sort(rows)
    network, names = encoder.finish, task.published.names
    lesson = tuning.Lesson([task.states[row] for row in rows], task.label_ids[rows], task.name_states)
    near = np.concatenate([rows, tuned.around(rows, len(task.states))])
    ground = tuned.Ground([task.states[row] for row in near], task.published.pool.vectors(near), names)
    rng = np.random.default_rng([seed, len(rows)])
    found = tuned.learners(network, encoder.top(), lesson, ground, rng, apart=apart)
    seen = []
    for params in found.weights:
        x = blended(task.published.pool.x, tuning.embed(network, params, task.states))
        words = tuned.name_vectors(network, params, task.name_states, x.shape[1])
        seen.append(View(pooled(x), blended(names, words)))
    return seen[0], Views(task.published, seen[1:], rows, found.part) if apart else None


def model(
    task: Task, rows: np.ndarray, seed: int, seen: View, views: Views | None, warm: Adaptation | None = None
) -> tuple[Adaptation, Prediction]:
    rng, answers = np.random.default_rng([seed, len(rows)]), task.label_ids[rows]
    made = adapt(seen.pool, seen.names, rows, answers, task.label_count, generator=rng, warm=warm, views=views)
    return made, predict(made, seen.pool)


def balanced(task: Task, encoder, k: int, seed: int, *, apart: bool) -> dict[str, float] | None:
    """One draw of k answers per label: accuracies and calibration errors on all other items; None: too few."""
    order = np.random.default_rng(seed).permutation(len(task.label_ids))
    rows = np.sort(np.concatenate([order[task.label_ids[order] == c][:k] for c in range(task.label_count)]))
    if len(rows) > 0.7 * len(order):
        return None
    rest = np.setdiff1d(np.arange(len(order)), rows)
    plain = logistic_regression(task.published.pool, rows, task.label_ids[rows], task.label_count)
    told = {
        "lr": predict(plain, task.published.pool),
        "frozen": model(task, rows, seed, task.published, None)[1],
        "tuned": model(task, rows, seed, *learned(task, encoder, rows, seed, apart=apart))[1],
    }
    found: dict[str, float] = {"answers": len(rows)}
    for name, one in told.items():
        right = (one.label_id == task.label_ids)[rest]
        found |= {name: points(right), f"{name} ece": ece(one, rest, right)}
    return found


def looped(task: Task, encoder, seed: int, *, apart: bool, last: int = 200) -> dict[str, float]:
    """From 50 answers to `last`, with and without tuning: means over the rounds, and accuracies at every fifty.

    The plain recipe asks, as in the product, so that both learn from the same answers.
    """
    from labeling import tunings

    each: dict[str, list[dict]] = {"frozen": [], "tuned": []}
    rows, warm, tuned_warm, tuned_at, count = np.zeros(0, dtype=np.intp), None, None, 0, len(task.label_ids)
    seen, views = task.published, None
    while True:
        warm, told = model(task, rows, seed, task.published, None, warm)
        rest = np.setdiff1d(np.arange(count), rows)
        if len(rows) >= tunings.FIRST and len(np.unique(task.label_ids[rows])) > 1:
            if not tuned_at or len(rows) >= tuned_at + max(tunings.EVERY, tuned_at // 5):
                seen, views = learned(task, encoder, rows, seed, apart=apart)
                tuned_at, tuned_warm = len(rows), tuned_warm and replace(tuned_warm, smoothing_chosen_at=0)
            tuned_warm, with_tuning = model(task, rows, seed, seen, views, tuned_warm or warm)
            for name, adaptation, one in (("frozen", warm, told), ("tuned", tuned_warm, with_tuning)):
                right = (one.label_id == task.label_ids)[rest]
                accuracy = 100 * (float(right.sum()) + len(rows)) / count
                each[name].append({"answers": len(rows), "": accuracy, **trust(adaptation, one, rest, right)})
        if len(rows) >= last:
            break
        by, rng = strategy_for(warm), np.random.default_rng([seed, len(rows)])
        wanted = min(10, last - len(rows))
        asks = rank(task.published.pool, told, rest, wanted, strategy=by, answered=rows, generator=rng)
        rows = np.concatenate([rows, [ask.row for ask in asks]]).astype(np.intp)
    found = {}
    for name, judged in each.items():
        for key in list(judged[0])[1:]:
            values = [one[key] for one in judged if one[key] is not None]
            found[f"{name} {key}".strip()] = float(np.mean(values)) if values else 0.0
        found |= {f"{name} at {one['answers']}": one[""] for one in judged if one["answers"] % 50 == 0}
    return found


def trust(adaptation: Adaptation, told: Prediction, rest: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    """Whether the interval of the estimated accuracy holds the truth, how wide it is, and the calibration error."""
    estimate = estimated_accuracy(adaptation, told, rest)
    if estimate is None:
        return {"ece": ece(told, rest, right), "held": None, "width": None, "error": None}
    return {
        "ece": ece(told, rest, right),
        "held": 100.0 * (estimate.low <= right.mean() <= estimate.high),
        "width": 100 * (estimate.high - estimate.low),
        "error": 100 * (estimate.value - float(right.mean())),
    }


def points(right: np.ndarray) -> float:
    return 100 * float(right.mean())


def ece(told: Prediction, rest: np.ndarray, right: np.ndarray) -> float:
    return 100 * expected_calibration_error(told.confidence[rest], right)


def cost(encoder, items: int) -> None:
    """CPU seconds of a tuning to 200 answers over so many items of banking77, some several times."""
    pairs = labelled("banking77.train")()
    places = np.resize(np.random.default_rng(0).permutation(len(pairs)), items)
    texts, labels = map(list, zip(*(pairs[place] for place in places), strict=True))
    began = time.process_time()
    x, states = encoder.read(texts)
    print(f"{items} items read in {time.process_time() - began:.0f} s, {sum(one.nbytes for one in states) >> 20} MB")
    known = sorted(set(labels))
    names, name_states = encoder.read([words(label) for label in known])
    label_ids = np.array([known.index(label) for label in labels])
    all_of_it = Task("cost", View(Pool(x), names), label_ids, states, list(name_states))
    began = time.process_time()
    seen, views = learned(all_of_it, encoder, np.random.default_rng(0).permutation(items)[:200], 0, apart=True)
    assert views is not None
    took = time.process_time() - began
    print(
        f"a tuning to 200 answers: {took:.0f} s of CPU, {(1 + len(views.without)) * seen.pool.x.nbytes // 2 >> 20} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--task", default="", help="only those whose name contains this")
    parser.add_argument("--loop", action="store_true", help="the loop instead of balanced answers")
    parser.add_argument("--cost", type=int, default=0, help="the cost of one tuning over so many items instead")
    parser.add_argument("--quick", action="store_true", help="accuracies alone: held-out answers are judged unfairly")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    options = parser.parse_args()
    if options.cost:
        cost(tunable(options.encoder), options.cost)
        return
    sizes: tuple[int, ...] = (0,) if options.loop else (5, 10, 20)
    measured = CACHE / f"{'loop' if options.loop else 'few'}{'-quick' * options.quick}-{options.encoder}.jsonl"
    if options.fresh:
        measured.unlink(missing_ok=True)
    names = [name for name in [*TASKS, *NAMELESS] if options.task in name]
    wanted = [(name, k, draw) for draw in range(options.draws) for name in names for k in sizes]
    known = cells(measured)
    for name, k, draw in wanted:
        if (name, k, draw) in known:
            continue
        made = task(name, options.encoder, IN_LOOP if options.loop else None)
        encoder = tunable(options.encoder)
        apart = not options.quick
        found = (
            looped(made, encoder, draw, apart=apart) if options.loop else balanced(made, encoder, k, draw, apart=apart)
        )
        with measured.open("a") as file:
            file.write(json.dumps({"task": name, "k": k, "draw": draw, **(found or {})}) + "\n")
    report({one: cell for one, cell in cells(measured).items() if one in wanted and cell})


def cells(path: Path) -> dict[tuple[str, int, int], dict[str, float]]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        one = json.loads(line)
        found[one.pop("task"), one.pop("k"), one.pop("draw")] = one
    return found


def report(known: dict[tuple[str, int, int], dict[str, float]]) -> None:
    """Per task the means over draws; then over the tasks: those with topics, all that have names, and all."""
    for k in sorted({k for _, k, _ in known}):
        means = {}
        for name in dict.fromkeys(name for name, size, _ in known if size == k):
            of_task = [cell for one, cell in known.items() if one[:2] == (name, k)]
            means[name] = {key: float(np.mean([one[key] for one in of_task])) for key in of_task[0]}
            told = "  ".join(f"{key} {value:.1f}" for key, value in means[name].items())
            print(f"{name:20s} {k:3d}  {len(of_task)} draws  {told}")
        groups = {
            "topics": [name for name in means if name in TOPICS],
            "with names": [name for name in means if not name.endswith(HIDDEN)],
            "all": list(means),
        }
        for group, names in groups.items():
            gains = np.array([means[name]["tuned"] - means[name]["frozen"] for name in names])
            if not len(gains):
                continue
            drawn = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(axis=1)  # bootstrap over the tasks
            low, high = np.percentile(drawn, [2.5, 97.5])
            told = f"gain {gains.mean():+.2f} [{low:.2f}, {high:.2f}], lowest {gains.min():+.2f}"
            print(f"  {group}, {len(gains)} tasks, {k:3d}: {told}, won {(gains > 0).sum()}")


if __name__ == "__main__":
    main()
