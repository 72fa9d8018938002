"""API of projects: list, make, look at, change and delete them."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import re_path
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access
from labeling.api import shapes
from labeling.api.labels import LabelIn, LabelOut
from labeling.api.schema import Choice, valid
from labeling.errors import StaffOnly
from labeling.flow import founding, offering
from labeling.models import Member, Project, Role, Tally


class ProjectPages(LimitOffsetPagination):
    """50 at a time."""

    default_limit = 50
    max_limit = 200


class NameOrLabel(LabelIn):
    """A label, or its name alone."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({"name": data} if isinstance(data, str) else data)


class Settings(serializers.Serializer):
    """What can be changed of a project."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    guidelines = serializers.CharField(
        required=False, allow_blank=True, max_length=200_000, trim_whitespace=False, help_text="Markdown."
    )
    show_suggestions = serializers.BooleanField(required=False, help_text="Before they answer.")
    goal_accuracy = serializers.FloatField(required=False, min_value=0.5, max_value=1)
    lease_seconds = serializers.IntegerField(
        required=False, min_value=founding.LEASE_SECONDS[0], max_value=founding.LEASE_SECONDS[1]
    )
    random_share = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Share of the queue asked at random, in [0, 1]."
    )
    overlap = serializers.IntegerField(
        required=False, min_value=1, max_value=founding.MOST_OVERLAP, help_text="Answers by different people an item."
    )
    overlap_mode = Choice(choices=Project.Overlap.choices, required=False)
    overlap_share = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Share of the items, where overlap_mode is “share”."
    )
    sure_enough = serializers.FloatField(
        required=False, min_value=0.5, max_value=0.999, help_text="Posterior at which “adaptive” asks nobody else."
    )
    consensus = Choice(choices=Project.Consensus.choices, required=False)
    visibility = Choice(
        choices=Project.Visibility.choices, required=False, help_text="What annotators see of each other's answers."
    )
    gold_share = serializers.FloatField(
        required=False, min_value=0, max_value=0.5, help_text="Share of questions that are gold items."
    )
    gold_threshold = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Accuracy on gold items below which one is warned of."
    )
    gold_pause = serializers.BooleanField(required=False, help_text="Pause whose whole interval lies below it.")
    training_items = serializers.IntegerField(
        required=False, min_value=0, max_value=founding.MOST_TRAINING, help_text="Gold items that newcomers begin with."
    )
    tunes = serializers.BooleanField(
        required=False, help_text="The encoder's top layers learn from the answers, in the background."
    )
    encoder = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="Empty: by the data.")
    contributes = serializers.BooleanField(
        required=False, help_text="Its answers may improve the models of other projects on this server."
    )
    reuses = serializers.BooleanField(
        required=False, help_text="Labels that contributing projects have too begin with what those learned."
    )


class ProjectIn(Settings):
    """A project to make."""

    modality = Choice(choices=Project.Modality.choices)
    labels = NameOrLabel(many=True, required=False, help_text="Each a name, or a name with description, hotkey, color.")


class ProgressOut(serializers.Serializer):
    """How many items stand where."""

    items = serializers.IntegerField()
    open = serializers.IntegerField()
    answered = serializers.IntegerField(help_text="By people.")
    imported = serializers.IntegerField(help_text="Their label came with the file.")
    accepted = serializers.IntegerField(help_text="Suggested by the model and accepted by a person.")


class ProjectOut(serializers.Serializer):
    """A project as its members see it."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    modality = serializers.ChoiceField(choices=Project.Modality.choices)
    kind = serializers.ChoiceField(choices=Project.Kind.choices)
    guidelines = serializers.CharField()
    show_suggestions = serializers.BooleanField()
    goal_accuracy = serializers.FloatField()
    lease_seconds = serializers.IntegerField()
    random_share = serializers.FloatField()
    overlap = serializers.IntegerField()
    overlap_mode = serializers.ChoiceField(choices=Project.Overlap.choices)
    overlap_share = serializers.FloatField()
    sure_enough = serializers.FloatField()
    consensus = serializers.ChoiceField(choices=Project.Consensus.choices)
    visibility = serializers.ChoiceField(choices=Project.Visibility.choices)
    gold_share = serializers.FloatField()
    gold_threshold = serializers.FloatField()
    gold_pause = serializers.BooleanField()
    training_items = serializers.IntegerField()
    tunes = serializers.BooleanField()
    encoder = serializers.CharField()
    contributes = serializers.BooleanField()
    reuses = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    role = serializers.ChoiceField(choices=Role.choices)
    labels = LabelOut(many=True)
    progress = ProgressOut()


