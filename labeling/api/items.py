"""API of items: browse them, look at one with its history, correct it."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, browsing, kinds
from labeling.api import shapes
from labeling.api.schema import LARGEST_ID, LabelField, valid
from labeling.flow import answering
from labeling.models import Item, Mark, Project, Role, Status


class Query(serializers.Serializer):
    """Which items, a page at a time."""

    status = serializers.ChoiceField(choices=Status.choices, required=False, allow_blank=True, default="")
    label = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="A label's id.")  # type: ignore[assignment]
    flagged = serializers.BooleanField(required=False, default=False, help_text="Only those that somebody flagged.")
    q = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=browsing.LONGEST_TEXT, help_text="Text looked for."
    )
    said = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Only answers of which the model said this label while they were held back from it.",
    )
    missed = serializers.ChoiceField(
        choices=browsing.MISSED,
        required=False,
        allow_blank=True,
        default="",
        help_text="Only those of which the model was wrong: of answers held back from it, or when asked at random.",
    )
    cursor = serializers.IntegerField(
        required=False, min_value=-1, max_value=LARGEST_ID, default=-1, help_text="`next` of the page before."
    )
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class Correction(serializers.Serializer):
    """The label that is right."""

    label = LabelField()  # type: ignore[assignment]
    key = serializers.UUIDField(required=False, allow_null=True, help_text="Idempotency key; one for each correction.")


class SuggestionOut(serializers.Serializer):
    """What the newest snapshot says of an item."""

    label = serializers.IntegerField()  # type: ignore[assignment]
    confidence = serializers.FloatField()


class ItemOut(serializers.Serializer):
    """An item and where it stands."""

    id = serializers.IntegerField()
    row = serializers.IntegerField(help_text="Its dense number in the project, 0 first.")
    external_id = serializers.CharField(allow_null=True)
    text = serializers.CharField()
    image = serializers.CharField(allow_null=True, help_text="Where the image is.")
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    metadata = serializers.DictField()
    status = serializers.ChoiceField(choices=Status.choices)
    label = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]
    flagged = serializers.BooleanField()
    suggestion = SuggestionOut(allow_null=True)


class ItemPage(serializers.Serializer):
    """Items by row; `next` is null at the end."""

    results = ItemOut(many=True)
    next = serializers.IntegerField(allow_null=True)
    unfinished = serializers.BooleanField(help_text="Time ran out before the page was full: go on from `next`.")


class ItemWithHistory(ItemOut):
    """An item with all that was said of it, newest first."""

    history = serializers.ListField(child=serializers.DictField())


class Items(APIView):
    """A project's items."""

    @extend_schema(operation_id="items_list", parameters=[Query], responses=ItemPage)
    def get(self, request: Request, project_id: int) -> Response:
        """Items in the order they came, with the label each has."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        asked = valid(Query, request.query_params)
        filters = browsing.Filters(
            asked["status"], asked.get("label"), asked["flagged"], asked["q"], asked.get("said"), asked["missed"]
        )
        page = browsing.page(project, filters, after=asked["cursor"], limit=asked["limit"])
        shown = [item_shown(item, page.flags, page.suggested) for item in page.items]
        return Response({"results": shown, "next": page.after, "unfinished": page.unfinished})


class OneItem(APIView):
    """One item."""

    @extend_schema(operation_id="items_get", responses=ItemWithHistory)
    def get(self, request: Request, project_id: int, item_id: str) -> Response:
        """The item, its label, the model's suggestion and its history."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        return Response(whole(project, access.row_of(project, Item, pk=item_id)))


class Correct(APIView):
    """A reviewer's word on an item."""

    @extend_schema(
        operation_id="items_correct", request=Correction, responses={200: ItemWithHistory, 201: ItemWithHistory}
    )
    def post(self, request: Request, project_id: int, item_id: str) -> Response:
        """Give the item another label. What others had said stays in its history. 200 where the key was known."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        item = access.row_of(project, Item, pk=item_id)
        given = valid(Correction, request.data)
        label, _value = kinds.of(project).read(project, given["label"])
        kept = answering.correct(
            project=project,
            item=item,
            reviewer=access.person(request),
            label=label,
            key=given.get("key"),
            now=timezone.now(),
        )
        item.refresh_from_db()
        return Response(whole(project, item), status=201 if kept.created else 200)


class Flags(APIView):
    """The flags on an item."""

    @extend_schema(operation_id="items_unflag", request=None, responses={204: None})
    def delete(self, request: Request, project_id: int, item_id: str) -> Response:
        """Take everybody's flags off the item: it has been looked at."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        answering.unflag(item=access.row_of(project, Item, pk=item_id))
        return Response(status=204)


def whole(project: Project, item: Item) -> dict[str, Any]:
    """The item with everything that is known of it, but never its hidden reference."""
    shown = item_shown(item, browsing.flags_of([item]), browsing.suggested_for(project, [item]))
    history = [event | {"at": event["at"].isoformat()} for event in answering.history(item)]
    return shown | {"history": history}


def item_shown(item: Item, flags: dict[int, list[Mark]], suggested: dict[int, tuple[int, float]]) -> dict[str, Any]:
    """The item as scripts get it."""
    said = suggested.get(item.pk)
    return shapes.item(item) | {
        "status": item.status,
        "label": item.label_id,
        "flagged": item.pk in flags,
        "suggestion": {"label": said[0], "confidence": round(said[1], 4)} if said else None,
    }


ALL = r"^projects/(?P<project_id>\d{1,18})/items"
ONE = ALL + r"/(?P<item_id>\d{1,18})"
urlpatterns = [
    re_path(ALL + r"/?$", Items.as_view(), name="api_items"),
    re_path(ONE + r"/?$", OneItem.as_view(), name="api_item"),
    re_path(ONE + r"/correct/?$", Correct.as_view(), name="api_item_correct"),
    re_path(ONE + r"/flags/?$", Flags.as_view(), name="api_item_flags"),
]
