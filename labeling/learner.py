"""Learner: the only bridge to the engine: vectors and answers in, plain arrays and values out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from metalearning import (
    acquisition,
    baselines,
    calibration,
    comparison,
    evaluation,
    graph,
    heritage,
    label_errors,
    predict,
    rules,
)
from metalearning.adapt import Adaptation, adapt, choosing_due
from metalearning.checkpoint import load
from metalearning.experts import silent_labels
from metalearning.gate import Gate
from metalearning.pool import Pool
from metalearning.shares import wilson
from metalearning.vectors import softmax
from metalearning.views import View, Views
from metalearning.voices import Voice

QUEUE = 200  # items ranked after each adaptation: more than a team answers before the next one
DIGITS = 9  # likeliest labels kept for each of them
GRAPH_LIMIT = 200_000  # items beyond which neighbours cost more than they give
FEWEST_HELD_OUT = 5  # answers of a label below which a share of them says nothing
MOST_CONFUSIONS = 50
FOLDS = 5  # of a comparison: each answer is judged by a model that learned from four fifths of the others
TUNING = "tuning"  # beside the voices' names, of what the last adaptation was made
REMEMBERED = 4  # projects whose pools and adaptations are kept in a worker's memory
ALL_MARGIN = evaluation.Mix(margin=1.0, typical=0.0, random=0.0, doubt=0.0)


@dataclass(frozen=True, eq=False)
class Rules:
    """What people's rules say: `fired` has a 1 where a rule (column) speaks of an item, `columns` the label of each.

    `key` tells whether the rules are still those of the last adaptation.
    """

    fired: csr_matrix
    columns: Int[np.ndarray, " rules"]
    key: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Earlier:
    """Answered items of earlier projects: `z` centred in their own pools, `columns` this project's labels.

    `key` tells whether they are still those of the last adaptation.
    """

    z: Float[np.ndarray, "rows dim"]
    columns: Int[np.ndarray, " rows"]
    key: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Tuned:
    """The items as encoders see them that learned from answers: the first from all, the others each without a part.

    Items that came later are missing at the end of `x`. `rows`: the items whose answers were learned from, ascending;
    `part`: which of the others, counted from 0, has missed each. `number` tells one tuning from another; `recall`
    reads the neighbour graph of each encoder.
    """

    number: int
    x: Float[np.ndarray, "encoders items dim"]
    names: Float[np.ndarray, "encoders labels dim"]
    rows: Int[np.ndarray, " learned"]
    part: Int[np.ndarray, " learned"]
    recall: Callable[[], Sequence[csr_matrix] | None] = lambda: None


@dataclass(frozen=True, eq=False)
class Lesson:
    """What there is to learn from.

    `x`: L2-normalised embeddings by row, float16 or float32. `names`: embedded label names in column order, a zero row
    where a label has none, or None for items that share no encoder with words. `rows` and `columns`: the answers.
    `open_rows`: what may be asked next; `mix`: how the queue is shared among the strategies. `key` tells whether a
    remembered pool is this one. `recall` and `keep` read and store the neighbour graph, as named arrays: drawing it
    takes longest. `at_random`: whether each answer's item was drawn at random. `checkpoint`: the file of what was
    learned over other projects; None for the recipe's fixed weights.
    """

    key: tuple[Any, ...]
    x: Float[np.ndarray, "items dim"]
    names: Float[np.ndarray, "labels dim"] | None
    rows: Int[np.ndarray, " answers"]
    columns: Int[np.ndarray, " answers"]
    label_count: int
    open_rows: Int[np.ndarray, " open"]
    at_random: Bool[np.ndarray, " answers"] | None = None
    seed: int = 0
    mix: evaluation.Mix = ALL_MARGIN
    checkpoint: Path | None = None
    earlier: Earlier | None = None
    strategy: str = "auto"  # or "margin", "typical", "random"
    learner: str = "recipe"  # or "lr", the baseline
    recall: Callable[[], Mapping[str, np.ndarray] | None] = lambda: None
    keep: Callable[[Mapping[str, np.ndarray]], None] = lambda arrays: None
    tuned: Tuned | None = None
    rules: Rules | None = None


@dataclass(frozen=True, eq=False)
class Learned:
    """What an adaptation says: arrays by row, the order to ask in, and what is known of its quality."""

    column: Int[np.ndarray, " items"]
    confidence: Float[np.ndarray, " items"]
    runner_up: Int[np.ndarray, " items"]
    margin: Float[np.ndarray, " items"]
    ranking: list[dict[str, Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    estimates: dict[str, Any] = field(default_factory=dict)
    held_out: dict[str, np.ndarray] | None = None
    """Per answer, what a model that had not seen it said: "row", "answer" and "suggested" (columns), "p_answer" and
    "p_suggested" (in [0, 1]), "doubt": 0 none, 1 leans to another label, 2 does so confidently, and "chance", in
    [0, 1], of the answer's being a mistake. None: too few."""


