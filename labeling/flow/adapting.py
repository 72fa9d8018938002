"""Adapting: from the answers so far to a snapshot, what it says of every item, and whom it wants asked next."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling import (
    checkpoints,
    evaluation,
    inherited,
    learner,
    lessons,
    live,
    naming,
    outlook,
    pool,
    rulebook,
    tunings,
    votes,
)
from labeling.errors import Conflict
from labeling.models import Checkpoint, Item, Job, Label, Project, Rule, Snapshot, Status

KEPT = 10  # snapshots whose arrays are kept, beside those that somebody accepted from
FEWEST_COMPARED = 20  # answered items below which a comparison says nothing


def run(job: Job, progress: Any = None) -> Snapshot | None:
    """Adapt the project's model to its answers; None where there is nothing to learn on yet."""
    return adapt(project=Project.objects.get(pk=job.project_id))


def adapt(
    *, project: Project, strategy: str = "auto", learn_by: str = "recipe", use_names: bool = True, seed: int = 0
) -> Snapshot | None:
    """One adaptation: learn, predict, rank, and store the snapshot. None while no item has a vector or no label exists.

    `strategy`, `learn_by` and `use_names` are for comparisons; `seed` decides what is left to chance.
    """
    began = time.perf_counter()
    labels = list(project.labels.filter(archived_at=None).order_by("position"))
    names = naming.vectors(project, labels) if use_names else None
    tuning = tunings.newest(project.pk, project.encoder) if project.tunes and learn_by == "recipe" else None
    lesson = _lesson(project, labels, names, tuning)
    if lesson is None:
        return None
    lesson = replace(lesson, strategy=strategy, learner=learn_by, seed=seed, key=(*lesson.key, learn_by))
    rules = rulebook.active(project)
    lesson = replace(lesson, rules=_voted(project, labels, rules, len(lesson.x)))
    learned = _tuned(learner.learn(lesson), tuning)
    snapshot = _store(project, labels, lesson, _signed(project, rules, lesson, learned), began)
    _tell(snapshot)
    return snapshot


def compare(job: Job, progress: Any) -> dict[str, Any]:
    """Compare two checkpoints on the project's answers so far; the result is the job's.

    `job.arguments`: {"first", "second"}: ids of checkpoints. Raises Conflict where there is too little to compare on.
    """
    project = Project.objects.get(pk=job.project_id)
    labels = list(project.labels.filter(archived_at=None).order_by("position"))
    lesson = _lesson(project, labels, naming.vectors(project, labels), None)
    if lesson is None or len(np.unique(lesson.rows)) < FEWEST_COMPARED:
        message = _("Comparing needs at least %(count)d answered items that the model can read.")
        raise Conflict(message % {"count": FEWEST_COMPARED})
    found = Checkpoint.objects.in_bulk([job.arguments["first"], job.arguments["second"]])
    first, second = (checkpoints.local_file(found[job.arguments[name]]) for name in ("first", "second"))
    lesson = replace(lesson, key=(*lesson.key, "recipe"))
    told = learner.compare(lesson, first, second, lambda number: progress(number, 2, "models"))
    Job.objects.filter(pk=job.pk).update(result=told)
    return told


def _lesson(
    project: Project, labels: list[Label], names: np.ndarray | None, tuning: tunings.Tuning | None
) -> learner.Lesson | None:
    dimension = pool.stored_dimension(project.pk, project.encoder) if project.encoder else None
    if dimension is None or not labels:
        return None
    vectors = pool.vectors(project.pk, project.encoder, dimension, project.tally.items)
    known = lessons.known_prefix(project, vectors.present)
    if known == 0:
        return None
    rows, columns = lessons.answers(project, labels, known)
    return learner.Lesson(
        key=(project.pk, project.encoder),
        x=vectors.values[:known],
        names=names,
        rows=rows,
        columns=columns,
        label_count=len(labels),
        open_rows=_open_rows(project, known),
        at_random=np.isin(rows, lessons.drawn_at_random(project)),
        mix=evaluation.mix(project),
        checkpoint=checkpoints.local_file(checkpoints.fitting(project)),
        earlier=inherited.of(project, labels, dimension),
        tuned=None if tuning is None else _seen_by(tuning, project, labels, names, known),
        recall=partial(pool.read_graph, project.pk, project.encoder, known),
        keep=partial(pool.write_graph, project.pk, project.encoder, known),
    )


def _voted(project: Project, labels: list[Label], rules: list[Rule], known: int) -> learner.Rules | None:
    """What the rules say of the first `known` items, silent on what they have not voted on; None without rules."""
    if not rules:
        return None
    signed = rulebook.signatures(project, rules)
    found = votes.read(project.pk, signed, known)
    spoken = [np.flatnonzero(found[rule.pk]) if rule.pk in found else np.zeros(0, np.intp) for rule in rules]
    column = {label.pk: place for place, label in enumerate(labels)}
    return learner.Rules(
        fired=learner.marks(spoken, known),
        columns=np.array([column[rule.label_id] for rule in rules]),
        key=tuple((rule.label_id, signed[rule.pk], len(rows)) for rule, rows in zip(rules, spoken, strict=True)),
    )


