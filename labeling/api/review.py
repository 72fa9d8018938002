"""API of reviewing: the model's suggestions, accepting them in bulk or one by one, taking that back, refusing them."""

from __future__ import annotations

import re
from typing import Any

from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access, jobs, live, reviewed, suggestions
from labeling.api import outlines, shapes
from labeling.api.schema import LARGEST_ID, Choice, valid
from labeling.errors import BadField, UnknownLabel
from labeling.flow import reviewing
from labeling.models import Batch, Item, Label, Project, Role
from labeling.suggestions import Order, State

CURSOR = re.compile(r"(\d{1,9}):(\d(?:\.\d{1,20})?(?:e-\d{1,2})?):(\d{1,12})", re.ASCII)


class SuggestionQuery(serializers.Serializer[Any]):
    """Which suggestions, in which order."""

    snapshot = serializers.IntegerField(
        min_value=1, max_value=2**31, required=False, help_text="The newest if left out."
    )
    label = serializers.IntegerField(  # type: ignore[assignment]
        min_value=1, max_value=LARGEST_ID, required=False, help_text="A label's id."
    )
    state = Choice(choices=State.choices, required=False, default=State.OPEN)
    min = serializers.FloatField(min_value=0, max_value=1, required=False, default=0.0, help_text="Lowest confidence.")
    max = serializers.FloatField(min_value=0, max_value=1, required=False, default=1.0, help_text="Highest confidence.")
    order = Choice(choices=Order.choices, required=False, default=Order.LEAST)
    cursor = serializers.CharField(required=False, max_length=60, help_text="`next` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=200, required=False, default=50)


class AcceptanceChoice(serializers.Serializer[Any]):
    """What to accept: all from a threshold on, or these items."""

    snapshot = serializers.IntegerField(
        min_value=1,
        max_value=2**31,
        help_text="The snapshot that the choice was made on; its suggestions are accepted.",
    )
    threshold = serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True, default=None)
    label = serializers.IntegerField(  # type: ignore[assignment]
        min_value=1, max_value=LARGEST_ID, required=False, allow_null=True, default=None
    )
    items = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        required=False,
        allow_null=True,
        default=None,
        min_length=1,
        max_length=reviewing.IN_REQUEST,
    )


class UndoChoice(serializers.Serializer[Any]):
    """Which items of a batch to take back."""

    items = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        required=False,
        allow_null=True,
        default=None,
        min_length=1,
        max_length=reviewing.IN_REQUEST,
        help_text="All of the batch if left out.",
    )


class Rejection(serializers.Serializer[Any]):
    """The item whose suggestion is wrong."""

    item = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    snapshot = serializers.IntegerField(min_value=1, max_value=2**31, required=False, default=None)


@extend_schema(operation_id="suggestions_list", parameters=[SuggestionQuery], responses=outlines.SuggestionPage)
@api_view(["GET"])
def suggestion_list(request: Request, project_id: int) -> Response:
    """Suggestions with their items, a page at a time; `count` is how many match in all."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    asked = valid(SuggestionQuery, request.query_params)
    number, after = _cursor(asked.get("cursor"))
    snapshot = suggestions.numbered(project, number or asked.get("snapshot"))
    label = _label(project, asked.get("label"))
    chosen = suggestions.of(project, snapshot, state=asked["state"], label=label).between(asked["min"], asked["max"])
    results, more = reviewed.queue_of(project, snapshot, chosen, asked["order"], after, asked["limit"])
    following = f"{snapshot.number}:{more[0]!r}:{more[1]}" if more else None
    return Response({"snapshot": snapshot.number, "count": len(chosen), "results": results, "next": following})


@extend_schema(
    operation_id="suggestions_histogram",
    parameters=[OpenApiParameter("label", int), OpenApiParameter("snapshot", int)],
    responses=outlines.HistogramOut,
)
@api_view(["GET"])
def suggestion_histogram(request: Request, project_id: int) -> Response:
    """How the suggestions still to review spread over confidence.

    `bins`: counts in 20 equal parts of [0, 1]. `above[t]`, `errors[t]`: how many have at least a confidence of t / 100,
    and how many of those the model itself expects to be wrong (an estimate).
    """
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    asked = valid(SuggestionQuery, request.query_params)
    snapshot = suggestions.numbered(project, asked.get("snapshot"))
    chosen = suggestions.of(project, snapshot, label=_label(project, asked.get("label")))
    return Response({"snapshot": snapshot.number} | suggestions.histogram(chosen))


@extend_schema(methods=["GET"], operation_id="acceptances_list", responses=outlines.BatchList)
@extend_schema(
    methods=["POST"],
    operation_id="acceptances_create",
    request=AcceptanceChoice,
    responses={201: outlines.Accepted, 202: outlines.Accepted},
)
@api_view(["GET", "POST"])
def acceptance_list(request: Request, project_id: int) -> Response:
    """The newest batches; or accept suggestions: at once (201), or more than 5,000 in a job (202)."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    if request.method == "GET":
        return Response({"results": reviewed.describe_batches(project)})
    choice = _choice(project, request.data)
    batch, job = reviewing.accept(project=project, reviewer=access.person(request), choice=choice, now=timezone.now())
    _tell(project)
    count = job.arguments["total"] if job else batch.count
    body = {"batch": batch.pk, "count": count, "job": jobs.describe(job) if job else None}
    return Response(body, status=202 if job else 201)


