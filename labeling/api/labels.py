"""API of labels: list, add, change, archive and delete them."""

from __future__ import annotations

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access
from labeling.api import shapes
from labeling.api.schema import valid
from labeling.flow import offering
from labeling.models import Label, Role


class LabelIn(serializers.Serializer):
    """A label to make."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(
        required=False, allow_blank=True, max_length=10_000, help_text="The model reads it too, before it has answers."
    )
    hotkey = serializers.CharField(required=False, allow_blank=True, max_length=1)
    color = serializers.RegexField(r"^(#[0-9a-fA-F]{6})?\Z", required=False, allow_blank=True, help_text="#2f5bd7")


class LabelChange(LabelIn):
    """What can be changed of a label."""

    archived = serializers.BooleanField(required=False, help_text="No longer offered; answers that gave it stay.")


class LabelOut(serializers.Serializer):
    """A label."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    hotkey = serializers.CharField()
    color = serializers.CharField()
    position = serializers.IntegerField(help_text="Its column in predictions, 0 first.")
    archived = serializers.BooleanField()


class Labels(APIView):
    """A project's labels."""

    @extend_schema(operation_id="labels_list", responses=LabelOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """All labels, archived ones too, by position."""
        project = access.project(access.person(request), project_id)
        return Response([shapes.label(label) for label in Label.objects.filter(project=project)])

    @extend_schema(operation_id="labels_create", request=LabelIn, responses={201: LabelOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Add a label."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        given = offering.NewLabel(**valid(LabelIn, request.data))
        return Response(shapes.label(offering.add(project=project, labels=[given])[0]), status=201)


class OneLabel(APIView):
    """One label."""

    @extend_schema(operation_id="labels_change", request=LabelChange(partial=True), responses=LabelOut)
    def patch(self, request: Request, project_id: int, label_id: str) -> Response:
        """Rename, describe, give a key or a colour, archive, bring back."""
        label = access.row_of(access.project(access.person(request), project_id, Role.ADMIN), Label, pk=label_id)
        values = valid(LabelChange, request.data, partial=True)
        return Response(shapes.label(offering.change(label=label, values=values, now=timezone.now())))

    @extend_schema(operation_id="labels_delete", responses={200: LabelOut, 204: None})
    def delete(self, request: Request, project_id: int, label_id: str) -> Response:
        """Delete a label that nothing ever used (204); one that was used is archived and comes back (200)."""
        label = access.row_of(access.project(access.person(request), project_id, Role.ADMIN), Label, pk=label_id)
        if offering.remove(label=label, now=timezone.now()):
            return Response(status=204)
        return Response(shapes.label(label))


ALL = r"^projects/(?P<project_id>\d{1,18})/labels"
urlpatterns = [
    re_path(ALL + r"/?$", Labels.as_view(), name="api_labels"),
    re_path(ALL + r"/(?P<label_id>\d{1,18})/?$", OneLabel.as_view(), name="api_label"),
]
