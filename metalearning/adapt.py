"""Adapt: from a project's label names and answers so far to a model of it, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from metalearning import calibration, crossval
from metalearning import gate as gates
from metalearning.experts import Answers, Experts, Head, fit_experts, silent_labels, weigh
from metalearning.gate import FEATURES, Features, Gate, Trust, features, margins
from metalearning.graph import votes
from metalearning.heads import centred, name_vectors, names_to_text
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax
from metalearning.views import Views
from metalearning.voices import Voice, resumed

STARVED = 10.0
"""Answers per label from which a model without names is hardly worse for missing a quarter of them."""


@dataclass(frozen=True)
class Config:
    """The recipe's constants. The defaults were found on development data; a project need not touch them."""

    strength: float = 10.0
    """C of both regressions: how far answers may pull a head from its prior."""
    iterations: int = 40
    fold_iterations: int = 12
    name_share: float = 0.25
    smoothing: float = 2.0
    """Weight of the neighbours until there are enough answers to choose it."""
    smoothing_choices: tuple[tuple[float, float], ...] = ((0.0, -2.0), (1.0, -0.5), (2.0, 0.0), (4.0, -0.5))
    """Weights to choose from by cross-validation, each with its log-prior."""
    leaning_choices: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.5, 0.0), (1.0, -0.25))
    """How far the proximal head may take over the others' trust, in [0, 1], each with its log-prior."""
    choose_from: int = 20
    """Answers from which both are chosen."""
    choose_again: int = 50
    """Further answers after which they are chosen again."""
    folds: int = 4
    graph_cells: int = 20_000_000
    """items * labels up to which the graph is used; beyond it predictions are made in blocks, without neighbours."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A project's model: everything that `predict` needs beside the pool. `metalearning.snapshot` stores it."""

    label_count: int
    answers: Answers
    names: Float[np.ndarray, "labels dim"]
    """Centred names after `names_to_text`; zero rows for labels without a name."""
    experts: Experts
    head: Head
    features: Features
    trust: Trust
    """As the head was weighed: the fixed weights, leaning on the proximal head by `learned` and by `leaning`."""
    leaning: float
    learned: float
    """The share that the trained gate gave the proximal head; 0 without one, or where held-out answers refute it."""
    smoothing: float
    smoothing_chosen_at: int
    """Answers when `smoothing`, `leaning` and the voices' weights were chosen; 0 if they are still the defaults."""
    calibration: calibration.Calibration
    held_out: crossval.HeldOut | None
    """What models that had not seen them said of the answers; None with too few answers."""
    evidence: calibration.Evidence | None
    """How far `held_out` stands for the pool; None with it."""
    config: Config = field(default_factory=Config)
    voices: tuple[Voice, ...] = ()
    """What else speaks, each with the weight it is given."""

    @property
    def informed(self) -> bool:
        """Whether there is anything to predict from: a label name, an answer or a voice."""
        return bool(self.label_count and (len(self.answers) or self.names.any() or self.voices))

    @property
    def clamped(self) -> tuple[Rows, Float[np.ndarray, "rows labels"]]:
        """The answered rows, each once, with the share of the votes for each label."""
        return votes(self.answers.rows, self.answers.label_ids, self.answers.weights, self.label_count)


