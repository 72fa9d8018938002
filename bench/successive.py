"""Bench: what a new project gains from finished ones where labels have the same name.

    python -m bench.successive labels    each of clinc150's ten domains in two halves: the second project begins with
                                         what the first one's answers taught of the same labels
    python -m bench.successive wrong     the same where the first project's labels mean something else (shuffled)

Mean accuracy of the open items in points, with and without, by answers in the second project (drawn at random).
Data as for bench.recipe.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from bench.recipe import DATA, encoded
from metalearning import heritage
from metalearning.adapt import adapt
from metalearning.graph import neighbour_graph
from metalearning.heads import centred
from metalearning.pool import Pool
from metalearning.predict import predict

COUNTS = (0, 5, 10, 20, 40, 80, 150)
EARLIER = 10  # answers per label in the first project


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["labels", "wrong"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    run(options.part == "wrong", options.seeds)
