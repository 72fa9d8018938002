"""Comparing: whether another encoder tells the answered images apart better; then the project goes on with that one."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from labeling import encoders
from labeling.contents import content
from labeling.encoders import evidence
from labeling.models import Answer, Item, Job, Project

MOST = 300  # answered items compared on: some ten seconds for the slowest encoder


def run(job: Job, progress: Any = None) -> None:
    """Compare where it is due, and change the encoder where another is clearly better; embedding comes next.

    It works on `job.project`, so that the embedding in the same job sees what was chosen.
    """
    job.project.refresh_from_db()
    if due(job.project):
        compare(project=job.project)


def due(project: Project) -> bool:
    """Whether nobody fixed the encoder and 20 items are answered, or twice as many as at the last comparison."""
    if not _open_to_change(project):
        return False
    answered = _answers(project).values("item").distinct().count()
    return answered >= max(evidence.FEWEST, 2 * int(project.encoder_evidence.get("answers", 0)))


def compare(*, project: Project) -> str:
    """Each candidate on the same answered items; returns the encoder that the project goes on with.

    What was found is kept in `encoder_evidence`, whatever it says.
    """
    items, columns, answers = _answered(project)
    if len(items) < evidence.FEWEST:
        return project.encoder
    contents = [content(item) for item in items]
    right = {
        name: evidence.right_without(encoders.get(name).encode(contents), columns) for name in _candidates(project)
    }
    chosen = evidence.winner(right, project.encoder)
    found = {
        "answers": answers,
        "compared": len(items),
        "right": {name: int(of.sum()) for name, of in right.items()},
        "before": project.encoder,
        "chosen": chosen,
        "at": timezone.now().isoformat(),
    }
    # An admin who named an encoder in the meantime was first.
    untouched = Project.objects.filter(pk=project.pk, encoder=project.encoder, encoder_fixed=False)
    if untouched.update(encoder=chosen, encoder_evidence=found):
        project.refresh_from_db(fields=["encoder", "encoder_evidence"])
    return project.encoder


def _open_to_change(project: Project) -> bool:
    return (
        project.modality == Project.Modality.IMAGE
        and not project.encoder_fixed
        and project.encoder in evidence.CANDIDATES
        and settings.ANNOTATOR_IMAGE_ENCODER == "auto"
    )


def _candidates(project: Project) -> list[str]:
    """The project's own, and those that can be had on this machine."""
    found = []
    for name in evidence.CANDIDATES:
        try:
            encoders.get(name)
        except encoders.EncoderUnavailable:
            if name == project.encoder:
                raise
            continue
        found.append(name)
    return found


def _answers(project: Project) -> Any:
    return Answer.objects.filter(project=project, withdrawn_at=None, label__isnull=False)


def _answered(project: Project) -> tuple[list[Item], np.ndarray, int]:
    """At most MOST answered items, drawn evenly; the numbers of their newest answers' labels; how many there are."""
    label_of = dict(_answers(project).order_by("pk").values_list("item_id", "label_id"))
    ids = np.array(sorted(label_of))
    some = np.sort(np.random.default_rng(0).permutation(ids)[:MOST]).tolist()
    items = list(Item.objects.filter(pk__in=some).order_by("pk").only("text", "image"))
    _labels, columns = np.unique([label_of[item.pk] for item in items], return_inverse=True)
    return items, columns, len(ids)