def adapt(
    pool: Pool,
    names: Float[np.ndarray, "labels dim"] | None,
    rows: Rows,
    label_ids: Rows,
    label_count: int,
    *,
    generator: np.random.Generator,
    weights: Float[np.ndarray, " rows"] | None = None,
    gate: Gate | None = None,
    config: Config | None = None,
    warm: Adaptation | None = None,
    voices: Sequence[Voice] = (),
    views: Views | None = None,
    hurried: bool = False,
) -> Adaptation:
    """The project's model after the answers `label_ids` (in [0, label_count)) to the items at `rows`.

    `names` are the embedded label names or descriptions, a zero row for a label without one, None where items and names
    have no common encoder (images). Without answers the names alone predict; without either nothing is claimed.
    `weights` are the answers' (1 each if None). `warm` is the previous adaptation: it saves iterations, and a change of
    the labels or the items since then only makes it save fewer. `generator` deals the answers into folds. `voices`
    speak beside the experts; held-out answers choose how loud. `views` are needed where the pool's encoder has learned
    from answers: held-out ones are then judged in the view that has missed them. `hurried` holds nothing out: the
    temperature and all choices stay those of `warm`, or the defaults, in a third of the time.

    Raises `ValueError` for a label id or row outside its range, and for a voice that does not speak of each answer.
    """
    config = config or Config()
    gate = gate or Gate()
    answers = _checked(pool, rows, label_ids, weights, label_count)
    _check_voices(voices, len(answers), label_count)
    vectors = _centred_names(pool, names, label_count, config)
    x = pool.vectors(answers.rows)
    judged = _judge(pool, answers, vectors) if views is None else _judge_published(views, answers, config)
    fixed, learned = gates.fixed(judged), gate.share(judged)
    if hurried and warm is not None and warm.held_out is not None and not warm.learned:
        learned = 0.0  # refuted, and only a round that looks at held-out answers may say otherwise
    leaning = 0.0 if warm is None else warm.leaning
    trust = gates.leaning(fixed, gates.together(leaning, learned))
    experts = fit_experts(
        x,
        answers,
        vectors,
        pool.mean,
        iterations=config.iterations,
        strength=config.strength,
        logistic_too=bool(trust[2]),
        warm=_grown(warm, label_count, pool),
        crowd=pool.crowd,
    )
    adaptation = Adaptation(
        label_count=label_count,
        answers=answers,
        names=vectors,
        experts=experts,
        head=weigh(experts, trust, silent_labels(answers, vectors)),
        features=judged,
        trust=trust,
        leaning=leaning,
        learned=learned,
        smoothing=config.smoothing if warm is None else warm.smoothing,
        smoothing_chosen_at=_chosen_at(warm, voices, len(answers)),
        calibration=calibration.Calibration(
            calibration.prior_temperature(len(answers), label_count, has_names=bool(vectors.any()))
        ),
        held_out=None,
        evidence=None,
        config=config,
        voices=resumed(voices, () if warm is None else warm.voices),
    )
    if hurried:
        return adaptation if warm is None else replace(adaptation, calibration=warm.calibration)
    return _learn_from_held_out(pool, adaptation, fixed, generator, views)


def choosing_due(adaptation: Adaptation, count: int) -> bool:
    """Whether weights are to be chosen after `count` answers: for the first time, or since there are enough further."""
    chosen_at = adaptation.smoothing_chosen_at
    return not chosen_at or count >= chosen_at + adaptation.config.choose_again


def _learn_from_held_out(
    pool: Pool, adaptation: Adaptation, fixed: Trust, generator: np.random.Generator, views: Views | None
) -> Adaptation:
    """Choose weights and calibrate, on answers that the judged models had not seen."""
    config, count = adaptation.config, len(adaptation.answers)
    if len(np.unique(adaptation.answers.rows)) < config.choose_from or adaptation.label_count < 2:
        return adaptation
    due = choosing_due(adaptation, count)
    usable = pool.graph is not None and len(pool) * adaptation.label_count <= config.graph_cells
    smoothing = adaptation.smoothing if usable else 0.0
    best = crossval.held_out(
        _seen(pool, adaptation, views, with_graph=usable),
        adaptation.answers,
        crossval.Way(fixed, adaptation.voices, iterations=config.fold_iterations, strength=config.strength),
        smoothing,
        choices=(config.smoothing_choices if usable else ((0.0, 0.0),)) if due else ((smoothing, 0.0),),
        leanings=config.leaning_choices if due else ((adaptation.leaning, 0.0),),
        learned=adaptation.learned,
        choose_voices=due,
        deal=partial(crossval.dealt, folds=config.folds) if views is None else views.deal,
        generator=generator,
    )
    evidence = _evidence(
        best, int(silent_labels(adaptation.answers, adaptation.names).sum()), has_names=bool(adaptation.names.any())
    )
    prior = adaptation.calibration.temperature * calibration.loudness(best.smoothing)
    trust = gates.leaning(fixed, gates.together(best.leaning, best.learned))
    return replace(
        adaptation,
        head=weigh(adaptation.experts, trust, silent_labels(adaptation.answers, adaptation.names)),
        trust=trust,
        leaning=best.leaning,
        learned=best.learned,
        smoothing=best.smoothing if usable else adaptation.smoothing,
        smoothing_chosen_at=count if due else adaptation.smoothing_chosen_at,
        voices=best.voices,
        calibration=calibration.fit(best.logits, best.answers.label_ids, evidence, prior),
        held_out=best,
        evidence=evidence,
    )


def _seen(pool: Pool, adaptation: Adaptation, views: Views | None, *, with_graph: bool) -> list[crossval.Seen]:
    """What the models of the folds see: all the same, or each the view that has missed its answers."""
    if views is None:
        seen = [crossval.Seen(pool, adaptation.names, pool.mean)]
    else:
        count, config = adaptation.label_count, adaptation.config
        seen = [
            crossval.Seen(one.pool, _centred_names(one.pool, one.names, count, config), one.pool.mean)
            for one in views.without
        ]
    return seen if with_graph else [replace(one, pool=Pool(one.pool.x)) for one in seen]