def learn(lesson: Lesson) -> Learned:
    """Adapt to the answers, predict every item, rank what to ask next."""
    generator = np.random.default_rng([lesson.seed, len(lesson.rows)])
    pool = _pool(lesson)
    seen, apart = _seen(lesson, pool)
    heard = _heard(lesson, pool)
    adaptation = _adapted(lesson, pool, seen, apart, heard, generator)
    prediction = predict.predict(adaptation, seen.pool)
    asking = prediction if apart is None else _asking(lesson, pool, heard, adaptation, generator)
    told = _humbled(adaptation, prediction)
    return Learned(
        column=told.label_id,
        confidence=told.confidence,
        runner_up=told.runner_up,
        margin=told.margin,
        ranking=_ranking(lesson, pool, asking, adaptation, seen.pool, prediction, generator),
        facts=_facts(lesson, pool, adaptation, heard),
        estimates=_estimates(lesson, adaptation, prediction),
        held_out=_held_out(adaptation),
    )


def marks(spoken: Sequence[Int[np.ndarray, " n"]], items: int) -> csr_matrix:
    """A matrix of items by rules with a 1 wherever a rule speaks; `spoken` has the rows of each, ascending."""
    starts = np.concatenate([[0], np.cumsum([len(rows) for rows in spoken])])
    rows = np.concatenate([*spoken, np.zeros(0, dtype=np.int32)]).astype(np.int32)
    ones = np.ones(len(rows), dtype=np.float32)
    return csc_matrix((ones, rows, starts), shape=(items, len(spoken))).tocsr()


def forget() -> None:
    """Drop what is remembered between adaptations, as a new worker would have it."""
    _pools.clear()
    _tuned.clear()
    _warm.clear()
    _heritages.clear()
    _spoken.clear()


_pools: OrderedDict[tuple[Any, ...], Pool] = OrderedDict()
_tuned: OrderedDict[tuple[Any, ...], tuple[tuple[int, int], list[Pool]]] = OrderedDict()  # the newest of a project
_warm: OrderedDict[tuple[Any, ...], Adaptation] = OrderedDict()
_heritages: OrderedDict[tuple[Any, ...], heritage.Heritage] = OrderedDict()
_spoken: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()  # what voices of the remembered adaptations were


def _pool(lesson: Lesson) -> Pool:
    """The pool with its graph, from memory where it is the same as last time."""
    key = (*lesson.key, len(lesson.x))
    if key not in _pools:
        wanted = lesson.learner == "recipe" and 1 < len(lesson.x) <= GRAPH_LIMIT
        _remember(_pools, key, Pool(lesson.x, _graph(lesson) if wanted else None))
    _pools.move_to_end(key)
    return _pools[key]


