"""Single label: an answer is one of the project's labels."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from labeling import prepared
from labeling.errors import UnknownLabel
from labeling.models import Answer, Label, Project


def read(project: Project, given: Any) -> tuple[Label, dict[str, Any]]:
    """The label with this id (a number) or name (a string)."""
    offered = project.labels.filter(archived_at=None)
    if isinstance(given, str):
        label = offered.filter(name=given).first()
    elif isinstance(given, int) and not isinstance(given, bool):
        label = _offered.first(project=project.pk, label=given)
    else:
        label = None
    if label is None:
        raise UnknownLabel(given, known=offered.values_list("name", flat=True)[:10])
    return label, {}


def target(answer: Answer) -> int:
    """The label itself."""
    return answer.label_id


def shown(label: Label, value: dict[str, Any]) -> str:
    """The label's name."""
    return label.name


def exported(label: Label, value: dict[str, Any]) -> str:
    """The label's name."""
    return label.name


@prepared.rows(project=prepared.ID, label=prepared.ID)
def _offered(project: Any, label: Any) -> QuerySet[Label]:
    return Label.objects.filter(project=project, archived_at=None, pk=label)