def _evidence(held_out: crossval.HeldOut, silent: int, *, has_names: bool) -> calibration.Evidence:
    """Held-out answers weighed to stand for the pool.

    A label's only answer can't be foreseen once it is held out. It stands for the pool's items of labels that are still
    `silent`, and where hardly any label is, it would only make the model, which does know it, look worse. Without names
    every answer held out is missed as badly while a label has but `STARVED` of them, so they count for less.
    """
    weights = np.array(held_out.answers.weights)
    lonely = len(np.unique(held_out.answers.label_ids[~held_out.foreseeable]))
    weights[~held_out.foreseeable] *= min(1.0, silent / max(lonely, 1))
    evidence = calibration.represent(softmax(held_out.logits).max(axis=1), held_out.background, weights)
    return evidence if has_names else evidence.discounted((len(weights) / (STARVED * held_out.logits.shape[1])) ** 2)


def _checked(
    pool: Pool, rows: Rows, label_ids: Rows, weights: Float[np.ndarray, " rows"] | None, label_count: int
) -> Answers:
    rows, label_ids = np.asarray(rows, dtype=np.intp), np.asarray(label_ids, dtype=np.intp)
    if len(rows) != len(label_ids):
        raise ValueError(f"There are {len(rows)} rows but {len(label_ids)} label ids.")
    for given, limit, what in ((rows, len(pool), "row"), (label_ids, label_count, "label id")):
        if len(given) and not (given.min() >= 0 and given.max() < limit):
            raise ValueError(f"A {what} lies outside [0, {limit}): {given.min()} to {given.max()} were given.")
    counted = np.ones(len(rows), dtype=np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
    return Answers(rows, label_ids, counted)


def _chosen_at(warm: Adaptation | None, voices: Sequence[Voice], answers: int) -> int:
    """When weights were last chosen; 0 where a voice is new, so that it is weighed at once."""
    if warm is None or {voice.name for voice in voices} - {voice.name for voice in warm.voices}:
        return 0
    return min(warm.smoothing_chosen_at, answers)


def _check_voices(voices: Sequence[Voice], answers: int, label_count: int) -> None:
    for voice in voices:
        if voice.unseen.shape != (answers, label_count):
            raise ValueError(
                f"The voice {voice.name!r} speaks of {voice.unseen.shape} answers and labels "
                f"instead of {(answers, label_count)}."
            )


def _centred_names(
    pool: Pool, names: Float[np.ndarray, "labels dim"] | None, label_count: int, config: Config
) -> Float[np.ndarray, "labels dim"]:
    if names is None:
        return np.zeros((label_count, pool.x.shape[1]), dtype=np.float32)
    if len(names) != label_count:
        raise ValueError(f"There are {len(names)} names for {label_count} labels; give a zero row where there is none.")
    vectors = name_vectors(np.asarray(names, dtype=np.float32), pool.mean)
    return names_to_text(pool.sample_centred, vectors, share=config.name_share)


def _judge_published(views: Views, answers: Answers, config: Config) -> Features:
    """The features before the encoder learned, which a gate knows: tuned vectors know the answers beforehand."""
    pool = views.published.pool
    return _judge(pool, answers, _centred_names(pool, views.published.names, len(views.published.names), config))


def _judge(pool: Pool, answers: Answers, names: Float[np.ndarray, "labels dim"]) -> Features:
    if not len(names):
        return np.zeros(len(FEATURES), dtype=np.float32)
    found = margins(pool.sample_centred @ names.T) if names.any() else np.zeros(len(pool.sample_centred), np.float32)
    z = centred(pool.vectors(answers.rows), pool.mean)
    return features(z, answers.label_ids, answers.weights, names, found)


def _grown(warm: Adaptation | None, label_count: int, pool: Pool) -> Experts | None:
    """The previous heads with a zero row for each label added since; None if they fit this pool no longer."""
    if warm is None or warm.label_count > label_count or warm.names.shape[1] != pool.x.shape[1]:
        return None
    if warm.label_count == label_count:
        return warm.experts
    added = ((0, label_count - warm.label_count), (0, 0))
    heads = (warm.experts.names, warm.experts.prototypes, warm.experts.logistic, warm.experts.proximal)
    return Experts(warm.experts.mean, *(np.pad(head, added) for head in heads))
