"""API of certificates, from the proposal to the export that a command without a database recomputes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from labeling import formats
from labeling.flow import auditing
from labeling.models import Acceptance, Ask, Certificate, Item, Project, Role
from metalearning.__main__ import main
from tests import factories, make
from tests.flow.test_auditing import settle

pytestmark = pytest.mark.django_db
EPS = 0.2


@pytest.fixture
def project() -> Project:
    made = factories.project(80)
    factories.snapshot(made, [0.99] * 80, [k % 3 for k in range(80)])
    return made


@pytest.fixture
def rita(project: Project) -> APIClient:
    make.member(project, Role.ANNOTATOR, "anna")
    return factories.api(make.member(project, Role.REVIEWER, "rita"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}"


def passed(project: Project, rita: APIClient, base: str) -> int:
    """A certificate that has passed; its number."""
    number = rita.post(f"{base}/certificates/", {"eps": EPS}, format="json").json()["number"]
    settle(Certificate.objects.get(project=project, number=number), make.user("anna"))
    return int(number)


def test_a_certificate_from_the_proposal_to_acceptance_and_undo(project: Project, rita: APIClient, base: str) -> None:
    told = rita.get(f"{base}/certificates/proposal/?eps={EPS}").json()
    assert told["reason"] == ""
    assert told["confidence"] == 0.95
    assert 0 < told["at_best"] <= told["likely"] <= told["candidates"] == 80
    started = rita.post(f"{base}/certificates/", {"eps": EPS, "second_share": 0}, format="json")
    assert started.status_code == 201
    assert started.json()["state"] == "running"
    assert rita.get(f"{base}/certificates/1/record/").status_code == 409
    assert rita.post(f"{base}/certificates/1/accept/").status_code == 409
    settle(Certificate.objects.get(), make.user("anna"))
    now = rita.get(f"{base}/certificates/1/").json()
    assert (now["state"], now["accepted"]) == ("passed", 80)
    assert len(now["outcomes"]) == now["audits"]["answered"]
    assert "at most" in now["claim"].lower()
    accepted = rita.post(f"{base}/certificates/1/accept/")
    assert accepted.status_code == 201
    assert accepted.json()["count"] == 80 - now["audits"]["answered"]
    assert rita.get(f"{base}/certificates/1/").json()["batch"] == accepted.json()["batch"]
    rita.post(f"{base}/acceptances/{accepted.json()['batch']}/undo/", {}, format="json")
    assert not Acceptance.objects.filter(withdrawn_at=None).exists()
    assert [one["number"] for one in rita.get(f"{base}/certificates/").json()["results"]] == [1]


def test_why_not_yet_and_what_is_out_of_range(project: Project, rita: APIClient, base: str) -> None:
    refused = rita.post(f"{base}/certificates/", {"eps": EPS, "budget": 3}, format="json")
    assert refused.status_code == 409
    assert "audits would be needed" in refused.json()["detail"]
    for bad, field in (({"eps": 2}, "eps"), ({"eps": EPS, "confidence": 2}, "confidence")):
        answer = rita.post(f"{base}/certificates/", bad, format="json")
        assert answer.status_code == 422
        assert field in answer.json()["fields"]
    assert rita.post(f"{base}/certificates/", {}, format="json").status_code == 422


def test_stop_before_anything_passed(project: Project, rita: APIClient, base: str) -> None:
    rita.post(f"{base}/certificates/", {"eps": EPS}, format="json")
    assert rita.post(f"{base}/certificates/1/stop/").json()["state"] == "given_up"
    assert rita.post(f"{base}/certificates/1/stop/").status_code == 409
    assert not Ask.objects.exists()


def test_a_sample_by_the_api(project: Project, rita: APIClient, base: str) -> None:
    started = rita.post(f"{base}/samples/", {"audits": 12}, format="json")
    assert started.status_code == 201
    assert (started.json()["kind"], started.json()["audits"]["waiting"]) == ("sample", 12)
    settle(Certificate.objects.get(), make.user("anna"))
    told = rita.get(f"{base}/certificates/1/").json()
    assert told["state"] == "measured"
    assert told["right"]["estimate"] == 1
    assert rita.get(f"{base}/certificates/1/record/").status_code == 409
    assert rita.post(f"{base}/certificates/1/accept/").status_code == 409


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet", "json", "zip"])
def test_the_export_and_the_record_are_recomputed_by_a_command_without_a_database(
    project: Project, rita: APIClient, base: str, tmp_path: Path, extension: str, capsys: Any
) -> None:
    number = passed(project, rita, base)
    rita.post(f"{base}/certificates/{number}/accept/")
    data, record = tmp_path / f"data.{extension}", tmp_path / "certificate.json"
    call_command("export_labels", str(project.pk), str(data), stdout=StringIO())
    record.write_text(json.dumps(rita.get(f"{base}/certificates/{number}/record/").json()))
    capsys.readouterr()
    assert main(["verify", str(record), str(data)]) == 0
    said = capsys.readouterr().out
    assert "certificate 1 holds: passed, at most 20.0% (16) of 80 labels are wrong" in said
    assert f"data.{extension}: certificate 1: 80 of its 80 items, 80 as suggested" in said


@pytest.fixture
def certified(project: Project, rita: APIClient, base: str) -> Project:
    """A project whose every label is certified, and accepted or answered."""
    number = passed(project, rita, base)
    rita.post(f"{base}/certificates/{number}/accept/")
    return project


def packed(project: Project, folder: Path, format: str = "csv") -> Path:
    """The zip that somebody downloads with the data card."""
    file = folder / "download.zip"
    call_command("export_labels", str(project.pk), str(file), "--data-card", "--format", format, stdout=StringIO())
    return file


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
def test_a_download_is_recomputed_as_it_came_and_unpacked(
    certified: Project, tmp_path: Path, format: str, capsys: Any
) -> None:
    file = packed(certified, tmp_path, format)
    with zipfile.ZipFile(file) as archive:
        assert "certificate.json" in archive.namelist()
        assert {"data-card.html"} < set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked/__MACOSX").mkdir()
    (tmp_path / "unpacked/__MACOSX/._labels.csv").write_bytes(b"\0\5\x16\7")
    capsys.readouterr()
    for given in (file, tmp_path / "unpacked"):
        assert main(["verify", str(given)]) == 0
        said = capsys.readouterr().out
        assert "certificate 1 holds: passed, at most 20.0% (16) of 80 labels are wrong" in said
        assert "certificate 1: 80 of its 80 items, 80 as suggested" in said


def changed(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Somebody edits an unpacked file."""
    path = folder / name
    before = path.read_bytes().decode()
    path.write_bytes(change(before).encode())
    assert path.read_bytes().decode() != before


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("labels.csv", lambda text: text.replace(",Exchange rate,accepted", ",Card arrival,accepted", 1), "certified"),
        ("labels.csv", lambda text: text.replace(",label,", ",tag,", 1), "it has no column 'label'"),
        ("certificate.json", lambda text: text.replace('"Exchange rate"', '"Card arrival"', 1), "hashed"),
        ("certificate.json", lambda text: text.replace('"accepted": 80', '"accepted": 79'), "accepts 79"),
        ("certificate.json", lambda text: text.replace('"eps": 0.2', '"eps": 0.1'), "the audits say"),
        ("certificate.json", lambda text: text.replace('"delta": 0.05', '"delta": 0.0001'), "the audits say"),
        ("certificate.json", lambda text: text.replace('"wrong": false', '"wrong": true', 1), "the outcome of item"),
        ("certificate.json", lambda text: text[: len(text) // 2], "is no JSON"),
    ],
)
def test_a_changed_download_is_refused_with_the_reason(
    certified: Project, tmp_path: Path, name: str, change: Callable[[str], str], complaint: str, capsys: Any
) -> None:
    with zipfile.ZipFile(packed(certified, tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked")
    changed(tmp_path / "unpacked", name, change)
    assert main(["verify", str(tmp_path / "unpacked")]) == 1
    assert complaint in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "packed-again.zip", "w") as archive:
        for one in (tmp_path / "unpacked").iterdir():
            archive.write(one, one.name)
    assert main(["verify", str(tmp_path / "packed-again.zip")]) == 1
    assert complaint in capsys.readouterr().out


def test_a_damaged_or_missing_download_says_so(certified: Project, tmp_path: Path, capsys: Any) -> None:
    file = packed(certified, tmp_path)
    content = bytearray(file.read_bytes())
    content[200] ^= 0xFF
    file.write_bytes(bytes(content))
    assert main(["verify", str(file)]) == 1
    assert "Download it again" in capsys.readouterr().out
    file.write_bytes(bytes(content[:400]))
    assert main(["verify", str(file)]) == 1
    assert "is no zip that can be read" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "nothing.zip")]) == 1
    assert "there is no file" in capsys.readouterr().out


