"""API of checkpoints: which there are, which one a project uses, comparing two, and going by an earlier snapshot."""

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

from labeling import access, checkpoints, jobs, suggestions
from labeling.api.jobs import JobOut
from labeling.api.schema import valid
from labeling.errors import StaffOnly
from labeling.flow import choosing, founding, improving
from labeling.models import Job, Role

COMPARISONS = 20  # newest that are listed


class ChoiceIn(serializers.Serializer):
    """The checkpoint to begin with."""

    checkpoint = serializers.IntegerField(allow_null=True, help_text="null: the one in use everywhere.")


class PinIn(serializers.Serializer):
    """The snapshot to go by."""

    snapshot = serializers.IntegerField(allow_null=True, help_text="Its number; null: the newest again.")


class ComparisonIn(serializers.Serializer):
    """Two checkpoints."""

    first = serializers.IntegerField()
    second = serializers.IntegerField(help_text="Compared with the first: a gain above 0 means this one is better.")


class ImproveIn(serializers.Serializer):
    """How long to train; what is not given is chosen for a night's work."""

    tasks = serializers.IntegerField(required=False, min_value=10, max_value=5000)
    validation_tasks = serializers.IntegerField(required=False, min_value=5, max_value=2000)
    epochs = serializers.IntegerField(required=False, min_value=1, max_value=200)
    members = serializers.IntegerField(required=False, min_value=1, max_value=10)
    draws = serializers.IntegerField(required=False, min_value=2, max_value=50, help_text="Per project kept out.")
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31)


class FinishIn(serializers.Serializer):
    """Whether the project is finished, and whether its answers may be learned from."""

    finished = serializers.BooleanField()
    contributes = serializers.BooleanField(
        required=False, help_text="Whether its answers may improve the models of other projects on this server."
    )


class Checkpoints(APIView):
    """What projects can begin with."""

    @extend_schema(operation_id="checkpoints_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project_id: int) -> Response:
        """All checkpoints, newest first: sources, curves, evidence, and how they did in your projects."""
        user = access.person(request)
        project = access.project(user, project_id, Role.REVIEWER)
        return Response({"results": checkpoints.describe(access.project_names(user), project)})

    @extend_schema(operation_id="checkpoints_choose", request=ChoiceIn, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int) -> Response:
        """Let the project begin with this one; it adapts anew."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        chosen = access.checkpoint(valid(ChoiceIn, request.data)["checkpoint"])
        choosing.choose(project=project, checkpoint=chosen)
        return Response({"checkpoint": chosen.pk if chosen else None})


class Use(APIView):
    """The checkpoint in use everywhere."""

    @extend_schema(operation_id="checkpoints_use", request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, checkpoint_id: str) -> Response:
        """Use this one wherever a project has none of its own. Going back to an earlier one is the same; staff only."""
        if not access.may_create_projects(access.person(request)):
            raise StaffOnly
        used = choosing.use(checkpoint=access.known_checkpoint(int(checkpoint_id)), now=timezone.now())
        return Response({"checkpoint": used.pk})


class Pin(APIView):
    """Going by an earlier snapshot."""

    @extend_schema(operation_id="snapshots_pin", request=PinIn, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int) -> Response:
        """Show, review and ask by this snapshot until told otherwise; answers go on counting."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        number = valid(PinIn, request.data)["snapshot"]
        snapshot = None if number is None else suggestions.numbered(project, number)
        choosing.pin(project=project, snapshot=snapshot)
        return Response({"snapshot": number})


class Comparisons(APIView):
    """Comparisons of two checkpoints on the project's answers."""

    @extend_schema(operation_id="comparisons_list", responses=JobOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """The newest; `result` has accuracy and log-likelihood gained with their intervals."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        found = Job.objects.filter(project=project, kind=Job.Kind.COMPARE).order_by("-pk")[:COMPARISONS]
        return Response([_with_question(job) for job in found])

    @extend_schema(operation_id="comparisons_begin", request=ComparisonIn, responses={202: JobOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Compare two, each answer judged by models that learned from the others."""
        user = access.person(request)
        project = access.project(user, project_id, Role.ADMIN)
        given = {name: access.known_checkpoint(pk) for name, pk in valid(ComparisonIn, request.data).items()}
        return Response(_with_question(choosing.compare(project=project, by=user, **given)), status=202)


class Improvements(APIView):
    """Learning from finished projects."""

    @extend_schema(operation_id="improvements_begin", request=ImproveIn, responses={202: JobOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Train on all contributing projects; the result is used only if it is better on projects kept out."""
        user = access.person(request)
        project = access.project(user, project_id, Role.ADMIN)
        job = improving.begin(project=project, by=user, asked=valid(ImproveIn, request.data))
        return Response(jobs.describe(job), status=202)


class Finish(APIView):
    """The end of a project's labelling."""

    @extend_schema(operation_id="projects_finish", request=FinishIn, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project_id: int) -> Response:
        """Say that it is finished, or goes on after all, and whether its answers may be learned from."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        given = valid(FinishIn, request.data)
        founding.finish(project=project, now=timezone.now(), **given)
        return Response({"finished": project.finished_at is not None, "contributes": project.contributes})


def _with_question(job: Job) -> dict[str, Any]:
    return jobs.describe(job) | {"arguments": job.arguments}


PROJECT = r"^projects/(?P<project_id>\d{1,18})"
urlpatterns = [
    re_path(PROJECT + r"/checkpoints/?$", Checkpoints.as_view(), name="api_checkpoints"),
    re_path(PROJECT + r"/comparisons/?$", Comparisons.as_view(), name="api_comparisons"),
    re_path(PROJECT + r"/improvements/?$", Improvements.as_view(), name="api_improvements"),
    re_path(PROJECT + r"/pin/?$", Pin.as_view(), name="api_pin"),
    re_path(PROJECT + r"/finish/?$", Finish.as_view(), name="api_finish"),
    re_path(r"^checkpoints/(?P<checkpoint_id>\d{1,18})/use/?$", Use.as_view(), name="api_checkpoint_use"),
]