def _signed(project: Project, rules: list[Rule], lesson: learner.Lesson, learned: learner.Learned) -> learner.Learned:
    """What was learned, its facts saying which rules took part, as they were then."""
    told = learned.facts.get("rules")
    if told is None or lesson.rules is None:
        return learned
    signed = rulebook.signatures(project, rules)
    counts = np.asarray(lesson.rules.fired.sum(axis=0)).ravel()
    named = [
        {"id": rule.pk, "label": rule.label_id, "signature": signed[rule.pk], "votes": int(counts[place])} | told[place]
        for place, rule in enumerate(rules)
    ]
    return replace(learned, facts=learned.facts | {"rules": named})


def _tuned(learned: learner.Learned, tuning: tunings.Tuning | None) -> learner.Learned:
    """What was learned, its facts saying which tuning of the encoder took part."""
    if tuning is None:
        return learned
    return replace(learned, facts=learned.facts | {"tuning": tuning.number, "tuning_answers": tuning.answers})


def _seen_by(
    tuning: tunings.Tuning, project: Project, labels: list[Label], names: np.ndarray | None, known: int
) -> learner.Tuned:
    """The items as the tuned encoders see them, for the labels as they are now.

    A label that came later, or is called otherwise now, is known by its published vector.
    """
    column = {label_id: place for place, label_id in enumerate(tuning.wordings)}
    published = np.zeros((len(labels), tuning.names.shape[2]), dtype=np.float32) if names is None else names
    seen = np.repeat(published[None], len(tuning.names), axis=0)
    for place, label in enumerate(labels):
        if tuning.wordings.get(label.pk) == naming.wording(label):
            seen[:, place] = tuning.names[:, column[label.pk]]
    return learner.Tuned(
        number=tuning.number,
        x=tuning.vectors[:, :known],
        names=seen,
        rows=tuning.learned_rows,
        part=tuning.part,
        recall=partial(tunings.graphs, project.pk, tuning.number),
    )


def _open_rows(project: Project, known: int) -> np.ndarray:
    rows = Item.objects.filter(project=project, status=Status.OPEN, row__lt=known).order_by("row")
    return np.fromiter(rows.values_list("row", flat=True).iterator(chunk_size=20_000), dtype=np.intp)


def _store(
    project: Project, labels: list[Label], lesson: learner.Lesson, learned: learner.Learned, began: float
) -> Snapshot:
    """Arrays first, then the row that makes them known: a snapshot that can be seen is whole."""
    ids = np.array([label.pk for label in labels] + [-1])  # column -1 is "nothing claimed"
    last = Snapshot.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
    number = last + 1
    pool.write_predictions(
        project.pk,
        number,
        pool.Predictions(
            label_id=ids[learned.column],
            confidence=learned.confidence.astype(np.float16),
            runner_up=ids[learned.runner_up],
            margin=learned.margin.astype(np.float16),
        ),
    )
    pool.write_ranking(project.pk, number, [_asked(ask, ids) for ask in learned.ranking])
    if learned.held_out is not None:
        by_id = {name: ids[learned.held_out[name]] for name in ("answer", "suggested")}
        pool.write_held_out(project.pk, number, learned.held_out | by_id)
    estimates = _by_id(learned.estimates, ids)
    if expected := outlook.ahead(project, len(lesson.rows), estimates):
        estimates["ahead"] = expected
    used = checkpoints.fitting(project) if learned.facts["learner"] == "recipe" else None
    with transaction.atomic():
        snapshot = Snapshot.objects.create(
            project=project,
            number=number,
            checkpoint=used,
            answers=len(lesson.rows),
            items=len(lesson.x),
            labels=[label.pk for label in labels],
            facts=learned.facts | {"encoder": project.encoder, "checkpoint": str(used) if used else "fixed weights"},
            estimates=estimates,
            seconds=time.perf_counter() - began,
            created_at=timezone.now(),
        )
    accepted = project.batches.filter(undone_at=None).values_list("snapshot__number", flat=True)
    pinned = Snapshot.objects.filter(project=project, pk__in=[project.pinned_id or 0]).values_list("number", flat=True)
    pool.delete_old_snapshots(project.pk, KEPT, besides={*accepted, *pinned})
    return snapshot


def _asked(ask: dict[str, Any], ids: np.ndarray) -> dict[str, Any]:
    """A ranked item with label ids in place of columns, the way the queue keeps it."""
    label_ids = [int(ids[column]) for column in ask["columns"]]
    return {
        "row": ask["row"],
        "code": ask["code"],
        "labels": label_ids[:2],
        "p": [round(p, 4) for p in ask["p"][:2]],
        "top": [[label_id, round(p, 4)] for label_id, p in zip(label_ids, ask["p"], strict=True)],
    }


def _by_id(estimates: dict[str, Any], ids: np.ndarray) -> dict[str, Any]:
    """The estimates with label ids in place of columns."""
    if not estimates:
        return {}
    by_label = {str(int(ids[int(column)])): facts for column, facts in estimates.get("labels", {}).items()}
    confusions = [
        {**pair, "answer": int(ids[pair["answer"]]), "suggested": int(ids[pair["suggested"]])}
        for pair in estimates.get("confusions", [])
    ]
    return estimates | {"labels": by_label, "confusions": confusions}


def _tell(snapshot: Snapshot) -> None:
    accuracy = snapshot.estimates.get("accuracy")
    news = {"number": snapshot.number, "answers": snapshot.answers, "accuracy": accuracy}
    live.publish(snapshot.project_id, "snapshot", news)
