"""Lessons: the answers that a project's model learns from."""

from __future__ import annotations

from typing import Any

import numpy as np

from labeling import encoders, tested, weighing
from labeling.models import LABELLING, Answer, Audit, Certificate, Label, Origin, Project

LARGEST = 5_000  # answers learned from: people's before imported ones, evenly over the labels


def answers(project: Project, labels: list[Label], known: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and label columns of the current answers to items that have vectors; people's before imported ones."""
    column = {label.pk: place for place, label in enumerate(labels)}
    current = Answer.objects.filter(
        project=project, withdrawn_at=None, item__row__lt=known, label__in=labels, purpose__in=LABELLING
    )
    audited = under_audit(project)
    people = [
        (row, label_id)
        for row, label_id in weighing.labels(project)
        if row < known and label_id in column and row not in audited
    ]
    known_already = audited | {row for row, _label in people}
    imported = [
        (row, label_id)
        for row, label_id in _imported(current, LARGEST - len(people), labels)
        if row not in known_already
    ]
    given = people + imported
    rows = np.array([row for row, _label in given], dtype=np.intp)
    return rows, np.array([column[label_id] for _row, label_id in given], dtype=np.intp)


def drawn_at_random(project: Project) -> list[int]:
    """The rows of items that people were asked about by chance: the answers that stand for what was open."""
    asked = Answer.objects.filter(project=project, withdrawn_at=None, origin=Origin.PERSON, reason="random")
    return list(asked.values_list("item__row", flat=True))


def under_audit(project: Project) -> set[int]:
    """The rows whose labels are being tested: what is said of them is not learned from before that is decided.

    Of a claim all that it froze, as any of it may yet be drawn; of a sample what it drew.
    """
    running = Audit.objects.filter(certificate__project=project, certificate__state=Certificate.State.RUNNING)
    return {*running.values_list("item__row", flat=True), *tested.rows(project.pk).tolist()}


def _imported(current: Any, most: int, labels: list[Label]) -> list[tuple[int, int]]:
    """Imported answers, all of them where they are few, else as many of each label."""
    imported = current.filter(origin=Origin.IMPORTED).order_by("pk").values_list("item__row", "label_id")
    found = list(imported[: max(most, 0) + 1])
    if len(found) <= most:
        return found
    each = max(most // len(labels), 1)
    return [pair for label in labels for pair in imported.filter(label=label)[:each]]


def known_prefix(project: Project, present: np.ndarray) -> int:
    """How many rows can be learned on. Items are embedded in the order of their rows, so what is there is a prefix.

    Vectors that the user brought may have gaps for good: there the item is a row of zeros.
    """
    if present.all() or (project.encoder == encoders.IMPORTED and present.any()):
        return len(present)
    return int(np.argmin(present))


def one_each(rows: np.ndarray, columns: np.ndarray, label_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each answered row once, ascending, with the label that most gave it; the first of those that as many gave."""
    once, place = np.unique(rows, return_inverse=True)
    votes = np.zeros((len(once), label_count), dtype=np.intp)
    np.add.at(votes, (place, columns), 1)
    return once, votes.argmax(axis=1) if len(once) else once
