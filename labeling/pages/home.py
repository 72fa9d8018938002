"""Home: the projects of the person who signed in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from labeling import access
from labeling.models import Label, Member, Project, Role

PER_PAGE = 60


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Every project with its progress and this person's role in it."""
    found = access.projects_of(access.person(request))
    if wanted := request.GET.get("q", "").strip():
        found = found.filter(name__icontains=wanted)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "projects.html",
        {
            "cards": _cards(list(page), access.person(request)),
            "page": page,
            "wanted": wanted,
            "searchable": bool(wanted) or page.paginator.num_pages > 1 or len(page) > 8,
            "may_create": access.may_create_projects(access.person(request)),
        },
    )


def _cards(projects: list[Project], user: Any) -> list[dict[str, Any]]:
    roles = dict(Member.objects.filter(user=user, project__in=projects).values_list("project_id", "role"))
    labels: dict[int, int] = {}
    for project_id in Label.objects.filter(project__in=projects, archived_at=None).values_list("project_id", flat=True):
        labels[project_id] = labels.get(project_id, 0) + 1
    return [
        {
            "project": project,
            "role": Role(roles[project.pk]).label,
            "labels": labels.get(project.pk, 0),
            "is_admin": roles[project.pk] == Role.ADMIN,
        }
        | shares(project)
        for project in projects
    ]


def shares(project: Project) -> dict[str, Any]:
    """How much of the project is done, and by what, in per cent of its items."""
    tally = project.tally
    labelled = tally.items - tally.open
    share = {name: _percent(getattr(tally, name), tally.items) for name in ("answered", "imported", "accepted")}
    return {"tally": tally, "labelled": labelled, "percent": _percent(labelled, tally.items), "share": share}


def _percent(part: int, whole: int) -> float:
    """With one decimal; never 100 for what is not all."""
    if not whole:
        return 0.0
    return 100.0 if part == whole else min(round(100 * part / whole, 1), 99.9)


urlpatterns = [path("", home, name="projects")]