@extend_schema(operation_id="acceptances_preview", request=AcceptanceChoice, responses=outlines.PreviewOut)
@api_view(["POST"])
def acceptance_preview(request: Request, project_id: int) -> Response:
    """What accepting would settle, by label. `expected_error`: the share that the model itself expects to be wrong."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    told = reviewing.preview(project=project, choice=_choice(project, request.data))
    return Response(
        {
            "count": told.count,
            "by_label": [{"label": label_id, "count": count} for label_id, count in told.by_label.items()],
            "expected_errors": round(told.expected_errors, 2),
            "expected_error": round(told.expected_errors / told.count, 4) if told.count else None,
        }
    )


@extend_schema(
    operation_id="acceptances_undo", request=UndoChoice, responses={200: outlines.BatchOut, 202: outlines.BatchOut}
)
@api_view(["POST"])
def acceptance_undo(request: Request, project_id: int, batch_id: int) -> Response:
    """Take back a batch, or some of its items."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    batches = Batch.objects.select_related("accepted_by", "undone_by", "snapshot")
    batch = access.row_of(project, batches, pk=batch_id)
    items = valid(UndoChoice, request.data)["items"]
    job = reviewing.undo(
        project=project, reviewer=access.person(request), batch=batch, item_ids=items, now=timezone.now()
    )
    _tell(project)
    return Response(reviewed.describe_batch(batches.get(pk=batch.pk), job), status=202 if job else 200)


@extend_schema(operation_id="rejections_create", request=Rejection, responses={201: outlines.Rejected})
@api_view(["POST"])
def rejection_list(request: Request, project_id: int) -> Response:
    """Say that an item's suggestion is wrong; a person is asked for the item next."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    asked = valid(Rejection, request.data)
    item = access.row_of(project, Item, pk=asked["item"])
    snapshot = suggestions.numbered(project, asked["snapshot"])
    mark = reviewing.reject(
        project=project, reviewer=access.person(request), item=item, snapshot=snapshot, now=timezone.now()
    )
    return Response({"item": item.pk, "label": mark.label_id}, status=201)


@extend_schema(operation_id="rejections_delete", responses={204: None})
@api_view(["DELETE"])
def rejection_detail(request: Request, project_id: int, item_id: int) -> Response:
    """Take a rejection back."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    reviewing.restore(project=project, item=access.row_of(project, Item, pk=item_id))
    return Response(status=204)


def _tell(project: Project) -> None:
    """Let the other pages know how far the project is now; a job tells of itself."""
    live.publish(project.pk, "progress", shapes.progress(project, suggestions.latest(project)))


def _choice(project: Project, data: Any) -> reviewing.Choice:
    asked = valid(AcceptanceChoice, data)
    if asked["threshold"] is not None and asked["items"] is not None:
        raise BadField("items", _("Give a threshold or items, not both."))
    snapshot = suggestions.numbered(project, asked["snapshot"])
    return reviewing.Choice(snapshot, asked["threshold"], _label(project, asked["label"]), asked["items"])


def _label(project: Project, label_id: int | None) -> Label | None:
    if label_id is None:
        return None
    offered = project.labels.filter(archived_at=None)
    label = offered.filter(pk=label_id).first()
    if label is None:
        raise UnknownLabel(label_id, known=offered.values_list("name", flat=True)[:10])
    return label


def _cursor(cursor: str | None) -> tuple[int | None, tuple[float, int] | None]:
    """(snapshot number, (confidence, row)) of the last suggestion of the page before."""
    if not cursor:
        return None, None
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise BadField("cursor", _("This is no place in the list; begin again without it."))
    return int(match.group(1)), (float(match.group(2)), int(match.group(3)))


PROJECT = r"^projects/(?P<project_id>\d{1,18})"
urlpatterns = [
    re_path(PROJECT + r"/suggestions/?$", suggestion_list, name="api_suggestions"),
    re_path(PROJECT + r"/suggestions/histogram/?$", suggestion_histogram, name="api_histogram"),
    re_path(PROJECT + r"/acceptances/?$", acceptance_list, name="api_acceptances"),
    re_path(PROJECT + r"/acceptances/preview/?$", acceptance_preview, name="api_acceptance_preview"),
    re_path(PROJECT + r"/acceptances/(?P<batch_id>\d{1,18})/undo/?$", acceptance_undo, name="api_acceptance_undo"),
    re_path(PROJECT + r"/rejections/?$", rejection_list, name="api_rejections"),
    re_path(PROJECT + r"/rejections/(?P<item_id>\d{1,18})/?$", rejection_detail, name="api_rejection"),
]
