"""API of the overview: the numbers of a project, as its page shows them."""

from __future__ import annotations

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access, overview


@extend_schema(operation_id="overview", responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def overview_detail(request: Request, project_id: int) -> Response:
    """Progress by origin, the learning curve, each label, people's pace, flagged and skipped items."""
    project = access.project(access.person(request), project_id)
    return Response(overview.describe(project, timezone.now()))


urlpatterns = [re_path(r"^projects/(?P<project_id>\d{1,18})/overview/?$", overview_detail, name="api_overview")]
