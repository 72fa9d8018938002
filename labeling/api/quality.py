"""API of quality: how right the labels are, which answers are in doubt, which near-duplicates disagree."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, doubts, duplicates, live, quality, reviewed, suggestions
from labeling.api import shapes
from labeling.flow import doubting
from labeling.models import Item, Role


class MeasureOut(serializers.Serializer):
    """A measured share, in [0, 1], with its 95 % interval."""

    how = serializers.ChoiceField(choices=["audit", "reference", "gold", "random", "cross_validation"])
    estimate = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    count = serializers.IntegerField(help_text="Cases it was measured on.")
    sample = serializers.IntegerField(required=False, help_text="The audit sample's number.")


class OriginOut(serializers.Serializer):
    """The labels of one origin, and how right they are as far as that was measured."""

    origin = serializers.ChoiceField(choices=["answered", "imported", "accepted", "open"])
    count = serializers.IntegerField()
    measures = MeasureOut(many=True)


class DoubtsOut(serializers.Serializer):
    """How many answers may be mistakes."""

    count = serializers.IntegerField(help_text="Answers for which the model finds another label likelier.")
    likely = serializers.IntegerField(help_text="The likeliest mistakes of them, as many as are expected.")
    sure = serializers.IntegerField(help_text="Those of them whose other label the model is confident of.")
    checked = serializers.IntegerField(help_text="Answers that were held back from a model.")
    expected = serializers.FloatField(help_text="How many of these are expected to be mistakes.")


class QualityOut(serializers.Serializer):
    """What is known of the labels' quality."""

    origins = OriginOut(many=True)
    confusion = serializers.DictField(help_text="`cells[i][j]`: answers of `labels[i]` of which the model said [j].")
    doubts = DoubtsOut()
    duplicates = serializers.IntegerField(help_text="Pairs of near-duplicates with different labels.")
    flagged = serializers.IntegerField()
    agreement = serializers.DictField(help_text="`people` who answered, and Krippendorff's `alpha` with its interval.")
    gold = serializers.IntegerField(help_text="Gold items.")
    calibration = serializers.DictField(allow_null=True, help_text="How far the confidences can be believed.")
    certificates = serializers.ListField(child=serializers.DictField(), help_text="The newest ones.")


class DoubtOut(serializers.Serializer):
    """An answer that the model, while it was held back from it, found unlikely."""

    item = serializers.DictField()
    label = serializers.IntegerField()  # type: ignore[assignment]
    said = serializers.IntegerField(help_text="The label that the model finds likelier.")
    p_label = serializers.FloatField()
    p_said = serializers.FloatField()
    chance = serializers.FloatField(help_text="Of the answer's being a mistake, in [0, 1].")
    likely = serializers.BooleanField(help_text="Whether it is a mistake rather than not, or among the `expected`.")
    sure = serializers.BooleanField(help_text="Whether the model is confident of the other label.")
    by = serializers.ListField(child=serializers.CharField(), help_text="Who answered; empty for imported ones.")


class PairOut(serializers.Serializer):
    """Two items that are nearly the same and have different labels."""

    cosine = serializers.FloatField()
    items = serializers.ListField(child=serializers.DictField())


class Standing(serializers.Serializer):
    """Where an item stands now."""

    item = serializers.IntegerField()
    status = serializers.CharField()
    label = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]


class Quality(APIView):
    """The quality page's numbers."""

    @extend_schema(operation_id="quality", responses=QualityOut)
    def get(self, request: Request, project_id: int) -> Response:
        """Accuracy by origin where it was measured, confusions, and how many answers are in doubt."""
        return Response(quality.describe(access.project(access.person(request), project_id, Role.REVIEWER)))


class Doubts(APIView):
    """Answers in doubt."""

    @extend_schema(operation_id="doubts_list", responses=DoubtOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """The likeliest mistake first, at most 500; what was corrected, asked again or confirmed is gone."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        return Response([doubt_shown(doubt) for doubt in doubts.open_doubts(project)])


class Keep(APIView):
    """A reviewer's confirmation that a label is right."""

    @extend_schema(operation_id="doubts_keep", request=None, responses={201: Standing})
    def post(self, request: Request, project_id: int, item_id: str) -> Response:
        """Doubt this item's label no more."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        item = access.row_of(project, Item, pk=item_id)
        doubting.keep(item=item, reviewer=access.person(request), now=timezone.now())
        return Response(_standing(item), status=201)

    @extend_schema(operation_id="doubts_keep_undo", responses={204: None})
    def delete(self, request: Request, project_id: int, item_id: str) -> Response:
        """Take the confirmation back."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        doubting.doubt_again(item=access.row_of(project, Item, pk=item_id))
        return Response(status=204)


class AskAgain(APIView):
    """An item whose answer is withdrawn, to be asked once more."""

    @extend_schema(operation_id="doubts_ask_again", request=None, responses={201: Standing})
    def post(self, request: Request, project_id: int, item_id: str) -> Response:
        """Withdraw the item's answers and ask it before all others. What was said stays in its history."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        item = access.row_of(project, Item, pk=item_id)
        item = doubting.ask_again(item=item, reviewer=access.person(request), now=timezone.now())
        live.publish(project.pk, "progress", shapes.progress(project, suggestions.latest(project)))
        return Response(_standing(item), status=201)


class Duplicates(APIView):
    """Near-duplicates that disagree."""

    @extend_schema(operation_id="duplicates_list", responses=PairOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """Pairs of items with a cosine of at least 0.95 and different labels, the most alike first, at most 200."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        return Response([pair_shown(pair) for pair in duplicates.disagreeing(project)])


def doubt_shown(doubt: dict[str, Any]) -> dict[str, Any]:
    """A doubt in plain values."""
    shown = {key: doubt[key] for key in ("p_label", "p_said", "chance", "likely", "sure", "by")}
    item = reviewed.describe_item(doubt["item"]) | {"status": doubt["item"].status}
    return {"item": item, "label": doubt["label_id"], "said": doubt["said_id"]} | shown


def pair_shown(pair: duplicates.Pair) -> dict[str, Any]:
    """A pair in plain values."""
    items = [reviewed.describe_item(item) | _standing(item) for item in (pair.first, pair.second)]
    return {"cosine": round(pair.cosine, 4), "items": items}


def _standing(item: Item) -> dict[str, Any]:
    return {"item": item.pk, "status": item.status, "label": item.label_id}


def _project(what: str) -> str:
    return r"^projects/(?P<project_id>\d{1,18})/" + what + r"/?$"


urlpatterns = [
    re_path(_project("quality"), Quality.as_view(), name="api_quality"),
    re_path(_project("doubts"), Doubts.as_view(), name="api_doubts"),
    re_path(_project(r"doubts/(?P<item_id>\d{1,18})/keep"), Keep.as_view(), name="api_doubt_keep"),
    re_path(_project(r"doubts/(?P<item_id>\d{1,18})/ask-again"), AskAgain.as_view(), name="api_doubt_ask_again"),
    re_path(_project("duplicates"), Duplicates.as_view(), name="api_duplicates"),
]
