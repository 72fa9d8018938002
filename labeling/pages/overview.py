"""Overview page: how far the project is and how well the model does, at a glance."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import overview as numbers
from labeling.models import Member, Role
from labeling.pages.gate import context, members

WEAKEST = 12  # labels shown before the rest is unfolded


@members(Role.ANNOTATOR)
@require_safe
def overview(request: HttpRequest, member: Member) -> HttpResponse:
    """The page, whole; its script draws the curve and fetches the page anew when there is news."""
    project = member.project
    told = numbers.describe(project, timezone.now())
    measured = [point for point in told["curve"] if point["estimate"] is not None]
    shown = context(
        member,
        told=told,
        bar=_bar(told["progress"]),
        weakest=told["labels"][:WEAKEST],
        others=told["labels"][WEAKEST:],
        measured=measured,
        newest=measured[-1] if measured else None,
        label_count=sum(not label["archived"] for label in told["labels"]),
        may_review=Role(member.role).reaches(Role.REVIEWER),
        may_import=Role(member.role).reaches(Role.ADMIN),
        data={
            "events": reverse("events", args=[project.pk]),
            "curve": told["curve"],
            "goal": project.goal_accuracy,
        },
        strings=_strings(),
    )
    return render(request, "overview.html", shown)


def _bar(progress: dict[str, Any]) -> dict[str, str]:
    """Widths of the progress bar's parts, in per cent of all items."""
    items = progress["items"] or 1
    # Never through floatformat: a style's number has a point in every language.
    return {origin: f"{100 * progress[origin] / items:.3f}" for origin in ("answered", "imported", "accepted")}


def _strings() -> dict[str, str]:
    """Every string of the script, in the reader's language."""
    return {
        "answers": _("answers"),
        "estimate": _("estimated accuracy"),
        # xgettext:no-python-format
        "interval": _("95% interval"),
        "goal": _("goal %(goal)s"),
        "point": _("%(answers)s answers: %(estimate)s (%(low)s to %(high)s)"),
    }


urlpatterns = [path("projects/<int:project_id>/", overview, name="overview")]
