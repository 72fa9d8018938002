"""Quality: how right the labels are, which answers are in doubt, which near-duplicates disagree."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import doubts as in_doubt
from labeling import duplicates as alike
from labeling import quality as numbers
from labeling import reviewed
from labeling.api.quality import doubt_shown, pair_shown
from labeling.models import Label, Member, Project, Role, Status
from labeling.pages.gate import context, members

STRONGEST = 4  # steps of a confusion's shade


@members(Role.REVIEWER)
@require_safe
def quality(request: HttpRequest, member: Member) -> HttpResponse:
    """Everything that can be told of the labels' quality, each number leading to the items behind it."""
    project = member.project
    told = numbers.describe(project)
    shown = context(
        member,
        told=told,
        origins=[_origin(project, row) for row in told["origins"]],
        matrix=_matrix(project, told["confusion"]),
        wrong=told["confusion"]["answers"] - told["confusion"]["right"],
    )
    return render(request, "quality.html", shown)


@members(Role.REVIEWER)
@require_safe
def doubts(request: HttpRequest, member: Member) -> HttpResponse:
    """Answers that may be mistakes, to be settled by keyboard: the likely ones, or with `?all=1` all in doubt."""
    project = member.project
    labels = _labels(project)
    told = in_doubt.held_out(project)
    everything = [one for one in in_doubt.open_doubts(project, told) if one["said_id"] in labels]
    likely = [one for one in everything if one["likely"]]
    shows_all = "all" in request.GET
    found = [_doubt(project, one, labels) for one in (everything if shows_all else likely)]
    offered = Label.objects.filter(project=project, archived_at=None).order_by("position")
    data = {
        "items": reverse("api_items", args=[project.pk]).rstrip("/"),
        "doubts": reverse("api_doubts", args=[project.pk]).rstrip("/"),
        "labels": [{"id": label.pk, "name": label.name} for label in offered],
    }
    shown = context(
        member,
        found=found,
        data=data,
        strings=_strings(),
        shows_all=shows_all,
        likely=len(likely),
        everything=len(everything),
        checked=len(told["row"]),
        expected=in_doubt.expected_mistakes(told),
    )
    return render(request, "doubts.html", shown)


@members(Role.REVIEWER)
@require_safe
def duplicates(request: HttpRequest, member: Member) -> HttpResponse:
    """Near-duplicates with different labels."""
    project = member.project
    labels = _labels(project)
    pairs = [pair_shown(pair) for pair in alike.disagreeing(project)]
    for pair in pairs:
        pair["percent"] = round(100 * pair["cosine"])
        for item in pair["items"]:
            item["address"] = reverse("item", args=[project.pk, item["id"]])
            item["name_of_label"] = labels.get(item["label"], "")
    return render(request, "duplicates.html", context(member, pairs=pairs))


def _labels(project: Project) -> dict[int, str]:
    return dict(Label.objects.filter(project=project).values_list("pk", "name"))


def _origin(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    """The row with its words and the address of the items behind it."""
    titles = {
        Status.ANSWERED: _("Answered by people"),
        Status.IMPORTED: _("Came with the file"),
        Status.ACCEPTED: _("Suggested and accepted"),
        Status.OPEN: _("Open: the model's suggestions"),
    }
    chips = {Status.ANSWERED: "human", Status.IMPORTED: "imported", Status.ACCEPTED: "model"}
    behind = {
        "gold": reverse("gold", args=[project.pk]),
        "random": f"{reverse('data', args=[project.pk])}?missed=random",
        "cross_validation": f"{reverse('data', args=[project.pk])}?missed=held_out",
    }  # which labels differ from the hidden reference stays hidden, or it would measure nothing any more
    measures = [
        measure
        | {"words": numbers.how(measure["how"]), "address": behind.get(measure["how"]) or _sample(project, measure)}
        for measure in row["measures"]
    ]
    address = f"{reverse('data', args=[project.pk])}?status={row['origin']}"
    return row | {
        "title": titles[Status(row["origin"])],
        "dot": chips.get(Status(row["origin"]), "open"),
        "measures": measures,
        "address": address,
    }


def _sample(project: Project, measure: dict[str, Any]) -> str:
    return reverse("certificate", args=[project.pk, measure["sample"]]) if "sample" in measure else ""


def _matrix(project: Project, told: dict[str, Any]) -> list[dict[str, Any]]:
    """The confusion matrix by rows; a cell has its count, its shade in 0 to 4 and its items' address."""
    most = max((n for i, row in enumerate(told["cells"]) for j, n in enumerate(row) if i != j), default=0)
    address = reverse("data", args=[project.pk])
    return [
        {
            "name": told["labels"][i]["name"],
            "cells": [
                {
                    "count": count,
                    "right": i == j,
                    "shade": 0 if i == j or not count else -(-STRONGEST * count // most),
                    "address": f"{address}?label={told['labels'][i]['id']}&said={told['labels'][j]['id']}",
                    "said": told["labels"][j]["name"],
                }
                for j, count in enumerate(row)
            ],
        }
        for i, row in enumerate(told["cells"])
    ]


def _doubt(project: Project, one: dict[str, Any], labels: dict[int, str]) -> dict[str, Any]:
    return doubt_shown(one) | {
        "address": reverse("item", args=[project.pk, one["item"].pk]),
        "label_name": labels.get(one["label_id"], ""),
        "said_name": labels[one["said_id"]],
        "percent": round(100 * one["p_said"]),
        "percent_given": round(100 * one["p_label"]),
        "percent_mistake": round(100 * one["chance"]),
        "who": ", ".join(one["by"]) or _("the file"),
        "item": reviewed.describe_item(one["item"]),
    }


def _strings() -> dict[str, str]:
    return {
        "Corrected: %(label)s": _("Corrected: %(label)s"),
        "Confirmed: %(label)s": _("Confirmed: %(label)s"),
        "It will be asked again": _("It will be asked again"),
        "Undo": _("Undo"),
        "No label is called so.": _("No label is called so."),
        "%(n)s left": _("%(n)s left"),
        "The server cannot be reached. Try again.": _("The server cannot be reached. Try again."),
    }


urlpatterns = [
    path("projects/<int:project_id>/quality", quality, name="quality"),
    path("projects/<int:project_id>/quality/doubts", doubts, name="doubts"),
    path("projects/<int:project_id>/quality/duplicates", duplicates, name="duplicates"),
]
