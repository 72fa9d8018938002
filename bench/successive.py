"""Bench: what a new project gains from finished ones, where labels have the same name and where none has.

    python -m bench.successive labels    each of clinc150's ten domains in two halves: the second project begins with
                                         what the first one's answers taught of the same labels
    python -m bench.successive wrong     the same where the first project's labels mean something else (shuffled)

    python -m bench.successive domains   the ten domains one after another, no label shared: each finished one is one
                                         more project to train on, by the same trial and rule as the application's

Mean accuracy of the open items in points, with and without, by answers in the second project (drawn at random; for
domains as the recipe asks for them). Data as for bench.recipe.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.recipe import DATA, encoded
from metalearning import heritage, trial
from metalearning.adapt import adapt
from metalearning.checkpoint import Checkpoint
from metalearning.gate import Gate
from metalearning.graph import neighbour_graph
from metalearning.heads import centred
from metalearning.labelling import LabellingTask, Sampling, answered_by_margin, whole
from metalearning.metatrain import Config, judged
from metalearning.pool import Pool
from metalearning.predict import predict
from metalearning.sources import TaskSource

COUNTS = (0, 5, 10, 20, 40, 80, 150)
EARLIER = 10  # answers per label in the first project
FINISHED = 150  # answers after which a domain is finished
GOAL = 0.9  # accuracy of the open items
PLAN = trial.Plan(
    training=Config(tasks=40, validation_tasks=10, sampling=Sampling(items=(80, 150), asked=(10, 60))),
    shots=(1, 2, 3),
    by_margin=(30,),
    draws=4,
)


def domains() -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Name, vectors, label ids and names of each domain."""
    x, label_ids, names = encoded("clinc150.test", None)
    rows = [json.loads(line) for line in (DATA / "clinc150.test.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = sorted({row["label"] for row in rows})
    told = json.loads((DATA / "clinc150.domains.json").read_text(encoding="utf-8"))
    grouped = told if all(isinstance(value, list) for value in told.values()) else None
    if grouped is None:
        grouped = {}
        for label, domain in told.items():
            grouped.setdefault(domain, []).append(label)
    found = []
    for domain, own in sorted(grouped.items()):
        ids = [labels.index(label) for label in own if label in labels]
        mine = np.flatnonzero(np.isin(label_ids, ids))
        place = {label_id: column for column, label_id in enumerate(ids)}
        found.append((domain, x[mine], np.array([place[k] for k in label_ids[mine]]), names[ids]))
    return found


def run(shuffled: bool, seeds: int) -> None:
    """Print one line per number of answers, and the mean over domains and seeds of the difference."""
    gains: dict[int, list[float]] = {count: [] for count in COUNTS}
    plain: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _domain, x, label_ids, names in domains():
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(x))
            old, new = order[: len(x) // 2], order[len(x) // 2 :]
            earlier = Pool(x[old])
            answered = np.concatenate([np.flatnonzero(label_ids[old] == k)[:EARLIER] for k in range(len(names))])
            meant = rng.permutation(len(names)) if shuffled else np.arange(len(names))
            known = heritage.learn(centred(earlier.vectors(answered), earlier.mean), meant[label_ids[old][answered]])
            pool = Pool(x[new], neighbour_graph(x[new], 10, np.random.default_rng(0)))
            for count in COUNTS:
                rows = rng.permutation(len(new))[:count]
                rest = np.setdiff1d(np.arange(len(new)), rows)
                right = []
                for voices in ((), (heritage.voice(known, pool, rows, len(names)),)):
                    made = adapt(
                        pool, names, rows, label_ids[new][rows], len(names),
                        generator=np.random.default_rng(seed), voices=voices,
                    )  # fmt: skip
                    right.append(float((predict(made, pool).label_id == label_ids[new])[rest].mean()))
                plain[count].append(right[0])
                gains[count].append(right[1] - right[0])
    for count in COUNTS:
        values = np.array(gains[count])
        error = 1.96 * values.std(ddof=1) / len(values) ** 0.5
        before, gain, lost = 100 * np.mean(plain[count]), 100 * values.mean(), int((values < 0).sum())
        print(
            f"{count:4d} answers  without {before:5.1f}  with {before + gain:5.1f}  gain {gain:+5.1f}"
            f" [{gain - 100 * error:+.1f}, {gain + 100 * error:+.1f}]  lost in {lost} of {len(values)}",
            flush=True,
        )


def one_after_another(seeds: int) -> None:
    """Print each trial, and what the domains needed in the first and in the last half of their order."""
    rows = []
    for seed in range(seeds):
        projects = [_answered(*domain, seed) for domain in domains()]
        rows += _in_turn(projects, [int(k) for k in np.random.default_rng(seed).permutation(len(projects))], seed)
    for what, places in (("first", (0,)), ("2nd to 5th", range(1, 5)), ("6th to 9th", range(5, 9)), ("tenth", (9,))):
        mine = np.array([numbers for place, numbers in rows if place in places])
        with_it, without, needed, needed_without = mine.mean(axis=0)
        gains = 100 * (mine[:, 0] - mine[:, 1])
        gain, error = gains.mean(), 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
        print(
            f"{what:10s} {len(mine):3d} projects  accuracy {100 * with_it:5.1f}  untrained {100 * without:5.1f}"
            f"  gain {gain:+.2f} [{gain - error:+.2f}, {gain + error:+.2f}]"
            f"  answers to {100 * GOAL:.0f} %: {needed:.0f}, untrained {needed_without:.0f}",
            flush=True,
        )


def _answered(
    domain: str, x: np.ndarray, label_ids: np.ndarray, names: np.ndarray, seed: int
) -> tuple[TaskSource, LabellingTask]:
    """The domain as a source, and all that was answered until it was finished, in its order."""
    source = TaskSource(domain, x, label_ids, tuple(map(str, range(len(names)))), names, encoder="minilm")
    return source, answered_by_margin(whole(source), FINISHED, np.random.default_rng(seed))


def _in_turn(
    projects: list[tuple[TaskSource, LabellingTask]], order: list[int], seed: int
) -> list[tuple[int, tuple[float, float, float, float]]]:
    """By place in the order: accuracy and answers needed, with what was learned before it and without."""
    current: Checkpoint | None = None
    finished: list[TaskSource] = []
    found = []
    with TemporaryDirectory() as folder:
        for place, number in enumerate(order):
            source, task = projects[number]
            plain = _curve(task, None)
            ours = plain if current is None else _curve(task, current)
            found.append((place, (*_summed(ours)[:1], *_summed(plain)[:1], _summed(ours)[1], _summed(plain)[1])))
            finished.append(source.part(np.sort(task.rows)))
            if len(finished) < trial.FEWEST:
                continue
            verdict = trial.run(finished, current, PLAN, Path(folder) / str(place))
            print(
                f"seed {seed}, {len(finished)} finished: gain on those kept out {100 * verdict.gain.mean:+.2f} points"
                f" [{100 * verdict.gain.low:+.2f}, {100 * verdict.gain.high:+.2f}],"
                f" {'taken' if verdict.better else 'refused'}",
                flush=True,
            )
            current = verdict.checkpoint if verdict.better else current
    return found


def _curve(task: LabellingTask, checkpoint: Checkpoint | None) -> list[float]:
    """Accuracy of the open items after each ten of the answers."""
    gate = checkpoint.gate if checkpoint else Gate()
    sofar = [replace(task, rows=task.rows[:n], answers=task.answers[:n]) for n in range(0, FINISHED + 1, 10)]
    return [float(judged(one, gate)[0].mean()) for one in sofar]


def _summed(curve: list[float]) -> tuple[float, float]:
    """The mean accuracy on the way, and the answers after which the goal was reached (all, if it never was)."""
    reached = [10 * step for step, accuracy in enumerate(curve) if accuracy >= GOAL]
    return float(np.mean(curve)), float(reached[0] if reached else FINISHED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["labels", "wrong", "domains"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.part == "domains":
        one_after_another(options.seeds)
    else:
        run(options.part == "wrong", options.seeds)
