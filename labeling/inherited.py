"""Inherited: what contributing projects were told of labels that this project has too."""

from __future__ import annotations

import numpy as np

from labeling import learner, pool
from labeling.encoders.names import words
from labeling.models import Item, Label, Project, Status
from metalearning.heads import centred
from metalearning.pool import Pool

EACH = 50  # items of a label that are learned from, the newest: more change little
MOST = 5_000  # items looked at in one project


def of(project: Project, labels: list[Label], dimension: int) -> learner.Earlier | None:
    """Answered items of other projects with the same encoder, by the labels they share with this one; None without any.

    Names are the same whatever their case, spaces and underscores. Only projects whose admins agreed give, and only
    one whose admin has not declined takes. What the model had suggested and somebody accepted is not passed on.
    """
    if not project.reuses or not project.encoder:
        return None
    column = {_same(label.name): place for place, label in enumerate(labels)}
    theirs = Label.objects.filter(project__contributes=True, project__encoder=project.encoder, archived_at=None)
    shared: dict[int, dict[int, int]] = {}
    for pk, name, other in theirs.exclude(project=project).values_list("pk", "name", "project"):
        if _same(name) in column:
            shared.setdefault(other, {})[pk] = column[_same(name)]
    if not shared:
        return None
    found = Project.objects.select_related("tally").in_bulk(shared)
    parts = [part for pk in sorted(found) if (part := _read(found[pk], shared[pk], dimension)) is not None]
    if not parts:
        return None
    z, columns, keys = zip(*parts, strict=True)
    return learner.Earlier(np.concatenate(z), np.concatenate(columns), keys)


def _read(
    other: Project, columns: dict[int, int], dimension: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]] | None:
    """Items centred in their own pool, the new project's columns of their labels, and what tells them from others."""
    if pool.stored_dimension(other.pk, other.encoder) != dimension:
        return None
    vectors = pool.vectors(other.pk, other.encoder, dimension, other.tally.items)
    answered = Item.objects.filter(project=other, status__in=[Status.ANSWERED, Status.IMPORTED], label__in=columns)
    told: dict[int, list[int]] = {}
    for row, label in answered.order_by("-row").values_list("row", "label_id")[:MOST]:
        if vectors.present[row] and len(told.setdefault(label, [])) < EACH:
            told[label].append(row)
    rows = np.array([row for label in sorted(told) for row in told[label]], dtype=np.intp)
    if not len(rows):
        return None
    given = np.repeat([columns[label] for label in sorted(told)], [len(told[label]) for label in sorted(told)])
    whole = Pool(vectors.values)
    key = (other.pk, other.tally.items, hash((rows.tobytes(), given.tobytes())))
    return centred(whole.vectors(rows), whole.mean), given, key


def _same(name: str) -> str:
    return " ".join(words(name).casefold().split())
