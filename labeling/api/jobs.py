"""API of jobs: what runs in the background, how far it is, stopping it, and the rows an import left out."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import re_path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, jobs
from labeling.errors import Conflict
from labeling.models import BadRow, Job, Role

ENDED = (Job.State.DONE, Job.State.FAILED, Job.State.CANCELLED)


class JobOut(serializers.Serializer):
    """A piece of background work."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Job.Kind.choices)
    state = serializers.ChoiceField(choices=Job.State.choices)
    done = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0: not known yet.")
    unit = serializers.CharField(help_text="What is counted: rows, bytes, items.")
    error = serializers.CharField(help_text="What went wrong and the way out; empty if nothing did.")
    result = serializers.DictField(help_text="What it has done so far.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BadRowOut(serializers.Serializer):
    """A row that an import left out."""

    number = serializers.IntegerField(help_text="1 first.")
    column = serializers.CharField()
    reason = serializers.CharField()


def _paged(name: str, child: serializers.Serializer) -> Any:
    whole, link = serializers.IntegerField(), serializers.URLField(allow_null=True)
    return inline_serializer(
        name, {"count": whole, "next": link, "previous": serializers.URLField(allow_null=True), "results": child}
    )


class JobPages(LimitOffsetPagination):
    """50 at a time."""

    default_limit = 50
    max_limit = 1000


class Jobs(APIView):
    """A project's jobs."""

    @extend_schema(
        operation_id="jobs_list",
        parameters=[OpenApiParameter("kind", str, enum=Job.Kind.values)],
        responses=_paged("JobList", JobOut(many=True)),
    )
    def get(self, request: Request, project_id: int) -> Response:
        """Jobs, newest first."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        found = Job.objects.filter(project=project).order_by("-pk")
        if kind := request.query_params.get("kind"):
            found = found.filter(kind=kind)
        pages = JobPages()
        return pages.get_paginated_response(
            [jobs.describe(job) for job in pages.paginate_queryset(found, request) or []]
        )


class OneJob(APIView):
    """One job."""

    @extend_schema(operation_id="jobs_get", responses=JobOut)
    def get(self, request: Request, project_id: int, job_id: str) -> Response:
        """How far it is."""
        project = access.project(access.person(request), project_id, Role.REVIEWER)
        return Response(jobs.describe(access.row_of(project, Job, pk=job_id)))


class Cancel(APIView):
    """Stopping a job."""

    @extend_schema(operation_id="jobs_cancel", request=None, responses={202: JobOut})
    def post(self, request: Request, project_id: int, job_id: str) -> Response:
        """Ask it to stop; what it has done by then stays."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        job = access.row_of(project, Job, pk=job_id)
        if job.state in ENDED:
            raise Conflict(_("The job has ended already: %(state)s.") % {"state": job.get_state_display()})
        jobs.cancel(job)
        job.refresh_from_db()
        return Response(jobs.describe(job), status=202)


class BadRows(APIView):
    """The rows that an import left out."""

    @extend_schema(operation_id="jobs_bad_rows", responses=_paged("BadRowList", BadRowOut(many=True)))
    def get(self, request: Request, project_id: int, job_id: str) -> Response:
        """Number, column and reason of each; the first 1,000 are kept, `result.bad` counts them all."""
        found = _bad_rows(request, project_id, job_id).values("number", "column", "reason")
        pages = JobPages()
        return pages.get_paginated_response(pages.paginate_queryset(found, request))


class BadRowsFile(APIView):
    """The same as a file."""

    @extend_schema(operation_id="jobs_bad_rows_csv", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, project_id: int, job_id: str) -> HttpResponseBase:
        """The rows left out, as CSV."""
        found = _bad_rows(request, project_id, job_id)
        response = StreamingHttpResponse(list(_lines(found)), content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="bad-rows-{job_id}.csv"'
        return response


def _bad_rows(request: Request, project_id: int, job_id: str) -> Any:
    project = access.project(access.person(request), project_id, Role.ADMIN)
    job = access.row_of(project, Job, pk=job_id)
    return BadRow.objects.filter(job=job).order_by("number", "column")


class _Line:
    """A file that gives back each line that is written."""

    def write(self, line: str) -> str:
        return line


def _lines(rows: Any) -> Iterator[str]:
    writer = csv.writer(_Line())
    # The mark makes spreadsheets read the file as UTF-8.
    yield "\ufeff" + writer.writerow(["row", "column", "reason"])
    for row in rows:
        yield writer.writerow([row.number, _harmless(row.column), _harmless(row.reason)])


def _harmless(cell: str) -> str:
    """A cell that spreadsheets do not take for a formula."""
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


ALL = r"^projects/(?P<project_id>\d{1,18})/jobs"
ONE = ALL + r"/(?P<job_id>\d{1,18})"
urlpatterns = [
    re_path(ALL + r"/?$", Jobs.as_view(), name="api_jobs"),
    re_path(ONE + r"/?$", OneJob.as_view(), name="api_job"),
    re_path(ONE + r"/cancel/?$", Cancel.as_view(), name="api_job_cancel"),
    re_path(ONE + r"/bad_rows/?$", BadRows.as_view(), name="api_bad_rows"),
    re_path(ONE + r"/bad_rows\.csv$", BadRowsFile.as_view(), name="api_bad_rows_csv"),
]
