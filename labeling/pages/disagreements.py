"""Disagreements page: items on which people differ, decided one after the other by keyboard."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import disagreements as reading
from labeling.api import shapes
from labeling.models import Member, Role
from labeling.pages.gate import context, members

BEHIND = ("person", "said", "label", "other", "equal", "week")  # what else the address may ask for


@members(Role.REVIEWER)
@require_safe
def disagreements(request: HttpRequest, member: Member) -> HttpResponse:
    """The page; its script asks the API for the items."""
    labels = member.project.labels.filter(archived_at=None)
    chosen = {name: request.GET[name] for name in ("state", *BEHIND) if name in request.GET}
    data = {
        "api": f"/api/projects/{member.project_id}",
        "labels": [shapes.label(label) for label in labels],
        "query": chosen,
        "methods": {"dawid_skene": _("weighed by skill"), "majority": _("by majority"), "decision": _("decided")},
    }
    filtered = bool(set(BEHIND) & set(chosen))
    shown = context(
        member, data=data, strings=_strings(), states=reading.State.choices, state=chosen.get("state", "open"),
        filtered=filtered, labels=labels,
    )  # fmt: skip
    return render(request, "disagreements.html", shown)


def _strings() -> dict[str, str]:
    return {
        "item": _("item %(number)s"),
        "place": _("%(place)s of %(count)s"),
        "said": _("%(who)s: %(label)s"),
        "withdrawn": _("withdrawn"),
        "withdrawn_by": _("withdrawn by %(who)s"),
        "decision": _("decision"),
        "imported": _("the file"),
        "shown": _("was shown the suggestion “%(label)s”"),
        "consensus": _("Together: %(label)s, %(p)s (%(method)s)"),
        "take_consensus": _("Take “%(label)s”"),
        "suggestion": _("The model, which has learned from these answers: %(label)s, %(p)s"),
        "decided": _("Decided: %(label)s."),
        "undone": _("The decision is taken back."),
        "gold_last": _("Decided just now: %(label)s. Beyond doubt?"),
        "gold_this": _("Decided: %(label)s. Beyond doubt?"),
        "gold_made": _("It is a gold item now: whoever is asked it is scored by “%(label)s”."),
        "gold_none": _("Decide first: a gold item’s label must be known."),
        "nothing_to_undo": _("There is nothing to take back."),
        "none_open": _("No disagreements to decide"),
        "none_text": _("Where several people answer an item and differ, it comes up here."),
        "send_back": _("Send back…"),
        "why": _("Why does it go back to %(who)s? They read this above the item."),
        "sent": _("Sent back to %(who)s."),
        "sent_to": _("%(author)s, sending it back to %(who)s"),
        "comment_kept": _("The comment is kept."),
        "unreachable": _("The server cannot be reached. Try again."),
        "image": _("Image, item %(number)s"),
        "announce": _("Item %(number)s: %(text)s. %(said)s"),
        "Cancel": _("Cancel"),
        "Send": _("Send back"),
    }


urlpatterns = [path("projects/<int:project_id>/disagreements", disagreements, name="disagreements")]
