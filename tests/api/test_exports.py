"""API of exports: asking, following, downloading in parts, deleting."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from labeling import exports, formats, ranges
from labeling.flow import exporting
from labeling.formats import delimited
from labeling.models import Export, Job, Project, Role, User
from tests import factories, make

NOW = make.NOW
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def project(db: None) -> Project:
    return factories.project(3)


@pytest.fixture
def reviewer(project: Project) -> User:
    return make.member(project, Role.REVIEWER, "rita")


@pytest.fixture
def rita(reviewer: User) -> APIClient:
    return factories.api(reviewer)


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}/exports"


def whole(iterable: object) -> bytes:
    return b"".join(iterable)  # type: ignore[arg-type]


def made(project: Project, by: User, content: bytes = CONTENT) -> Export:
    """An export whose file lies in storage, as the step leaves it."""
    export = exports.request(project=project, by=by, options={"format": "csv"}, now=NOW)
    path = default_storage.save(f"projects/{project.pk}/exports/{export.pk}", ContentFile(content))
    Export.objects.filter(pk=export.pk).update(path=path, size=len(content))
    Job.objects.filter(pk=export.job_id).update(state=Job.State.DONE, finished_at=NOW)
    return Export.objects.get(pk=export.pk)


def test_the_page_explains_the_columns_and_formats_that_are_written() -> None:
    assert tuple(name for name, _meaning in exports.COLUMNS) == delimited.EXPORTED
    assert {made.name: made.extension for made in exports.FORMATS.values()} == formats.WRITABLE


def test_asking_for_a_file_starts_a_job(rita: APIClient, base: str, project: Project) -> None:
    options = {"format": "jsonl", "origins": ["accepted", "person"], "min_confidence": 0.8, "pseudonyms": True}
    reply = rita.post(base, options, "json")
    assert reply.status_code == 202
    told = reply.json()
    assert (told["ready"], told["job"]["state"], told["job"]["kind"]) == (False, "queued", "export")
    assert told["name"].endswith(".jsonl")
    assert Job.objects.get().arguments == {
        "format": "jsonl",
        "origins": ["person", "accepted"],
        "min_confidence": 0.8,
        "pseudonyms": True,
        "include_open": False,
        "include_suggestions": False,
        "data_card": False,
    }
    assert rita.get(f"{base}/{told['id']}/download").status_code == 409
    assert rita.get(base).json()["count"] == 1


def test_with_its_data_card_it_is_a_zip(rita: APIClient, base: str, project: Project) -> None:
    told = rita.post(base, {"format": "parquet", "data_card": True}, "json").json()
    assert told["name"].endswith(".zip")
    made = Export.objects.get(pk=told["id"])
    exporting.run(made.job, lambda done, total, unit: None)  # type: ignore[arg-type]
    Job.objects.filter(pk=made.job_id).update(state=Job.State.DONE, finished_at=NOW)
    reply = rita.get(f"{base}/{told['id']}/download")
    assert reply["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(whole(reply))) as archive:
        assert sorted(archive.namelist()) == ["data-card.html", "data-card.md", "labels.parquet"]


def test_all_origins_where_none_are_named(rita: APIClient, base: str, project: Project) -> None:
    rita.post(base, {"format": "csv"}, "json")
    assert Job.objects.get().arguments["origins"] == ["person", "accepted", "imported"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"format": "xlsx"},
        {"format": ["csv"]},
        {"format": "csv", "origins": []},
        {"format": "csv", "origins": ["model"]},
        {"format": "csv", "origins": [{"a": 1}]},
        {"format": "csv", "min_confidence": 2},
        {"format": "csv", "pseudonyms": "perhaps"},
    ],
)
def test_unusable_options_are_refused(rita: APIClient, base: str, body: dict) -> None:
    assert rita.post(base, body, "json").status_code == 422
    assert not Job.objects.exists()


def test_the_whole_file(rita: APIClient, base: str, project: Project, reviewer: User) -> None:
    export = made(project, reviewer)
    reply = rita.get(f"{base}/{export.pk}/download", HTTP_ACCEPT="text/csv")
    assert (reply.status_code, reply["Content-Length"], reply["Accept-Ranges"]) == (200, str(len(CONTENT)), "bytes")
    assert reply["Content-Type"] == "text/csv; charset=utf-8"
    assert reply["Content-Disposition"].startswith("attachment")
    assert export.name in reply["Content-Disposition"]
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert whole(reply) == CONTENT


def test_a_download_that_broke_off_goes_on(rita: APIClient, base: str, project: Project, reviewer: User) -> None:
    url = f"{base}/{made(project, reviewer).pk}/download"
    first = rita.get(url, HTTP_RANGE="bytes=0-999")
    assert (first.status_code, first["Content-Range"]) == (206, f"bytes 0-999/{len(CONTENT)}")
    rest = rita.get(url, HTTP_RANGE="bytes=1000-", HTTP_IF_RANGE=first["ETag"])
    assert rest.status_code == 206
    assert whole(first) + whole(rest) == CONTENT
    assert whole(rita.get(url, HTTP_RANGE="bytes=-7")) == CONTENT[-7:]


def test_a_file_that_has_changed_is_sent_whole(rita: APIClient, base: str, project: Project, reviewer: User) -> None:
    url = f"{base}/{made(project, reviewer).pk}/download"
    assert rita.get(url, HTTP_RANGE="bytes=1000-", HTTP_IF_RANGE='"another"').status_code == 200


def test_a_range_outside_the_file(rita: APIClient, base: str, project: Project, reviewer: User) -> None:
    reply = rita.get(f"{base}/{made(project, reviewer).pk}/download", HTTP_RANGE=f"bytes={len(CONTENT)}-")
    assert (reply.status_code, reply["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


def test_a_file_that_the_client_has_is_not_sent_again(
    rita: APIClient, base: str, project: Project, reviewer: User
) -> None:
    url = f"{base}/{made(project, reviewer).pk}/download"
    assert rita.get(url, HTTP_IF_NONE_MATCH=rita.get(url)["ETag"]).status_code == 304
    head = rita.head(url)
    assert (head.status_code, head["Content-Length"], head.content) == (200, str(len(CONTENT)), b"")


def test_deleting_removes_row_and_file(
    rita: APIClient, base: str, project: Project, reviewer: User, django_capture_on_commit_callbacks: object
) -> None:
    export = made(project, reviewer)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        assert rita.delete(f"{base}/{export.pk}").status_code == 204
    assert not Export.objects.exists()
    assert not Job.objects.exists()
    assert not default_storage.exists(export.path)
    assert rita.get(f"{base}/{export.pk}").status_code == 404


def test_deleting_one_that_is_being_made_stops_it_first(
    rita: APIClient, base: str, project: Project, reviewer: User
) -> None:
    export = exports.request(project=project, by=reviewer, options={"format": "csv"}, now=NOW)
    reply = rita.delete(f"{base}/{export.pk}")
    assert (reply.status_code, reply.json()["job"]["state"]) == (202, "cancelled")
    assert rita.delete(f"{base}/{export.pk}").status_code == 204


def test_annotators_may_not_export_and_strangers_see_nothing(base: str, project: Project, reviewer: User) -> None:
    export = made(project, reviewer)
    anna = factories.api(make.member(project, Role.ANNOTATOR, "anna"))
    stranger = factories.api(make.user("stranger"))
    for path in (base, f"{base}/{export.pk}", f"{base}/{export.pk}/download"):
        assert anna.get(path).status_code == 403
        assert stranger.get(path).status_code == 404
        assert APIClient().get(path).status_code == 401


def test_another_projects_export_does_not_exist_here(rita: APIClient, base: str, reviewer: User) -> None:
    theirs = made(factories.project(1, admin="else", name="Other"), make.user("else"))
    assert rita.get(f"{base}/{theirs.pk}/download").status_code == 404
    assert rita.delete(f"{base}/{theirs.pk}").status_code == 404


@given(size=st.integers(0, 50), first=st.integers(0, 60) | st.none(), last=st.integers(0, 60) | st.none())
def test_ranges_agree_with_slicing(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    content = bytes(range(size))
    try:
        part = ranges.parse(header, size)
    except ranges.Unsatisfiable:
        assert (first is not None and first >= size) or (first is None and (last == 0 or size == 0))
        return
    if part is None:
        assert first is last is None or (first is not None and last is not None and last < first)
        return
    expected = content[first : None if last is None else last + 1] if first is not None else content[-last:]  # type: ignore[operator]
    assert content[slice(*part)] == expected


@pytest.mark.parametrize("header", ["", "bytes=", "items=0-1", "bytes=0-1,4-5", "bytes=a-b", "bytes=٣-٤", "bytes 0-1"])
def test_ranges_that_a_server_may_ignore(header: str) -> None:
    assert ranges.parse(header, 100) is None