def test_a_download_without_a_certificate_says_where_one_would_come_from(
    project: Project, tmp_path: Path, capsys: Any
) -> None:
    file = packed(project, tmp_path)
    capsys.readouterr()
    assert main(["verify", str(file)]) == 1
    said = capsys.readouterr().out
    assert "none of the files is a certificate (download.zip)" in said
    assert "once a certificate of its project is decided" in said


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda rows: rows[79].update(label="Exchange rate", origin="accepted"), "was certified"),
        (lambda rows: rows.append(rows[0]), "is there twice"),
        (lambda rows: rows[0].update(certificate=9), "names certificate 9"),
        (lambda rows: rows[0].update(id=10**9), "is not in the set"),
        (lambda rows: rows[0].pop("id"), "can't be read"),
    ],
)
def test_data_that_is_not_what_was_certified_is_refused(
    project: Project, rita: APIClient, base: str, tmp_path: Path, change: Any, complaint: str, capsys: Any
) -> None:
    Item.objects.filter(project=project)
    number = passed(project, rita, base)
    rita.post(f"{base}/certificates/{number}/accept/")
    data, record = tmp_path / "data.jsonl", tmp_path / "certificate.json"
    call_command("export_labels", str(project.pk), str(data), stdout=StringIO())
    record.write_text(json.dumps(rita.get(f"{base}/certificates/{number}/record/").json()))
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    change(rows)
    data.write_text("\n".join(json.dumps(row) for row in rows))
    assert main(["verify", str(record), str(data)]) == 1
    assert complaint in capsys.readouterr().out


