"""API of imports: upload a file, look into it, import it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, jobs
from labeling.api.jobs import JobOut
from labeling.api.schema import LARGEST_ID, Choice, valid
from labeling.errors import BadField
from labeling.flow import receiving
from labeling.formats import Given, Sniffed
from labeling.models import Project, Role, Upload

TEXT_FORMATS = ("csv", "tsv", "jsonl", "json", "text")


class GivenIn(serializers.Serializer):
    """What is known of the file; the rest is guessed."""

    format = Choice(choices=["", *TEXT_FORMATS, "parquet", "zip", "image"], required=False, help_text="Of a text file.")
    encoding = serializers.CharField(required=False, allow_blank=True, max_length=40)
    delimiter = serializers.CharField(required=False, allow_blank=True, max_length=1, trim_whitespace=False)
    header = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="First line names columns."
    )


class NamesQuery(GivenIn):
    """Which column to look through."""

    label = serializers.CharField(required=False, allow_blank=True, max_length=1000, default="")  # type: ignore[assignment]


class ImportIn(GivenIn):
    """What to import, and how. Everything left out is guessed."""

    upload = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="An upload's id.")
    file = serializers.FileField(required=False, help_text="Or the file itself, as multipart.")
    item = serializers.CharField(
        required=False, allow_blank=True, max_length=1000, help_text="The text's or image's column."
    )
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=1000, help_text="The label's column; “-”: there is none."
    )
    external_id = serializers.CharField(
        required=False, allow_blank=True, max_length=1000, help_text="The column of your own ids; “-”: there is none."
    )
    labels = Choice(
        choices=receiving.LABEL_MODES,
        required=False,
        default="answers",
        help_text="answers: as imported answers. reference: hidden, to measure against. ignore: leave them out.",
    )
    create_labels = serializers.BooleanField(required=False, default=True, help_text="Make labels not known yet.")


class FileIn(serializers.Serializer):
    """A file."""

    file = serializers.FileField()


class GuessOut(serializers.Serializer):
    """Which column is likely what."""

    item = serializers.CharField()
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    external_id = serializers.CharField(allow_null=True)


class Preview(serializers.Serializer):
    """What the file is and its first rows."""

    format = serializers.CharField()
    encoding = serializers.CharField(allow_blank=True)
    delimiter = serializers.CharField(allow_blank=True)
    header = serializers.BooleanField()
    modality = serializers.ChoiceField(choices=Project.Modality.choices)
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    guess = GuessOut()
    warnings = serializers.ListField(child=serializers.CharField())
    row_estimate = serializers.IntegerField()
    exact = serializers.BooleanField(help_text="Whether `row_estimate` is a count.")


class UploadOut(serializers.Serializer):
    """An uploaded file."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    preview = Preview()


class NameOut(serializers.Serializer):
    """A label's name in the file."""

    name = serializers.CharField()
    count = serializers.IntegerField()
    known = serializers.BooleanField(help_text="Whether the project has this label.")


class NamesOut(serializers.Serializer):
    """Label names in the file's first rows."""

    labels = NameOut(many=True)
    distinct = serializers.IntegerField()
    rows = serializers.IntegerField(help_text="How many were looked through.")
    bad = serializers.IntegerField(help_text="How many of them cannot be used.")
    complete = serializers.BooleanField(help_text="Whether that was the whole file.")