def _graph(lesson: Lesson) -> csr_matrix:
    """The neighbours, as another worker stored them or drawn now."""
    size = len(lesson.x)
    if stored := lesson.recall():
        return csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=(size, size))
    drawn = graph.neighbour_graph(lesson.x, graph.NEIGHBOURS, np.random.default_rng(0))
    lesson.keep({"data": drawn.data, "indices": drawn.indices, "indptr": drawn.indptr})
    return drawn


def _seen(lesson: Lesson, pool: Pool) -> tuple[View, Views | None]:
    """The items and names as the model sees them, and as those do that judge held-out answers: None: the same."""
    dimension, tuned = lesson.x.shape[1], lesson.tuned
    names = lesson.names if lesson.names is not None else np.zeros((lesson.label_count, dimension), dtype=np.float32)
    if tuned is None or lesson.learner != "recipe":
        return View(pool, names), None
    known = (tuned.number, len(lesson.x))
    kept = _tuned.get(lesson.key)
    if kept is None or kept[0] != known:
        kept = (known, _tuned_pools(lesson, tuned))
        _remember(_tuned, lesson.key, kept)
    tuned_names = tuned.names if lesson.names is not None else [names] * len(kept[1])
    whole, *without = (View(*one) for one in zip(kept[1], tuned_names, strict=True))
    return whole, Views(View(pool, names), without, tuned.rows, tuned.part)


def _tuned_pools(lesson: Lesson, tuned: Tuned) -> list[Pool]:
    """A pool for each encoder. Items that came later are as they were published, and have no neighbours yet."""
    size, there = len(lesson.x), tuned.x.shape[1]
    links = tuned.recall()
    if links is None or links[0].shape[0] != there:
        links = [graph.neighbour_graph(x, graph.NEIGHBOURS, np.random.default_rng(0)) for x in tuned.x]
    for drawn in links:
        drawn.resize((size, size))
    later = lesson.x[there:]
    return [
        Pool(np.concatenate([x, later]) if len(later) else x, drawn) for x, drawn in zip(tuned.x, links, strict=True)
    ]


def _heard(lesson: Lesson, pool: Pool) -> rules.RuleModel | None:
    """What the rules are worth by now; None without rules."""
    if lesson.rules is None or lesson.learner != "recipe":
        return None
    votes = rules.Votes(lesson.rules.fired, lesson.rules.columns)
    return rules.hear(votes, pool, lesson.names, lesson.rows, lesson.columns, lesson.label_count)


def _adapted(
    lesson: Lesson,
    pool: Pool,
    seen: View,
    apart: Views | None,
    heard: rules.RuleModel | None,
    generator: np.random.Generator,
    *,
    hurried: bool = False,
) -> Adaptation:
    if lesson.learner == "lr":
        return baselines.logistic_regression(pool, lesson.rows, lesson.columns, lesson.label_count)
    key = lesson.key if apart is None else (*lesson.key, TUNING)
    warm = _warm.get(key, _warm.get(lesson.key))
    if warm is not None and (warm.label_count > lesson.label_count or len(warm.answers) > len(lesson.rows)):
        warm = None
    spoken: dict[str, Any] = {rules.NAME: lesson.rules.key if lesson.rules is not None else ()}
    spoken[TUNING] = 0 if apart is None or lesson.tuned is None else lesson.tuned.number
    before = _spoken.get(key, {})
    if warm is not None:
        # Other rules are another voice: how loud it may be is chosen anew. On vectors tuned anew all is.
        same = tuple(voice for voice in warm.voices if before.get(voice.name) == spoken.get(voice.name))
        chosen_at = warm.smoothing_chosen_at if before.get(TUNING) == spoken[TUNING] else 0
        warm = replace(warm, voices=same, smoothing_chosen_at=chosen_at)
    adaptation = adapt(
        seen.pool,
        seen.names,
        lesson.rows,
        lesson.columns,
        lesson.label_count,
        generator=generator,
        gate=_gate(lesson.checkpoint),
        warm=warm,
        voices=(*_inherited(lesson, pool), *([] if heard is None else [heard.voice()])),
        views=apart,
        hurried=hurried,
    )
    _remember(_warm, key, adaptation, 2 * REMEMBERED)  # what asks and what tells
    _remember(_spoken, key, spoken, 2 * REMEMBERED)
    return adaptation


