"""API of snapshots: what each adaptation learned from and how well it did."""

from __future__ import annotations

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access
from labeling.api import outlines
from labeling.models import Snapshot


class SnapshotPages(LimitOffsetPagination):
    """50 at a time."""

    default_limit = 50
    max_limit = 500


@extend_schema(operation_id="snapshots_list", responses=outlines.SnapshotPage)
@api_view(["GET"])
def snapshot_list(request: Request, project_id: int) -> Response:
    """The project's snapshots, newest first. `labels` are label ids in the order of the columns."""
    project = access.project(access.person(request), project_id)
    pages = SnapshotPages()
    fields = ("number", "answers", "items", "labels", "facts", "estimates", "seconds", "created_at")
    found = Snapshot.objects.filter(project=project).order_by("-number").values(*fields)
    return pages.get_paginated_response(pages.paginate_queryset(found, request))


urlpatterns = [re_path(r"^projects/(?P<project_id>\d{1,18})/snapshots/?$", snapshot_list, name="api_snapshots")]
