"""Labelling: the next items, answers, skips, flags and undo."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, kinds, suggestions
from labeling.api import shapes
from labeling.api.schema import LabelField
from labeling.errors import BadField
from labeling.flow import answering, queueing
from labeling.models import Answer, Gold, Item, Member, Origin, Project, Purpose, Role, User

LARGEST_HAND = 50  # items that one tab may hold at a time


class AnswerIn(serializers.Serializer):
    """An answer to one item."""

    item = serializers.IntegerField(help_text="The item's id.")
    label = LabelField(  # type: ignore[assignment] # a serializer's own "label" is its title, which we do not use
        help_text="The label's id or its name."
    )
    key = serializers.UUIDField(required=False, allow_null=True, help_text="Idempotency key; one for each answer.")
    seconds = serializers.FloatField(required=False, allow_null=True, min_value=0, help_text="From shown to answered.")
    tab = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")
    count = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_HAND, default=1)


class ItemIn(serializers.Serializer):
    """One item, and how many further ones to hand out."""

    item = serializers.IntegerField()
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    tab = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")
    count = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_HAND, default=1)


class TabIn(serializers.Serializer):
    """The browser tab that asks."""

    tab = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")


class Next(APIView):
    """Items for this person to answer."""

    @extend_schema(
        parameters=[
            OpenApiParameter("count", int, description="How many to hold in all, 1 to 50."),
            OpenApiParameter("tab", str, description="The tab that asks; what it holds already comes first."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        count = _count(request.query_params.get("count", "3"))
        return Response(_hand(project, request, request.query_params.get("tab", "")[:64], count))


class Answers(APIView):
    """This person's answers."""

    @extend_schema(
        parameters=[OpenApiParameter("limit", int, description="How many, newest first; 1 to 200.")],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        limit = _count(request.query_params.get("limit", "20"), field="limit", largest=200)
        mine = Answer.objects.filter(
            project=project, author=access.person(request), withdrawn_at=None, origin=Origin.PERSON
        )
        newest = mine.select_related("item").order_by("-pk")[:limit]
        return Response({"results": shapes.answers(project, access.person(request), list(newest))})

    @extend_schema(request=AnswerIn, responses={201: OpenApiTypes.OBJECT, 200: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        given = _valid(AnswerIn, request)
        label, value = kinds.of(project).read(project, given["label"])
        submitted = answering.submit(
            project=project,
            item=access.row_of(project, Item, pk=given["item"]),
            author=access.person(request),
            label=label,
            value=value,
            key=given.get("key"),
            seconds=given.get("seconds"),
            now=timezone.now(),
        )
        handed = _hand(project, request, given["tab"], given["count"])
        [answer] = shapes.answers(project, access.person(request), [submitted.answer])
        body = _feedback(submitted.answer) | {
            "answer": answer,
            "next": handed["items"],
            "progress": handed["progress"],
        }
        return Response(body, status=201 if submitted.created else 200)


class OneAnswer(APIView):
    """One of this person's answers, to take back."""

    @extend_schema(parameters=[OpenApiParameter("tab", str)], responses={200: OpenApiTypes.OBJECT})
    def delete(self, request: Request, project_id: int, answer_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        return _undone(project, request, request.query_params.get("tab", "")[:64], answer_id)


class Undo(APIView):
    """Take back the newest answer or skip."""

    @extend_schema(request=TabIn, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        return _undone(project, request, _valid(TabIn, request)["tab"], None)


class Skips(APIView):
    """Items left to others."""

    @extend_schema(request=ItemIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        given = _valid(ItemIn, request)
        answering.skip(
            project=project,
            item=access.row_of(project, Item, pk=given["item"]),
            author=access.person(request),
            now=timezone.now(),
        )
        handed = _hand(project, request, given["tab"], given["count"])
        return Response({"next": handed["items"], "progress": handed["progress"]}, status=201)


class OneSkip(APIView):
    """This person's skip of one item, to take back."""

    @extend_schema(parameters=[OpenApiParameter("tab", str)], responses={200: OpenApiTypes.OBJECT})
    def delete(self, request: Request, project_id: int, item_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        item = access.row_of(project, Item, pk=item_id)
        answering.unskip(item=item, author=access.person(request))
        return _held_again(project, request, request.query_params.get("tab", "")[:64], item)


class Flags(APIView):
    """Items that somebody should look at."""

    @extend_schema(request=ItemIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        given = _valid(ItemIn, request)
        item = access.row_of(project, Item, pk=given["item"])
        answering.flag(
            project=project, item=item, author=access.person(request), now=timezone.now(), note=given["note"]
        )
        return Response({"item": item.pk, "flagged": True, "note": given["note"]}, status=201)


class OneFlag(APIView):
    """This person's flag on one item."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, project_id: int, item_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        answering.unflag(item=access.row_of(project, Item, pk=item_id), author=access.person(request))
        return Response(status=204)


class Release(APIView):
    """Give back what a tab holds, when it is closed."""

    @extend_schema(request=TabIn, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int) -> Response:
        project = access.project(access.person(request), project_id)
        tab = _valid(TabIn, request)["tab"]
        return Response({"released": queueing.release(project=project, user=access.person(request), tab=tab)})


class Progress(APIView):
    """How far the project is."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int) -> Response:
        return Response(_progress(access.project(access.person(request), project_id), access.person(request)))


def _hand(project: Project, request: Request, tab: str, count: int) -> dict[str, Any]:
    now = timezone.now()
    leases = (
        queueing.claim(project=project, user=access.person(request), tab=tab, count=count, now=now) if count else []
    )
    snapshot = suggestions.latest(project)
    handed: dict[str, Any] = {
        "items": shapes.next_items(project, leases, snapshot),
        "progress": shapes.progress(project, snapshot),
    }
    if count and not leases:
        handed["waiting"] = queueing.waiting(project=project, user=access.person(request), now=now, tab=tab)
        if project.gold_pause and (admins := _paused(project, access.person(request))):
            handed["paused"] = admins
        handed["for_others"] = queueing.for_others(project=project, user=access.person(request))
    return handed


def _feedback(answer: Answer) -> dict[str, Any]:
    """What a newcomer is told after an answer in training; nothing after any other."""
    gold = Gold.objects.filter(item=answer.item_id).first() if answer.purpose == Purpose.TRAINING else None
    return {"feedback": {"right": gold.label_id == answer.label_id, "label": gold.label_id}} if gold else {}


def _paused(project: Project, user: User) -> list[str]:
    """Whom to ask, where this person is paused."""
    if not Member.objects.filter(project=project, user=user, paused_at__isnull=False).exists():
        return []
    admins = Member.objects.filter(project=project, role=Role.ADMIN).select_related("user").order_by("pk")
    return [str(admin.user) for admin in admins]


def _undone(project: Project, request: Request, tab: str, answer_id: int | None) -> Response:
    item = answering.undo(project=project, author=access.person(request), now=timezone.now(), answer_id=answer_id)
    return _held_again(project, request, tab, item)


def _held_again(project: Project, request: Request, tab: str, item: Item) -> Response:
    lease = queueing.hold(item=item, user=access.person(request), tab=tab, now=timezone.now())
    lease.item.project = project
    snapshot = suggestions.latest(project)
    [shown] = shapes.next_items(project, [lease], snapshot)
    return Response({"item": shown, "progress": shapes.progress(project, snapshot)})


def _progress(project: Project, user: User) -> dict[str, Any]:
    return shapes.progress(project, suggestions.latest(project), user)


def _valid(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _count(text: str, field: str = "count", largest: int = LARGEST_HAND) -> int:
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise BadField(field, _("Give a whole number from 1 to %(most)s.") % {"most": largest})
    return int(text)


PROJECT = r"^projects/(?P<project_id>\d+)"
urlpatterns = [
    re_path(PROJECT + r"/next/?$", Next.as_view(), name="api_next"),
    re_path(PROJECT + r"/answers/?$", Answers.as_view(), name="api_answers"),
    re_path(PROJECT + r"/answers/(?P<answer_id>\d+)/?$", OneAnswer.as_view(), name="api_answer"),
    re_path(PROJECT + r"/undo/?$", Undo.as_view(), name="api_undo"),
    re_path(PROJECT + r"/skips/?$", Skips.as_view(), name="api_skips"),
    re_path(PROJECT + r"/skips/(?P<item_id>\d+)/?$", OneSkip.as_view(), name="api_skip"),
    re_path(PROJECT + r"/flags/?$", Flags.as_view(), name="api_flags"),
    re_path(PROJECT + r"/flags/(?P<item_id>\d+)/?$", OneFlag.as_view(), name="api_flag"),
    re_path(PROJECT + r"/release/?$", Release.as_view(), name="api_release"),
    re_path(PROJECT + r"/progress/?$", Progress.as_view(), name="api_progress"),
]
