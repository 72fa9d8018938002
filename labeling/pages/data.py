"""Data: a project's items with filters, and one item with its history."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import access, browsing, rulebook, suggestions
from labeling.flow import answering
from labeling.models import Gold, Item, Label, Member, Project, Role, Status
from labeling.pages.gate import context, members, number

PER_PAGE = 50


@members(Role.REVIEWER)
@require_safe
def data(request: HttpRequest, member: Member) -> HttpResponse:
    """A page of items behind the row that `after` names."""
    project = member.project
    filters = _filters(request)
    page = browsing.page(project, filters, after=number(request.GET.get("after")), limit=PER_PAGE)
    labels = {label.pk: label for label in Label.objects.filter(project=project)}
    query = _query(filters)
    shown = context(
        member,
        entries=[_entry(item, page, labels) for item in page.items],
        page=page,
        filters=filters,
        query=query,
        next_query=_query(filters, after=page.after) if page.after is not None else "",
        is_first="after" not in request.GET,
        labels=labels.values(),
        said=labels.get(filters.said_id or 0),
        statuses=Status.choices,
    )
    return render(request, "data.html", shown)


@members(Role.REVIEWER)
@require_safe
def item(request: HttpRequest, member: Member, item_id: int) -> HttpResponse:
    """One item: what it is, what it is called, who said so, what the model thinks."""
    project = member.project
    found = access.row_of(project, Item.objects.select_related("label"), pk=item_id)
    labels = {label.pk: label for label in Label.objects.filter(project=project)}
    suggested = browsing.suggested_for(project, [found]).get(found.pk)
    filters = _filters(request)
    before, behind = _around(project, filters, found)
    address = reverse("api_item", args=[project.pk, found.pk]).rstrip("/")
    page_data = {
        "correct": f"{address}/correct",
        "unflag": f"{address}/flags",
        "labels": [{"id": label.pk, "name": label.name} for label in labels.values() if label.archived_at is None],
        "label": found.label_id,
    }
    shown = context(
        member,
        item=found,
        image=reverse("item_image", args=[project.pk, found.pk]) if found.image else None,
        suggestion=_suggestion(suggested, labels),
        spoken=rulebook.spoken(suggestions.latest(project), [found.row]).get(found.row, []),
        flags=browsing.flags_of([found]).get(found.pk, []),
        gold=Gold.objects.filter(item=found).select_related("label").first(),
        history=[event | {"words": _words(event)} for event in answering.history(found)],
        metadata=[(name, value) for name, value in found.metadata.items()],
        query=_query(filters),
        before=before,
        behind=behind,
        data=page_data,
        strings=_strings(),
    )
    return render(request, "item.html", shown)


def _filters(request: HttpRequest) -> browsing.Filters:
    """What the address asks; what cannot be meant is left out."""
    status = request.GET.get("status", "")
    return browsing.Filters(
        status if status in Status.values else "",
        _id(request.GET.get("label")),
        request.GET.get("flagged") == "1",
        request.GET.get("q", "").strip().replace("\0", "")[: browsing.LONGEST_TEXT],
        _id(request.GET.get("said")),
        missed if (missed := request.GET.get("missed", "")) in browsing.MISSED else "",
    )


def _id(given: str | None) -> int | None:
    return found if (found := number(given)) >= 0 else None


def _query(filters: browsing.Filters, **more: Any) -> str:
    asked = {
        "status": filters.status,
        "label": filters.label_id,
        "flagged": "1" if filters.flagged else "",
        "q": filters.text,
        "said": filters.said_id,
        "missed": filters.missed,
        **more,
    }
    return urlencode({name: value for name, value in asked.items() if value not in ("", None)})


def _entry(item: Item, page: browsing.Page, labels: dict[int, Label]) -> dict[str, Any]:
    return {
        "item": item,
        "flags": page.flags.get(item.pk, []),
        "image": reverse("item_image", args=[item.project_id, item.pk]) if item.image else None,
        "suggestion": None if item.label_id else _suggestion(page.suggested.get(item.pk), labels),
    }


def _suggestion(said: tuple[int, float] | None, labels: dict[int, Label]) -> dict[str, Any] | None:
    if said is None or said[0] not in labels:
        return None
    return {"label": labels[said[0]], "percent": round(100 * said[1])}


def _around(project: Project, filters: browsing.Filters, found: Item) -> tuple[int | None, int | None]:
    """The items to step to: by row backwards, and forwards among those that pass the filters."""
    before, behind = browsing.neighbours(found)
    if filters == browsing.Filters():
        return before, behind
    page = browsing.page(project, filters, after=found.row, limit=1)
    return before, page.items[0].pk if page.items else None


def _words(event: dict[str, Any]) -> str:
    """What happened, in words; who and when stand beside it."""
    label = event["label"]
    told = {
        "answer": _("answered “%(label)s”"),
        "withdrawn": _("the answer “%(label)s” was taken back or replaced"),
        "accepted": _("accepted the suggestion “%(label)s”"),
        "acceptance_withdrawn": _("the acceptance of “%(label)s” was taken back"),
        "skip": _("skipped it"),
        "flag": _("flagged it"),
        "comment": _("commented"),
        "sent_back": _("sent it back to %(to)s"),
        "reject": _("rejected the suggestion “%(label)s”"),
        "keep": _("confirmed “%(label)s” after a doubt"),
    }
    if event["event"] == "answer" and event.get("origin") == "imported":
        return _("came with the file as “%(label)s”") % {"label": label}
    if event["event"] == "answer" and event.get("purpose") == "decision":
        return _("decided “%(label)s”") % {"label": label}
    if event["event"] == "answer" and event.get("purpose") in ("gold", "training"):
        return _("answered “%(label)s” to the gold question") % {"label": label}
    return told.get(event["event"], event["event"]) % {"label": label, "to": event.get("to", "")}


def _strings() -> dict[str, str]:
    return {
        "No label is called so.": _("No label is called so."),
        "Corrected: %(label)s": _("Corrected: %(label)s"),
        "The server cannot be reached. Try again.": _("The server cannot be reached. Try again."),
        "Flags taken off": _("Flags taken off"),
    }


urlpatterns = [
    path("projects/<int:project_id>/data", data, name="data"),
    path("projects/<int:project_id>/items/<int:item_id>", item, name="item"),
]
