"""API of the evaluation: how the suggestions did that people answered afterwards."""

from __future__ import annotations

from django.urls import re_path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access, evaluation
from labeling.models import Role


@extend_schema(operation_id="evaluation", responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def evaluation_detail(request: Request, project_id: int) -> Response:
    """Accuracy by the way items were asked and over time, calibration, and how the queue is mixed because of it."""
    return Response(evaluation.describe(access.project(access.person(request), project_id, Role.REVIEWER)))


urlpatterns = [re_path(r"^projects/(?P<project_id>\d{1,18})/evaluation/?$", evaluation_detail, name="api_evaluation")]