def _asking(
    lesson: Lesson,
    pool: Pool,
    heard: rules.RuleModel | None,
    told: Adaptation,
    generator: np.random.Generator,
) -> predict.Prediction:
    """What the recipe says without the tuned encoder, to be asked by; `told` is the adaptation with it.

    A tuned encoder is sure of corners that nobody asked about yet: its small margins lie where it was told already.
    Held-out answers are looked at only when weights are to be chosen, and not in a round that has just chosen others.
    """
    published, _ = _seen(replace(lesson, tuned=None), pool)
    before, count = _warm.get(lesson.key), len(lesson.rows)
    chose = told.smoothing_chosen_at == count
    hurried = chose or (before is not None and not choosing_due(before, count))
    return predict.predict(_adapted(lesson, pool, published, None, heard, generator, hurried=hurried), pool)


def _inherited(lesson: Lesson, pool: Pool) -> list[Voice]:
    """What earlier projects say of the items, as one voice; their head is fitted once and remembered."""
    earlier = lesson.earlier
    if earlier is None:
        return []
    key = (lesson.key, lesson.label_count, earlier.key)
    if key not in _heritages:
        _remember(_heritages, key, heritage.learn(earlier.z, earlier.columns))
    return [heritage.voice(_heritages[key], pool, lesson.rows, lesson.label_count)]


@lru_cache(maxsize=8)
def _gate(checkpoint: Path | None) -> Gate:
    """The trained gate of a checkpoint's file; files are named by their content, so each is read once."""
    return load(checkpoint).gate if checkpoint else Gate()


def compare(lesson: Lesson, first: Path | None, second: Path | None, progress: Callable[[int], None]) -> dict[str, Any]:
    """The second checkpoint's file against the first's (None: fixed weights), on the lesson's answers held out in turn.

    Both judge each answer after learning from the same others. Needs at least two answered items.
    """
    pool = _pool(lesson)
    judged = []
    for number, checkpoint in enumerate((first, second)):
        progress(number)

        def learned(rows: np.ndarray, columns: np.ndarray, checkpoint: Path | None = checkpoint) -> Adaptation:
            generator = np.random.default_rng(lesson.seed)
            count, gate = lesson.label_count, _gate(checkpoint)
            return adapt(pool, lesson.names, rows, columns, count, generator=generator, gate=gate)

        dealt = np.random.default_rng(lesson.seed)
        judged.append(comparison.judge(learned, pool, lesson.rows, lesson.columns, folds=FOLDS, generator=dealt))
    before, after = judged
    gains = {
        "accuracy": after.right.astype(float) - before.right,
        "log_likelihood": after.log_likelihood - before.log_likelihood,
    }
    drawn = np.random.default_rng(lesson.seed)
    told = {name: _rounded(asdict(comparison.paired(gain, drawn))) for name, gain in gains.items()}
    values = {"first": float(before.right.mean()), "second": float(after.right.mean())}
    return told | _rounded(values) | {"answers": len(lesson.rows)}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _known_share(adaptation: Adaptation) -> float:
    """How likely an item has one of the labels that the model knows anything of, in [0, 1].

    One answer is imagined for each label without name or answer (a Dirichlet prior), so that twelve answers "three"
    do not make the model certain that there are no other digits.
    """
    silent = int(_silent(adaptation).sum())
    answers = len(adaptation.answers)
    return answers / (answers + silent) if answers and silent else 1.0


def _silent(adaptation: Adaptation) -> Bool[np.ndarray, " labels"]:
    return silent_labels(adaptation.answers, adaptation.names)


