"""Kinds of labelling: each says what an answer's value is, how it is read, learned, shown and exported.

A kind is a module with the functions of `Kind`; single labels are the first. Spans, boxes and several labels an
item are further modules here, and nothing outside asks which kind a project has.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from labeling.kinds import single_label
from labeling.models import Answer, Label, Project


class Kind(Protocol):
    """What every kind of labelling must be able to say."""

    def read(self, project: Project, given: Any) -> tuple[Label, dict[str, Any]]:
        """The label and further value that a client gave; raises UnknownLabel or BadField."""
        ...

    def target(self, answer: Answer) -> int:
        """The label id that the model learns from this answer."""
        ...

    def shown(self, label: Label, value: dict[str, Any]) -> str:
        """The value in words, for people."""
        ...

    def exported(self, label: Label, value: dict[str, Any]) -> Any:
        """The value as data sets hold it."""
        ...


KINDS: dict[str, Kind] = {Project.Kind.SINGLE_LABEL: cast(Kind, single_label)}


def of(project: Project) -> Kind:
    """The kind of labelling of this project."""
    return KINDS[project.kind]
