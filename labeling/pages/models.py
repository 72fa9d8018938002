"""Models: the project's snapshots, what each learned from and how well it did."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling.models import Member, Role, Snapshot
from labeling.pages.gate import context, members

PER_PAGE = 50


@members(Role.REVIEWER)
@require_safe
def models(request: HttpRequest, member: Member) -> HttpResponse:
    """All snapshots, newest first."""
    found = Snapshot.objects.filter(project=member.project).order_by("-number")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "models.html", context(member, page=page, snapshots=[_shown(one) for one in page]))


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    accuracy = snapshot.estimates.get("accuracy")
    estimate = accuracy if isinstance(accuracy, dict) and "estimate" in accuracy else None
    return {
        "snapshot": snapshot,
        "estimate": {name: round(100 * estimate[name], 1) for name in ("estimate", "low", "high") if name in estimate}
        if estimate
        else None,
        "labels": len(snapshot.labels),
        "encoder": snapshot.facts.get("encoder", ""),
        "facts": _facts(snapshot),
    }


def _facts(snapshot: Snapshot) -> list[tuple[str, Any]]:
    """The single values among what the snapshot notes of its making, by their names in the reader's language."""
    named = {
        "encoder": _("encoder"),
        "learner": _("learner"),
        "neighbours": _("looks at neighbours"),
        "seed": _("random seed"),
        "smoothing": _("smoothing"),
        "temperature": _("temperature"),
    }
    single = sorted((name, value) for name, value in snapshot.facts.items() if not isinstance(value, dict | list))
    said = {True: _("yes"), False: _("no")}
    return [(named.get(name, name), said[value] if isinstance(value, bool) else value) for name, value in single]


urlpatterns = [path("projects/<int:project_id>/models", models, name="models")]
