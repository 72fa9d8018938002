"""Rules page: what is known beforehand, written as patterns; tried live over the items before they are saved."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import ruled
from labeling.models import Member, Project, Role, Rule
from labeling.pages.gate import context, members
from labeling.ruled import Which


@members(Role.REVIEWER)
@require_safe
def rules(request: HttpRequest, member: Member) -> HttpResponse:
    """The page; its script fetches the rules and their figures."""
    project = member.project
    columns = ruled.columns(project)
    shown = context(
        member,
        labels=project.labels.filter(archived_at=None),
        kinds=_kinds(project, columns),
        comparisons=Rule.Comparison.choices,
        columns=columns,
        data=_data(member),
        strings=_strings(),
        keys=_keys(),
    )
    return render(request, "rules.html", shown)


def _kinds(project: Project, columns: list[str]) -> list[tuple[str, str]]:
    """Only what these items have: images have no text, and some files no further columns."""
    without: set[str] = set() if columns else {Rule.Kind.COLUMN}
    if project.modality == Project.Modality.IMAGE:
        without |= {Rule.Kind.KEYWORD, Rule.Kind.PHRASE, Rule.Kind.REGEX}
    return [(value, str(title)) for value, title in Rule.Kind.choices if value not in without]


def _data(member: Member) -> dict[str, Any]:
    project = member.project
    return {
        "project": project.pk,
        "api": f"/api/projects/{project.pk}",
        "events": reverse("events", args=[project.pk]),
        "labels": [
            {"id": label.pk, "name": label.name, "archived": bool(label.archived_at)} for label in project.labels.all()
        ],
        "which": {which.value: str(which.label) for which in Which},
    }


def _keys() -> list[tuple[str, str]]:
    return [
        ("N", _("new rule")),
        ("J ↓", _("next rule")),
        ("K ↑", _("previous rule")),
        ("Enter", _("items it speaks of; in the form: save")),
        ("E", _("change the rule")),
        ("O", _("switch it off or on")),
        ("Delete", _("delete the rule")),
        ("U", _("undo")),
        ("1 – 9", _("add a proposal")),
        ("Esc", _("close the form")),
    ]


def _strings() -> dict[str, str]:
    """Every string of the script, in the reader's language."""
    return {
        "new": _("New rule"),
        "change": _("Change the rule"),
        "Save": _("Save"),
        "Edit": _("Edit"),
        "On": _("On"),
        "Off": _("Off"),
        "Delete": _("Delete"),
        "Add": _("Add"),
        "Undo": _("Undo"),
        "made": _("Saved. The model will hear it in a moment."),
        "changed": _("Changed."),
        "deleted": _("Deleted: %(says)s"),
        "restored": _("The rule is back."),
        "switched off": _("Switched off: %(says)s"),
        "switched on": _("Switched on: %(says)s"),
        "nothing to undo": _("There is nothing to take back."),
        "away": _("The server cannot be reached. Nothing was changed."),
        "waiting": _("Type what the rule looks for, and what it would do appears here."),
        "none found": _("It speaks of no item."),
        "looked at all": _("Looked at all %(count)s items."),
        "looked at some": _("Looked at %(looked)s of %(count)s items, evenly spread; saving counts all."),
        "no answers": _("no answer among them yet"),
        "interval": _("%(low)s – %(high)s"),
        "believed": _("the model believes %(share)s"),
        "voting": _("voted on %(done)s of %(count)s"),
        "weight": _("How loud the rules are beside the model: %(weight)s (0: not heard, 1: in full)"),
        "answered": _("answered: %(label)s"),
        "suggested": _("the model: %(label)s"),
        "together": _("Together with %(label)s, %(says)s: %(count)s"),
        "more": _("Show more"),
        "items behind": _("%(which)s: %(count)s"),
        "proposal": _("right in %(right)s of %(count)s answers · in about %(items)s items"),
        "imported": _("%(made)s rules made, %(known)s were there already."),
        "not JSON": _("This file is no JSON. Choose one that was exported here."),
        "column is": _("%(column)s: %(value)s"),
        "image": _("Image %(name)s"),
        "selected": _("%(label)s: %(says)s. %(count)s items."),
    }


urlpatterns = [path("projects/<int:project_id>/rules", rules, name="rules")]