def _humbled(adaptation: Adaptation, prediction: predict.Prediction) -> predict.Prediction:
    """The prediction with room left for the labels that nobody has given yet. Answered rows keep their answers."""
    share = np.full(len(prediction.confidence), _known_share(adaptation), dtype=np.float32)
    share[adaptation.answers.rows] = 1
    return replace(prediction, confidence=prediction.confidence * share, margin=prediction.margin * share)


def _likeliest(
    adaptation: Adaptation, pool: Pool, rows: Int[np.ndarray, " rows"], prediction: predict.Prediction
) -> tuple[Int[np.ndarray, "rows k"], Float[np.ndarray, "rows k"]]:
    """The likeliest labels of these rows, likeliest first, with room left for those that nobody has given yet."""
    columns, shares = predict.top(adaptation, pool, rows, prediction, DIGITS)
    known, silent = _known_share(adaptation), _silent(adaptation)
    if known == 1:
        return columns, shares
    shares = np.where(silent[columns], (1 - known) / silent.sum(), shares * known)
    order = np.argsort(-shares, axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), np.take_along_axis(shares, order, 1)


def _ranking(
    lesson: Lesson,
    pool: Pool,
    asking: predict.Prediction,
    adaptation: Adaptation,
    seen: Pool,
    prediction: predict.Prediction,
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """What to ask next, by what `asking` says of the published pool; how likely its labels are, by the prediction."""
    available = lesson.open_rows[lesson.open_rows < len(pool)]
    if not len(available):
        return []
    strategy: Any = acquisition.strategy_for(adaptation) if lesson.strategy == "auto" else lesson.strategy
    elsewhere = {"random": lesson.mix.random}
    if strategy == "margin":
        elsewhere["typical"] = lesson.mix.typical
    if lesson.strategy != "auto" or strategy == "typical":
        elsewhere = {}  # the caller's own choice, or nothing is predicted yet that could be scored

    def ranked(by: Any, count: int) -> list[acquisition.Ask]:
        answered = np.unique(lesson.rows)
        return acquisition.rank(pool, asking, available, count, strategy=by, answered=answered, generator=generator)

    asks = _mixed(ranked, strategy, elsewhere, generator)
    rows = np.array([ask.row for ask in asks], dtype=np.intp)
    columns, shares = _likeliest(adaptation, seen, rows, prediction)
    return [
        {"row": ask.row, "code": ask.reason, "columns": columns[k].tolist(), "p": [float(p) for p in shares[k]]}
        for k, ask in enumerate(asks)
    ]


def _mixed(
    ranked: Callable[[Any, int], list[acquisition.Ask]],
    strategy: str,
    shares: Mapping[str, float],
    generator: np.random.Generator,
) -> list[acquisition.Ask]:
    """The strategy's ranking with about these shares of its places given to others; each row once.

    The random ones are drawn before all else: were those left out that the margin ranks too, what remained would be the
    items that the model is surer of, and their accuracy would stand for nothing.
    """
    asks = ranked(strategy, QUEUE)
    if not any(shares.values()):
        return asks
    names = [*shares, strategy]
    dealt = generator.choice(len(names), len(asks), p=[*shares.values(), 1 - sum(shares.values())])
    counts = {name: int((dealt == place).sum()) for place, name in enumerate(names)}
    taken: set[int] = set()
    queues: dict[str, list[acquisition.Ask]] = {}
    for name in names:
        own = asks if name == strategy else ranked(name, counts[name] + len(taken)) if counts[name] else []
        queues[name] = [ask for ask in own if ask.row not in taken][: counts[name]]
        taken |= {ask.row for ask in queues[name]}
    waiting = {name: iter(queue) for name, queue in queues.items()}
    mixed = [next(waiting[names[place]], None) for place in dealt]
    return [ask for ask in mixed if ask is not None]


def _facts(lesson: Lesson, pool: Pool, adaptation: Adaptation, heard: rules.RuleModel | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "learner": lesson.learner,
        "trust": [round(float(weight), 4) for weight in adaptation.trust],
        "smoothing": float(adaptation.smoothing) if pool.graph is not None else 0.0,
        "temperature": round(float(adaptation.calibration.temperature), 4),
        "neighbours": pool.graph is not None,
        "seed": lesson.seed,
        "voices": {voice.name: voice.weight for voice in adaptation.voices},
        "mix": {name: round(share, 4) for name, share in asdict(lesson.mix).items()},
    }
    if lesson.checkpoint is not None and lesson.learner == "recipe":
        facts["learned"] = round(adaptation.learned, 4)
        facts["refuted"] = not adaptation.learned and _gate(lesson.checkpoint).share(adaptation.features) > 0
    if heard is not None:
        own = rules.novelty(heard.votes)
        facts["rules"] = [
            {"precision": round(float(precision), 4), "own": round(float(own[place]), 4)}
            for place, precision in enumerate(heard.precision)
        ]
    return facts


def _estimates(lesson: Lesson, adaptation: Adaptation, prediction: predict.Prediction) -> dict[str, Any]:
    """How accurate the suggestions are likely to be on what is open; no key for what cannot be told.

    "accuracy": of the suggestions for open items, from answers the model had not seen and how those differ from them.
    "labels" and "confusions": of the held-out answers as they came, which were the harder ones. Labels are columns.
    """
    held = adaptation.held_out
    if held is None:
        return {"needs_answers": adaptation.config.choose_from}
    told: dict[str, Any] = {}
    open_rows = lesson.open_rows[lesson.open_rows < len(prediction.label_id)]
    estimate = predict.estimated_accuracy(adaptation, prediction, open_rows, lesson.at_random)
    if estimate is not None:
        told["accuracy"] = {
            "estimate": round(estimate.value, 4),
            "low": round(estimate.low, 4),
            "high": round(estimate.high, 4),
            "evidence": round(estimate.evidence, 1),
            "how": "cross_validation",
        }
    label_ids = held.answers.label_ids
    told["labels"] = {
        one.label_id: _share(one.correct, one.answers) | {"answers": one.answers, "correct": one.correct}
        for one in calibration.per_label(held.logits, label_ids)
        if one.answers >= FEWEST_HELD_OUT
    }
    told["confusions"] = [
        {"answer": pair.label_id, "suggested": pair.suggested_id, "count": pair.answers}
        for pair in calibration.confusions(held.logits, label_ids)[:MOST_CONFUSIONS]
    ]
    return told


def _held_out(adaptation: Adaptation) -> dict[str, np.ndarray] | None:
    held = adaptation.held_out
    if held is None:
        return None
    given = held.answers.label_ids
    probabilities = softmax(adaptation.calibration.temper(held.logits))
    doubted = label_errors.doubts(probabilities, given, held.foreseeable)
    suggested = probabilities.argmax(axis=1)
    suggested[doubted.place] = doubted.label_id
    doubt = np.zeros(len(given), dtype=np.int8)
    doubt[doubted.place] = 1 + doubted.confident
    places = np.arange(len(given))
    return {
        "row": held.answers.rows.astype(np.int64),
        "answer": given.astype(np.int64),
        "suggested": suggested.astype(np.int64),
        "p_answer": probabilities[places, given].astype(np.float32),
        "p_suggested": probabilities[places, suggested].astype(np.float32),
        "doubt": doubt,
        "chance": doubted.chance.astype(np.float32),
    }


def _share(correct: int, answers: int) -> dict[str, float]:
    """A share with its 95 % interval, as snapshots keep it; `answers` > 0."""
    share = wilson(correct, answers)
    assert share is not None
    return {name: round(getattr(share, name), 4) for name in ("estimate", "low", "high")}


def _remember(
    kept: OrderedDict[tuple[Any, ...], Any], key: tuple[Any, ...], value: Any, most: int = REMEMBERED
) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