def test_only_what_stands_accepted_carries_a_certificate(
    project: Project, rita: APIClient, base: str, tmp_path: Path
) -> None:
    number = passed(project, rita, base)
    data = tmp_path / "data.jsonl"
    call_command("export_labels", str(project.pk), str(data), stdout=StringIO())
    assert {json.loads(line)["certificate"] for line in data.read_text().splitlines()} == {None}
    batch = rita.post(f"{base}/certificates/{number}/accept/").json()["batch"]
    call_command("export_labels", str(project.pk), str(data), stdout=StringIO())
    assert {json.loads(line)["certificate"] for line in data.read_text().splitlines()} == {1}
    rita.post(f"{base}/acceptances/{batch}/undo/", {}, format="json")
    call_command("export_labels", str(project.pk), str(data), stdout=StringIO())
    assert {json.loads(line)["certificate"] for line in data.read_text().splitlines()} == {None}


def test_verify_says_what_is_no_certificate(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "data.csv").write_text("id,label\n")
    assert main(["verify", str(tmp_path / "data.csv")]) == 1
    assert "none of the files is a certificate" in capsys.readouterr().out
    (tmp_path / "broken.json").write_text("{")
    assert main(["verify", str(tmp_path / "broken.json")]) == 1


def test_deleting_a_project_takes_its_certificates_along(project: Project, rita: APIClient, base: str) -> None:
    passed(project, rita, base)
    auditing.start_sample(project=project, asker=make.user(), audits=10, accepted_only=False, now=make.NOW)
    owner = factories.api(make.user("owner"))
    assert owner.delete(f"{base}/", {"name": project.name}, format="json").status_code == 204
    assert not Certificate.objects.exists()
    assert not Ask.objects.exists()
