"""Improving: what all finished projects teach becomes the next checkpoint, if it is better than the one in use."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling import checkpoints, dispatch, naming, pool
from labeling.errors import Conflict
from labeling.models import LABELLING, Answer, Checkpoint, Job, Project, User
from metalearning.sources import FEWEST, TaskSource

if TYPE_CHECKING:
    from metalearning import trial

MOST = 20_000  # answered items of a project that are learned from, the newest
SETTINGS = ("tasks", "validation_tasks", "epochs", "members", "rate", "seed")  # what may be asked of a training


def begin(*, project: Project, by: User | None, asked: dict[str, Any] | None = None) -> Job:
    """Begin to improve; the job belongs to the project from which it was asked, its result to all.

    `asked`: any of SETTINGS and "draws", for a quicker or a longer trial. Raises Conflict while another trial waits or
    runs, and where fewer than two projects contribute.
    """
    if Project.objects.filter(contributes=True).count() < FEWEST:
        message = _(
            "At least %(count)d projects must contribute, so that one can be kept out while others are learned from."
        )
        raise Conflict(message % {"count": FEWEST})
    if Job.objects.filter(kind=Job.Kind.IMPROVE, state__in=[Job.State.QUEUED, Job.State.RUNNING]).exists():
        raise Conflict(_("The models are being improved already."))
    try:
        with transaction.atomic():
            return dispatch.start(project, Job.Kind.IMPROVE, asked or {}, by=by)
    except IntegrityError:
        raise Conflict(_("The models are being improved already.")) from None


def nightly() -> Job | None:
    """Begin to improve where a contributing project has changed since the last trial; else None."""
    contributing = Project.objects.filter(contributes=True)
    answers = {project.pk: _answers(project).count() for project in contributing}
    last = Checkpoint.objects.filter(origin=Checkpoint.Origin.SELF_TRAINED).first()
    known = {part["project"]: part.get("answers") for part in last.sources} if last else {}
    if len(answers) < FEWEST or answers == known:
        return None
    newest = max(contributing, key=lambda project: (answers[project.pk], project.pk))
    try:
        return begin(project=newest, by=None)
    except Conflict:
        return None


def run(job: Job, progress: Any) -> Checkpoint:
    """Train on all contributing projects, judge by keeping out one after the other, and use it only if it is better.

    What is done so far lies in a folder of the job's own, so that a second run goes on where the first was killed.
    """
    from metalearning import checkpoint as files  # here: a web process that only asks for a trial never loads torch
    from metalearning import trial

    projects = list(Project.objects.filter(contributes=True).order_by("pk"))
    sources = {project.pk: source for project in projects if (source := read(project)) is not None}
    current = checkpoints.in_use()
    begun = checkpoints.local_file(current) if checkpoints.of_this_recipe(current) else None
    folder = Path(settings.ANNOTATOR_CACHE_DIR) / "improving" / str(job.pk)
    try:
        verdict = trial.run(
            list(sources.values()),
            files.load(begun) if begun else None,
            _plan(job.arguments),
            folder,
            name=f"trained-{job.pk}",
            progress=lambda done, total: progress(done, total, "projects"),
        )
    except trial.TooFewProjects:
        message = _("Fewer than %(count)d contributing projects have enough answers: two labels with some twenty each.")
        raise Conflict(message % {"count": FEWEST}) from None
    made = _keep(job, verdict, current, folder, {pk: _answers(Project(pk=pk)).count() for pk in sources})
    shutil.rmtree(folder, ignore_errors=True)
    return made


def read(project: Project) -> TaskSource | None:
    """What the project's answers teach: vectors, labels and what these are called. Never its texts or images.

    None without vectors or answers. An item that several people answered counts with the label it stands at.
    """
    dimension = pool.stored_dimension(project.pk, project.encoder) if project.encoder else None
    labels = list(project.labels.order_by("position"))
    if dimension is None or not labels:
        return None
    vectors = pool.vectors(project.pk, project.encoder, dimension, project.tally.items)
    column = {label.pk: place for place, label in enumerate(labels)}
    newest = _answers(project).order_by("-item").values_list("item__row", "item__label_id").distinct()[:MOST]
    told = [(row, column[label]) for row, label in newest if label in column and vectors.present[row]]
    if not told:
        return None
    rows, columns = (np.array(part, dtype=np.intp) for part in zip(*sorted(told), strict=True))
    return TaskSource(
        name=f"project {project.pk}",
        x=np.asarray(vectors.values[rows], dtype=np.float32),
        label_ids=columns,
        label_names=tuple(label.name for label in labels),
        names=naming.vectors(project, labels),
        encoder=project.encoder,
    )


def _answers(project: Project) -> Any:
    """What people or the file said; never what the model suggested, or it would learn from itself."""
    return Answer.objects.filter(
        project=project, withdrawn_at=None, purpose__in=LABELLING, item__status__in=["answered", "imported"]
    )


def _plan(asked: dict[str, Any]) -> trial.Plan:
    from metalearning import labelling, trial

    plan = trial.Plan()
    training = replace(plan.training, **{name: asked[name] for name in SETTINGS if name in asked})
    if "items" in asked:
        low, high = asked["items"]
        training = replace(training, sampling=labelling.Sampling(items=(low, high)))
    judged = {name: tuple(asked[name]) for name in ("shots", "by_margin") if name in asked}
    return replace(plan, training=training, draws=asked.get("draws", plan.draws), **judged)


def _keep(
    job: Job, verdict: trial.Verdict, current: Checkpoint | None, folder: Path, answers: dict[int, int]
) -> Checkpoint:
    """The new checkpoint with its evidence, in use if it is better and nobody chose another one meanwhile."""
    now = timezone.now()
    ids = {f"project {pk}": pk for pk in answers}
    card = checkpoints.from_card(verdict.checkpoint.card)
    evidence = {
        "against": current.pk if current else None,
        "difference": {name: round(getattr(verdict.gain, name), 5) for name in ("mean", "low", "high")},
        "promoted": verdict.better,
        "projects": [
            {
                "project": ids[one.name],
                "draws": len(one.gains),
                "before": round(float(one.before.mean()), 4),
                "after": round(float(one.after.mean()), 4),
                "gain": round(float(one.gains.mean()), 4),
            }
            for one in verdict.kept_out
        ],
    }
    with transaction.atomic():
        unchanged = checkpoints.in_use() == current
        made = checkpoints.keep(
            (folder / "all" / "checkpoint.safetensors").read_bytes(),
            name=_("Trained on %(date)s") % {"date": now.date().isoformat()},
            origin=Checkpoint.Origin.SELF_TRAINED,
            state=Checkpoint.State.READY if verdict.better else Checkpoint.State.REFUSED,
            parent=current,
            evidence=evidence,
            created_at=now,
            chosen_at=now if verdict.better and unchanged else None,
            **card
            | {
                "sources": [
                    {"project": ids[part["name"]], "answers": answers[ids[part["name"]]]}
                    | {name: part[name] for name in ("items", "labels")}
                    for part in _whole(verdict, answers)
                ],
                "curves": _curves(folder / "all" / "curves.jsonl"),
            },
        )
        Job.objects.filter(pk=job.pk).update(result={"checkpoint": made.pk, "promoted": verdict.better})
    return made


def _whole(verdict: trial.Verdict, answers: dict[int, int]) -> list[dict[str, Any]]:
    """The sources that were trained on, with the items of both their parts."""
    parts: dict[str, dict[str, Any]] = {}
    for source in (*verdict.checkpoint.card["sources"], *verdict.checkpoint.card["validation"]):
        known = parts.setdefault(source["name"], {"name": source["name"], "items": 0, "labels": source["labels"]})
        known["items"] += source["items"]
    return list(parts.values())


def _curves(path: Path) -> dict[str, list[float]]:
    """The mean over the networks that are still being trained in each epoch."""
    epochs: dict[int, list[dict[str, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        epochs.setdefault(int(told["epoch"]), []).append(told)
    return {
        "steps": sorted(epochs),
        **{
            name: [round(float(np.mean([told[name] for told in epochs[epoch]])), 5) for epoch in sorted(epochs)]
            for name in ("training", "validation")
        },
    }
