"""Access: who may touch which row. Every door gets its rows here."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework.request import Request

from labeling import prepared
from labeling.errors import NotAllowed, NotFound, NotSignedIn
from labeling.models import Checkpoint, Member, Project, Role, User

Row = TypeVar("Row", bound=Model)


def person(request: HttpRequest | Request) -> User:
    """Whoever is signed in. The doors let nobody else in; this is where that is made sure of.

    Raises NotSignedIn.
    """
    if not isinstance(request.user, User):
        raise NotSignedIn
    return request.user


def projects_of(user: User) -> QuerySet[Project]:
    """The projects that this person knows of."""
    return Project.objects.filter(members__user=user).select_related("tally").order_by("-created_at")


def project_names(user: User) -> dict[int, str]:
    """The names, by id, of the projects that this person knows of."""
    return dict(projects_of(user).order_by().values_list("pk", "name"))


def known_checkpoint(checkpoint_id: int) -> Checkpoint:
    """The checkpoint with this id: all who may choose may choose among all. Raises NotFound."""
    found = Checkpoint.objects.filter(pk=checkpoint_id).first()
    if found is None:
        raise NotFound("checkpoint")
    return found


def checkpoint(checkpoint_id: int | None) -> Checkpoint | None:
    """The same, None for None: no choice of one's own."""
    return None if checkpoint_id is None else known_checkpoint(checkpoint_id)


def membership(user: User, project_id: int, needed: Role = Role.ANNOTATOR) -> Member:
    """This person's place in the project, with the project.

    Raises NotFound where the person is no member (the same as for a project that does not exist), NotAllowed
    where the role does not reach as far as `needed`.
    """
    member = _member.first(project=int(project_id), user=user.pk)
    if member is None:
        raise NotFound("project")
    if not Role(member.role).reaches(needed):
        raise NotAllowed(str(Role(needed).label))
    return member


def project(user: User, project_id: int, needed: Role = Role.ANNOTATOR) -> Project:
    """The project, if this person's role in it reaches as far as `needed`; raises as `membership` does."""
    return membership(user, project_id, needed).project


def row_of(project: Project, rows: QuerySet[Row] | type[Row], *, pk: int | str) -> Row:
    """The row of this project with this number; raises NotFound for any other project's."""
    model = rows.model if isinstance(rows, QuerySet) else rows
    if isinstance(rows, QuerySet):
        row = rows.filter(project=project, pk=pk).first()
    else:
        row = _numbered.first(model=model, project=project.pk, pk=int(pk))
    if row is None:
        raise NotFound(str(model._meta.verbose_name))
    return row


def may_create_projects(user: User) -> bool:
    """Whether this person may make projects: staff, which the first admin is."""
    return bool(user.is_active and user.is_staff)


@prepared.rows(project=prepared.ID, user=prepared.ID)
def _member(project: Any, user: Any) -> QuerySet[Member]:
    return Member.objects.filter(project=project, user=user).select_related("project", "project__tally")


@prepared.rows(project=prepared.ID, pk=prepared.ID)
def _numbered(model: Any, project: Any, pk: Any) -> QuerySet[Any]:
    return model._default_manager.filter(project=project, pk=pk)
