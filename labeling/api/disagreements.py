"""API of disagreements: items on which people differ, decisions on them, comments, and sending an item back."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, annotators, disagreements, kinds, suggestions
from labeling.api import shapes
from labeling.api.schema import LARGEST_ID, Choice, LabelField, valid
from labeling.flow import answering
from labeling.models import Answer, Comment, Item, Project, Role


class Query(serializers.Serializer):
    """Which items, a page at a time."""

    state = Choice(choices=disagreements.State.choices, required=False, default=disagreements.State.OPEN)
    person = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Instead: items that this user answered,"
    )
    said = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="with this label,")
    label = serializers.IntegerField(  # type: ignore[assignment]
        required=False, min_value=1, max_value=LARGEST_ID, help_text="that came to have this one."
    )
    other = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="that this user answered too,"
    )
    equal = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="alike, or otherwise than `person`;"
    )
    week = serializers.DateField(
        required=False, help_text="that several people answered, the last within seven days from this date."
    )
    offset = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_ID, default=0)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=100, default=20)


class DecisionIn(serializers.Serializer):
    """The label that is right."""

    label = LabelField()  # type: ignore[assignment]
    key = serializers.UUIDField(required=False, allow_null=True, help_text="Idempotency key; one for each decision.")


class CommentIn(serializers.Serializer):
    """Something to say about the item."""

    text = serializers.CharField(max_length=5_000)


class SendBackIn(serializers.Serializer):
    """Whose answer goes back, and why."""

    answer = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="The answer's id.")
    text = serializers.CharField(max_length=5_000, help_text="The reason; who answered reads it.")


class Disagreements(APIView):
    """Items on which people differ."""

    @extend_schema(operation_id="disagreements_list", parameters=[Query], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int) -> Response:
        """Items whose answers differ or whose label is unsure, least sure first, with all that was said."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        asked = valid(Query, request.query_params)
        offset, limit, state = asked.pop("offset"), asked.pop("limit"), asked.pop("state")
        found = disagreements.found(project, state, disagreements.Behind(**asked))
        page = disagreements.describe(project, found[offset : offset + limit], suggestions.latest(project))
        return Response({"count": len(found), "results": [one | {"item": shapes.item(one["item"])} for one in page]})


class Decision(APIView):
    """A reviewer's word on an item."""

    @extend_schema(operation_id="decisions_make", request=DecisionIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int, item_id: int) -> Response:
        """Decide: this outranks every answer, and the answers stay. Another decision takes its place."""
        project, item = _item(request, project_id, item_id)
        given = valid(DecisionIn, request.data)
        label, _value = kinds.of(project).read(project, given["label"])
        decided = answering.decide(
            project=project, item=item, reviewer=access.person(request), label=label, key=given.get("key"),
            now=timezone.now(),
        )  # fmt: skip
        return Response({"answer": shapes.answer(decided.answer)}, status=201 if decided.created else 200)

    @extend_schema(operation_id="decisions_take_back", responses={204: None})
    def delete(self, request: Request, project_id: int, item_id: int) -> Response:
        """Take the decision back: what people answered counts again."""
        project, item = _item(request, project_id, item_id)
        answering.undecide(project=project, item=item, reviewer=access.person(request), now=timezone.now())
        return Response(status=204)


class Comments(APIView):
    """What is said about an item."""

    @extend_schema(operation_id="comments_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int, item_id: int) -> Response:
        """The item's thread, oldest first."""
        project, item = _item(request, project_id, item_id)
        return Response({"results": disagreements.comments(project, [item.pk])[item.pk]})

    @extend_schema(operation_id="comments_add", request=CommentIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int, item_id: int) -> Response:
        """Add to the thread."""
        project, item = _item(request, project_id, item_id)
        text = valid(CommentIn, request.data)["text"]
        said = Comment.objects.create(
            project=project, item=item, author=access.person(request), text=text, created_at=timezone.now()
        )
        return Response(disagreements.comment(said), status=201)


class SendBack(APIView):
    """An answer that goes back to whoever gave it."""

    @extend_schema(operation_id="answers_send_back", request=SendBackIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int, item_id: int) -> Response:
        """Send it back: the answer is withdrawn, and its author is asked again before all else, with the reason."""
        project, item = _item(request, project_id, item_id)
        given = valid(SendBackIn, request.data)
        answer = access.row_of(project, Answer.objects.filter(item=item), pk=given["answer"])
        said = answering.send_back(
            project=project, answer=answer, reviewer=access.person(request), reason=given["text"], now=timezone.now()
        )
        return Response(disagreements.comment(said), status=201)


class Annotators(APIView):
    """How well people answer and agree."""

    @extend_schema(operation_id="annotators", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int) -> Response:
        """Each person's figures, each pair's and each label's agreement, and the whole project's by week."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        return Response(annotators.describe(project, timezone.now()))


def _item(request: Request, project_id: int, item_id: int) -> tuple[Project, Item]:
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    return project, access.row_of(project, Item, pk=item_id)


def _urls() -> list[Any]:
    one = r"^projects/(?P<project_id>\d{1,18})"
    item = one + r"/items/(?P<item_id>\d{1,18})"
    return [
        re_path(one + r"/disagreements/?$", Disagreements.as_view(), name="api_disagreements"),
        re_path(one + r"/annotators/?$", Annotators.as_view(), name="api_annotators"),
        re_path(item + r"/decision/?$", Decision.as_view(), name="api_decision"),
        re_path(item + r"/comments/?$", Comments.as_view(), name="api_comments"),
        re_path(item + r"/send-back/?$", SendBack.as_view(), name="api_send_back"),
    ]


urlpatterns = _urls()
