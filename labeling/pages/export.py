"""Export page: choose a format and what goes in, follow it, download it, and the files made before."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import exports
from labeling.models import Member, Project, Role
from labeling.pages.gate import context, members

LISTED = 30


@members(Role.REVIEWER)
@require_safe
def export(request: HttpRequest, member: Member) -> HttpResponse:
    """The form and the exports; its script starts and follows them through the API."""
    project = member.project
    shown = context(
        member,
        formats=exports.FORMATS.values(),
        origins=_origins(project),
        columns=exports.COLUMNS,
        tally=project.tally,
        data={
            "api": f"/api/projects/{project.pk}",
            "events": reverse("events", args=[project.pk]),
            "exports": [exports.describe(made) for made in exports.of(project)[:LISTED]],
            "formats": {made.name: str(made.title) for made in exports.FORMATS.values()},
            "origins": {name: str(title) for name, title in exports.Origin.CHOICES},
        },
        strings=_strings(),
    )
    return render(request, "export.html", shown)


def _origins(project: Project) -> list[tuple[str, Any, int]]:
    """Each origin with its title and how many items have a label from it."""
    tally = project.tally
    counts = {
        exports.Origin.PERSON: tally.answered,
        exports.Origin.ACCEPTED: tally.accepted,
        exports.Origin.IMPORTED: tally.imported,
    }
    return [(name, title, counts[name]) for name, title in exports.Origin.CHOICES]


def _strings() -> dict[str, str]:
    """Every string of the script, in the reader's language."""
    return {
        "Download": _("Download"),
        "Delete": _("Delete"),
        "Stop": _("Stop"),
        "delete this": _("Delete %(name)s"),
        "stop this": _("Stop %(name)s"),
        "download this": _("Download %(name)s"),
        "queued": _("waiting"),
        "running": _("being written"),
        "failed": _("failed: %(error)s"),
        "cancelled": _("stopped"),
        "rows": _("%(done)s of %(total)s"),
        "made": _("%(when)s by %(who)s"),
        "made by nobody": _("%(when)s"),
        "pseudonyms": _("pseudonyms"),
        "open": _("with open items"),
        "suggestions": _("with suggestions"),
        "card": _("with data card"),
        "from": _("from %(confidence)s on"),
        "ready": _("%(name)s is ready."),
        "away": _("The server cannot be reached. Nothing was started."),
        "total": _("%(count)s items"),
        "one": _("One item"),
        "none": _("Nothing would be exported. Choose at least one origin that has labels."),
    }


urlpatterns = [path("projects/<int:project_id>/export", export, name="export")]
