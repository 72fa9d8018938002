"""API of gold items: those whose label is known, which score whoever answers them."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, annotators, kinds
from labeling.api.people import member_shown
from labeling.api.schema import LARGEST_ID, Choice, LabelField, valid
from labeling.errors import BadField
from labeling.flow import examining
from labeling.models import Gold, Item, Member, Role


class GoldIn(serializers.Serializer):
    """One item with its label, or some at random from a source."""

    source = Choice(  # type: ignore[assignment] # a serializer's own "source" names an attribute, which we do not use
        choices=Gold.Source.choices, required=False, default=Gold.Source.HAND
    )
    count = serializers.IntegerField(required=False, min_value=1, max_value=examining.MOST, default=20)
    item = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="With “hand”.")
    label = LabelField(required=False)  # type: ignore[assignment]


class GoldItems(APIView):
    """A project's gold items."""

    @extend_schema(operation_id="gold_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int) -> Response:
        """The gold items, newest first, with how people did on each, and how many there are."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        told = annotators.gold_items(project)
        return Response(
            {"count": Gold.objects.filter(project=project).count(), "results": [shown(one) for one in told]}
        )

    @extend_schema(operation_id="gold_choose", request=GoldIn, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, project_id: int) -> Response:
        """Make items gold: some at random whose label is known, or one by hand. They are mixed in unmarked."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        given, by, now = valid(GoldIn, request.data), access.person(request), timezone.now()
        if given["source"] != Gold.Source.HAND:
            made = examining.choose(project=project, source=given["source"], count=given["count"], by=by, now=now)
            return Response({"count": len(made)}, status=201)
        for name in ("item", "label"):
            if name not in given:
                raise BadField(name, _("Give the item and its label, or another source."))
        item = access.row_of(project, Item, pk=given["item"])
        label, _value = kinds.of(project).read(project, given["label"])
        examining.set_by_hand(project=project, item=item, label=label, by=by, now=now)
        return Response({"count": 1}, status=201)


class OneGold(APIView):
    """One gold item."""

    @extend_schema(operation_id="gold_unset", responses={204: None})
    def delete(self, request: Request, project_id: int, item_id: int) -> Response:
        """Make it gold no more."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        examining.unset(project=project, item=access.row_of(project, Item, pk=item_id))
        return Response(status=204)


class Resume(APIView):
    """A paused member."""

    @extend_schema(operation_id="members_resume", request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int, member_id: int) -> Response:
        """Lift the pause; gold answers count anew from here."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        member = access.row_of(project, Member.objects.select_related("user"), pk=member_id)
        return Response(member_shown(examining.resume(member=member, now=timezone.now())))


def shown(told: dict[str, Any]) -> dict[str, Any]:
    """A gold item and its answers in plain values."""
    gold: Gold = told["gold"]
    known = {"item": gold.item_id, "row": gold.item.row, "label": gold.label_id, "source": gold.source}
    return known | {name: told[name] for name in ("right", "of", "wrong")}


ONE = r"^projects/(?P<project_id>\d{1,18})"
urlpatterns = [
    re_path(ONE + r"/gold/?$", GoldItems.as_view(), name="api_gold"),
    re_path(ONE + r"/gold/(?P<item_id>\d{1,18})/?$", OneGold.as_view(), name="api_one_gold"),
    re_path(ONE + r"/members/(?P<member_id>\d{1,18})/resume/?$", Resume.as_view(), name="api_resume"),
]
