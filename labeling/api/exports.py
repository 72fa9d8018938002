"""API of exports: start one, follow it, download it in parts, delete it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access, exports, ranges
from labeling.api import outlines
from labeling.api.schema import Choice, valid
from labeling.errors import Conflict
from labeling.models import Role


class ExportOptions(serializers.Serializer[Any]):
    """What to write, and how."""

    format = Choice(choices=[(f.name, f.title) for f in exports.FORMATS.values()])
    origins = serializers.ListField(
        child=Choice(choices=exports.Origin.CHOICES),
        required=False,
        help_text="Labels of these origins only; all when left out.",
    )
    min_confidence = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        default=0.0,
        help_text="Of accepted labels and suggestions, in [0, 1].",
    )
    pseudonyms = serializers.BooleanField(required=False, default=False, help_text="annotator-1 instead of names.")
    include_open = serializers.BooleanField(required=False, default=False, help_text="Items without a label too.")
    include_suggestions = serializers.BooleanField(
        required=False, default=False, help_text="What the model suggests for open items too, marked as such."
    )
    data_card = serializers.BooleanField(
        required=False,
        default=False,
        help_text="A zip of the data, a data card (Markdown and HTML) and certificate.json, instead of the data alone.",
    )

    def validate_origins(self, value: list[str]) -> list[str]:
        """In their usual order, at least one."""
        if not value:
            raise serializers.ValidationError(_("Choose at least one origin."))
        return [name for name, _title in exports.Origin.CHOICES if name in value]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """All origins where none are named."""
        return {"origins": [name for name, _title in exports.Origin.CHOICES]} | attrs


class AnyType(BaseContentNegotiation):
    """Files go out as they are, whatever the Accept header names; DRF alone refuses `Accept: text/csv` with 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The first one; there is no body to parse."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """JSON, for errors."""
        return renderers[0], renderers[0].media_type


class ExportPages(LimitOffsetPagination):
    """50 at a time."""

    default_limit = 50
    max_limit = 200


@extend_schema(methods=["GET"], operation_id="exports_list", responses=outlines.ExportPage)
@extend_schema(
    methods=["POST"], operation_id="exports_create", request=ExportOptions, responses={202: outlines.ExportOut}
)
@api_view(["GET", "POST"])
def export_list(request: Request, project_id: int) -> Response:
    """The project's exports, newest first; or start another."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    if request.method == "POST":
        options = valid(ExportOptions, request.data)
        export = exports.request(project=project, by=access.person(request), options=options, now=timezone.now())
        return Response(exports.describe(export), status=202)
    pages = ExportPages()
    found = pages.paginate_queryset(exports.of(project), request) or []
    return pages.get_paginated_response([exports.describe(export) for export in found])


@extend_schema(methods=["GET"], operation_id="exports_get", responses=outlines.ExportOut)
@extend_schema(methods=["DELETE"], operation_id="exports_delete", responses={202: outlines.ExportOut, 204: None})
@api_view(["GET", "DELETE"])
def export_detail(request: Request, project_id: int, export_id: int) -> Response:
    """One export. Deleting one that is still being made stops it (202); one that has ended goes with its file (204)."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    export = access.row_of(project, exports.of(project), pk=export_id)
    if request.method == "DELETE":
        if exports.delete(export):
            return Response(status=204)
        return Response(exports.describe(access.row_of(project, exports.of(project), pk=export_id)), status=202)
    return Response(exports.describe(export))


@extend_schema(
    operation_id="exports_download",
    parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="bytes=first-last; one range.")],
    responses={
        (200, "application/octet-stream"): OpenApiTypes.BINARY,
        (206, "application/octet-stream"): OpenApiTypes.BINARY,
        304: OpenApiResponse(description="Not changed."),
        416: OpenApiResponse(description="The range lies outside the file."),
    },
)
@api_view(["GET", "HEAD"])
def export_download(request: Request, project_id: int, export_id: int) -> HttpResponseBase:
    """The file, whole or from where a download broke off."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    export = access.row_of(project, exports.of(project), pk=export_id)
    if not exports.is_ready(export):
        raise Conflict(_("The file is not ready: %(state)s.") % {"state": export.job.get_state_display()})
    return ranges.serve(
        request._request,
        path=export.path,
        size=export.size,
        name=export.name,
        content_type=exports.content_type(export),
        etag=f"export-{export.pk}-{export.size}",
        changed=export.job.finished_at or export.created_at,
    )


export_download.cls.content_negotiation_class = AnyType

ONE = r"^projects/(?P<project_id>\d{1,18})/exports/(?P<export_id>\d{1,18})"
urlpatterns = [
    re_path(r"^projects/(?P<project_id>\d{1,18})/exports/?$", export_list, name="api_exports"),
    re_path(ONE + r"/?$", export_detail, name="api_export"),
    re_path(ONE + r"/download/?$", export_download, name="api_export_download"),
]