class Uploads(APIView):
    """Files that were uploaded."""

    parser_classes = [MultiPartParser]

    @extend_schema(operation_id="uploads_create", request={"multipart/form-data": FileIn}, responses={201: UploadOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Upload a file and see what it is; nothing is imported yet."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        upload = _keep(request, project)
        return Response(_with_preview(upload, Given()), status=201)


class OneUpload(APIView):
    """One uploaded file."""

    @extend_schema(operation_id="uploads_get", parameters=[GivenIn], responses=UploadOut)
    def get(self, request: Request, project_id: int, upload_id: str) -> Response:
        """Look into the file again, with another format, encoding, delimiter or header."""
        upload = _upload(request, project_id, upload_id)
        return Response(_with_preview(upload, _given(valid(GivenIn, request.query_params))))

    @extend_schema(operation_id="uploads_delete", responses={204: None})
    def delete(self, request: Request, project_id: int, upload_id: str) -> Response:
        """Forget the file. What was imported from it stays."""
        receiving.discard(upload=_upload(request, project_id, upload_id))
        return Response(status=204)


class UploadLabels(APIView):
    """The label names in an uploaded file."""

    @extend_schema(operation_id="uploads_labels", parameters=[NamesQuery], responses=NamesOut)
    def get(self, request: Request, project_id: int, upload_id: str) -> Response:
        """Which labels the first rows have, and which of them the project does not know."""
        upload = _upload(request, project_id, upload_id)
        asked = valid(NamesQuery, request.query_params)
        return Response(receiving.names_in(upload, _given(asked), asked["label"]))


class Imports(APIView):
    """Importing."""

    parser_classes = [JSONParser, MultiPartParser]

    @extend_schema(
        operation_id="imports_create",
        request={"application/json": ImportIn, "multipart/form-data": ImportIn},
        responses={202: JobOut},
    )
    def post(self, request: Request, project_id: int) -> Response:
        """Import a file in the background; follow the job. Importing it again adds nothing twice."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        _refuse_too_large(request)
        given = valid(ImportIn, request.data)
        upload = _chosen(request, project, given)
        choices = receiving.Choices(
            _given(given),
            **{name: given.get(name, "") for name in ("item", "label", "external_id", "labels")},
            create_labels=given["create_labels"],
        )
        job = receiving.begin(project=project, upload=upload, choices=choices, by=access.person(request))
        return Response(jobs.describe(job), status=202)


def _chosen(request: Request, project: Project, given: dict[str, Any]) -> Upload:
    if ("upload" in given) == ("file" in given):
        raise BadField("upload", _("Give either the id of an upload or a file."))
    if "upload" in given:
        return access.row_of(project, Upload, pk=given["upload"])
    return receiving.keep(project=project, file=given["file"], by=access.person(request), now=timezone.now())


def _keep(request: Request, project: Project) -> Upload:
    _refuse_too_large(request)
    file: File = valid(FileIn, request.data)["file"]
    return receiving.keep(project=project, file=file, by=access.person(request), now=timezone.now())


def _refuse_too_large(request: Request) -> None:
    """By what the client announces, before any of it is read; the rest of a multipart body is small."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if announced.isdigit() and int(announced) > settings.ANNOTATOR_MAX_UPLOAD_BYTES + 1024 * 1024:
        raise receiving.TooLarge


def _upload(request: Request, project_id: int, upload_id: str) -> Upload:
    return access.row_of(access.project(access.person(request), project_id, Role.ADMIN), Upload, pk=upload_id)


def _given(values: dict[str, Any]) -> Given:
    # What binary files are they tell themselves.
    format = values.get("format", "") if values.get("format") in TEXT_FORMATS else ""
    return Given(format, values.get("encoding", ""), values.get("delimiter", ""), values.get("header"))


def _with_preview(upload: Upload, given: Given) -> dict[str, Any]:
    found = receiving.look(upload, given)
    return {"id": upload.pk, "name": upload.name, "size": upload.size, "preview": preview_shown(found)}


def preview_shown(found: Sniffed) -> dict[str, Any]:
    """What a look into a file tells, as scripts get it."""
    guess = {"item": found.guess.item, "label": found.guess.label, "external_id": found.guess.external_id}
    same = ("format", "encoding", "delimiter", "header", "modality", "columns", "warnings", "row_estimate", "exact")
    return {name: getattr(found, name) for name in same} | {"rows": found.first_rows, "guess": guess}


ALL = r"^projects/(?P<project_id>\d{1,18})"
urlpatterns = [
    re_path(ALL + r"/uploads/?$", Uploads.as_view(), name="api_uploads"),
    re_path(ALL + r"/uploads/(?P<upload_id>\d{1,18})/?$", OneUpload.as_view(), name="api_upload"),
    re_path(ALL + r"/uploads/(?P<upload_id>\d{1,18})/labels/?$", UploadLabels.as_view(), name="api_upload_labels"),
    re_path(ALL + r"/imports/?$", Imports.as_view(), name="api_imports"),
]
