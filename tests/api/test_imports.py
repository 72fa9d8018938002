"""The imports' API: upload, look again, the labels in a file, import, what was left out; and jobs."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image
from rest_framework.test import APIClient

from labeling import dispatch
from labeling.models import Answer, Item, Job, Label, Project, Reference, Upload
from tests import factories, make

CSV = "id,text,label\n1,Where is my card?,Card arrival\n2,What does it cost?,fee\n3,,fee\n"


@pytest.fixture
def project(db: None) -> Project:
    return factories.project()


@pytest.fixture
def owner(project: Project) -> APIClient:
    return factories.api(make.user("owner"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}"


@pytest.fixture
def imports_alone(on_the_spot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the embedding that would follow."""
    from labeling import tasks

    monkeypatch.setattr(tasks, "FOLLOWED_BY", {})


def _file(content: str | bytes = CSV, name: str = "a.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)


def _upload(owner: APIClient, base: str, content: str | bytes = CSV, name: str = "a.csv") -> dict[str, Any]:
    answer = owner.post(f"{base}/uploads", {"file": _file(content, name)}, format="multipart")
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def test_an_upload_shows_what_it_is(owner: APIClient, base: str) -> None:
    uploaded = _upload(owner, base)
    preview = uploaded["preview"]
    assert (uploaded["name"], uploaded["size"]) == ("a.csv", len(CSV))
    assert (preview["format"], preview["encoding"], preview["delimiter"]) == ("csv", "utf-8", ",")
    assert preview["columns"] == ["id", "text", "label"]
    assert preview["rows"][0] == ["1", "Where is my card?", "Card arrival"]
    assert preview["guess"] == {"item": "text", "label": "label", "external_id": "id"}
    assert not Item.objects.exists()


def test_look_again_in_another_encoding(owner: APIClient, base: str) -> None:
    uploaded = _upload(owner, base, "text;label\n我的卡在哪里?;卡\n".encode("gb18030"))
    address = f"{base}/uploads/{uploaded['id']}"
    right = owner.get(f"{address}?encoding=gb18030&delimiter=;&format=csv&header=true").json()["preview"]
    assert (right["columns"], right["rows"]) == (["text", "label"], [["我的卡在哪里?", "卡"]])
    bare = owner.get(f"{address}?encoding=gb18030&delimiter=;&header=false").json()["preview"]
    assert (len(bare["rows"]), bare["header"]) == (2, False)
    wrong = owner.get(f"{address}?encoding=latin-1").json()["preview"]
    assert wrong["rows"] != right["rows"]


@pytest.mark.parametrize("query", ["encoding=klingon", "format=docx", "header=perhaps", "delimiter=ab"])
def test_looking_in_a_way_that_cannot_be_is_refused(owner: APIClient, base: str, query: str) -> None:
    answer = owner.get(f"{base}/uploads/{_upload(owner, base)['id']}?{query}")
    assert (answer.status_code, len(answer.json()["fields"])) == (422, 1)


@pytest.mark.parametrize(("content", "name"), [("", "a.csv"), ("%PDF-1.7 x", "a.pdf"), (b"PK\3\4broken", "a.zip")])
def test_files_that_cannot_be_read_are_refused(owner: APIClient, base: str, content: Any, name: str) -> None:
    answer = owner.post(f"{base}/uploads", {"file": _file(content, name)}, format="multipart")
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_too_large_a_file_is_refused(owner: APIClient, base: str, settings: Any) -> None:
    settings.ANNOTATOR_MAX_UPLOAD_BYTES = 100
    answer = owner.post(f"{base}/uploads", {"file": _file("text\n" + "x" * 200)}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    announced = owner.post(
        f"{base}/uploads", {"file": _file()}, format="multipart", headers={"Content-Length": str(10**9)}
    )
    assert announced.status_code == 413, "refused by what it announces"
    assert not Upload.objects.exists()


def test_a_name_cannot_leave_the_folder(owner: APIClient, base: str, project: Project) -> None:
    _upload(owner, base, name="../../../etc/passwd.csv")
    upload = Upload.objects.get()
    assert upload.name == "passwd.csv"
    assert upload.path.startswith(f"projects/{project.pk}/uploads/")
    assert "passwd" not in upload.path


def test_forget_an_upload(owner: APIClient, base: str) -> None:
    uploaded = _upload(owner, base)
    path = Upload.objects.get().path
    assert owner.delete(f"{base}/uploads/{uploaded['id']}").status_code == 204
    assert not default_storage.exists(path)


def test_the_labels_of_a_file_and_which_are_new(owner: APIClient, base: str) -> None:
    uploaded = _upload(owner, base)
    found = owner.get(f"{base}/uploads/{uploaded['id']}/labels?label=label").json()
    assert found["labels"] == [
        {"name": "Card arrival", "count": 1, "known": True},
        {"name": "fee", "count": 1, "known": False},
    ]
    assert (found["distinct"], found["rows"], found["bad"], found["complete"]) == (2, 3, 1, True)
    assert owner.get(f"{base}/uploads/{uploaded['id']}/labels?label=nothing").status_code == 422


def test_everything_left_out_is_guessed(
    owner: APIClient, base: str, imports_alone: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        started = owner.post(f"{base}/imports", {"file": _file()}, format="multipart")
    assert (started.status_code, started.json()["kind"]) == (202, "import")
    job = owner.get(f"{base}/jobs/{started.json()['id']}").json()
    assert (job["state"], job["result"]["added"], job["result"]["bad"], job["result"]["labels_created"]) == (
        "done",
        2,
        1,
        1,
    )
    assert list(Item.objects.order_by("row").values_list("external_id", "label__name")) == [
        ("1", "Card arrival"), ("2", "fee"),
    ]  # fmt: skip
    bad = owner.get(f"{base}/jobs/{job['id']}/bad_rows").json()
    assert (bad["count"], bad["results"][0]["number"], bad["results"][0]["column"]) == (1, 3, "text")
    lines = b"".join(owner.get(f"{base}/jobs/{job['id']}/bad_rows.csv").streaming_content).decode("utf-8-sig")
    assert lines.splitlines()[0] == "row,column,reason"
    assert lines.splitlines()[1].startswith("3,text,")


def test_what_was_chosen_is_what_is_done(
    owner: APIClient, base: str, imports_alone: None, django_capture_on_commit_callbacks: Any
) -> None:
    choices = {"upload": _upload(owner, base)["id"], "external_id": "-", "labels": "reference", "create_labels": False}
    with django_capture_on_commit_callbacks(execute=True):
        started = owner.post(f"{base}/imports", choices, format="json")
    result = owner.get(f"{base}/jobs/{started.json()['id']}").json()["result"]
    assert result["labels_created"] == 0
    assert set(Item.objects.values_list("external_id", "label")) == {(None, None)}
    assert (Answer.objects.count(), Reference.objects.get().label.name) == (0, "Card arrival")
    assert not Label.objects.filter(name="fee").exists()


def test_importing_again_adds_nothing(
    owner: APIClient, base: str, imports_alone: None, django_capture_on_commit_callbacks: Any
) -> None:
    upload = _upload(owner, base)["id"]
    results = []
    for _again in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            started = owner.post(f"{base}/imports", {"upload": upload}, format="json")
        results.append(owner.get(f"{base}/jobs/{started.json()['id']}").json()["result"])
    assert [(result["added"], result["existing"]) for result in results] == [(2, 0), (0, 2)]


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ({"item": "nope"}, "item"),
        ({"label": "nope"}, "label"),
        ({"labels": "maybe"}, "labels"),
        ({"labels": []}, "labels"),
    ],
)
def test_choices_that_cannot_be_start_nothing(owner: APIClient, base: str, choice: Any, field: str) -> None:
    answer = owner.post(f"{base}/imports", {"upload": _upload(owner, base)["id"]} | choice, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    assert not Job.objects.exists()


@pytest.mark.parametrize("body", [{}, {"upload": 10**17}])
def test_an_import_needs_a_file(owner: APIClient, base: str, body: dict) -> None:
    assert owner.post(f"{base}/imports", body, format="json").status_code in (404, 422)


def test_images_do_not_go_into_a_text_project(owner: APIClient, base: str) -> None:
    packed, drawn = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(drawn, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cat/1.png", drawn.getvalue())
    uploaded = _upload(owner, base, packed.getvalue(), "a.zip")
    assert uploaded["preview"]["modality"] == "image"
    answer = owner.post(f"{base}/imports", {"upload": uploaded["id"]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_file")


def test_another_projects_upload_does_not_exist(owner: APIClient, base: str) -> None:
    other = factories.project(name="Other")
    foreign = _upload(owner, f"/api/projects/{other.pk}")["id"]
    assert owner.get(f"{base}/uploads/{foreign}").status_code == 404
    assert owner.post(f"{base}/imports", {"upload": foreign}, format="json").status_code == 404


def test_jobs_newest_first_by_kind(owner: APIClient, base: str, project: Project) -> None:
    first, second, third = (dispatch.start(project, kind) for kind in ("import", "adapt", "import"))
    listed = owner.get(f"{base}/jobs").json()
    assert (listed["count"], [job["id"] for job in listed["results"]]) == (3, [third.pk, second.pk, first.pk])
    assert [job["id"] for job in owner.get(f"{base}/jobs?kind=import").json()["results"]] == [third.pk, first.pk]


def test_cancel_a_waiting_job_once(owner: APIClient, base: str, project: Project) -> None:
    job = dispatch.start(project, "import")
    assert owner.post(f"{base}/jobs/{job.pk}/cancel").json()["state"] == "cancelled"
    again = owner.post(f"{base}/jobs/{job.pk}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