class Deletion(serializers.Serializer):
    """The project's name, as a sign that it is meant."""

    name = serializers.CharField(help_text="The project's name, exactly.")


Listed = inline_serializer(
    "ProjectList",
    {
        "count": serializers.IntegerField(),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": ProjectOut(many=True),
    },
)


class Projects(APIView):
    """The projects of the person who asks."""

    @extend_schema(operation_id="projects_list", responses=Listed)
    def get(self, request: Request) -> Response:
        """The projects that you are a member of, newest first."""
        pages = ProjectPages()
        found = (
            pages.paginate_queryset(access.projects_of(access.person(request)).prefetch_related("labels"), request)
            or []
        )
        roles = dict(
            Member.objects.filter(user=access.person(request), project__in=found).values_list("project_id", "role")
        )
        return pages.get_paginated_response([shown(project, roles[project.pk]) for project in found])

    @extend_schema(operation_id="projects_create", request=ProjectIn, responses={201: ProjectOut})
    def post(self, request: Request) -> Response:
        """Make a project; you become its admin."""
        if not access.may_create_projects(access.person(request)):
            raise StaffOnly
        given = valid(ProjectIn, request.data)
        labels = [offering.NewLabel(**label) for label in given.pop("labels", [])]
        with transaction.atomic():
            project = founding.found(creator=access.person(request), **given)
            offering.add(project=project, labels=labels)
        return Response(shown(project, Role.ADMIN), status=201)


class OneProject(APIView):
    """One project."""

    @extend_schema(operation_id="projects_get", responses=ProjectOut)
    def get(self, request: Request, project_id: int) -> Response:
        """The project with its labels and progress."""
        member = access.membership(access.person(request), project_id)
        return Response(shown(member.project, member.role))

    @extend_schema(operation_id="projects_change", request=Settings(partial=True), responses=ProjectOut)
    def patch(self, request: Request, project_id: int) -> Response:
        """Change settings. Another encoder embeds all items anew."""
        member = access.membership(access.person(request), project_id, Role.ADMIN)
        founding.change(project=member.project, settings=valid(Settings, request.data, partial=True))
        return Response(shown(member.project, member.role))

    @extend_schema(operation_id="projects_delete", request=Deletion, responses={204: None})
    def delete(self, request: Request, project_id: int) -> Response:
        """Delete the project with all its items, answers and files, for good."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        founding.dissolve(project=project, by=access.person(request), name=valid(Deletion, request.data)["name"])
        return Response(status=204)


def shown(project: Project, role: str) -> dict[str, Any]:
    """The project as scripts get it."""
    fields = ("id", "name", "description", "modality", "kind", *founding.SETTINGS, "created_at")
    values: dict[str, Any] = {name: getattr(project, name) for name in fields}
    values["role"] = role
    values["labels"] = [shapes.label(label) for label in project.labels.all()]
    return values | {"progress": tallied(project.tally)}


def tallied(tally: Tally) -> dict[str, int]:
    """How many items stand where."""
    return {name: getattr(tally, name) for name in ("items", "open", "answered", "imported", "accepted")}


urlpatterns = [
    re_path(r"^projects/?$", Projects.as_view(), name="api_projects"),
    re_path(r"^projects/(?P<project_id>\d{1,18})/?$", OneProject.as_view(), name="api_project"),
]
