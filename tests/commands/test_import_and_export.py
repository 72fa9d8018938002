"""import_items and export_labels: the file goes in and comes out again, without a browser."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Item, Job, Project, Reference
from tests import make

pytestmark = pytest.mark.django_db


def called(*words: object, **options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command(*(str(word) for word in words), stdout=out, **options)
    return dict(json.loads(out.getvalue()))


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    path = tmp_path / "mails.csv"
    path.write_text("id,text,intent\n1,hello,greeting\n2,bye,parting\n3,,greeting\n4,what?,\n")
    return path


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.dispatch.send", lambda job_id: None)


def test_a_file_goes_in_and_comes_out_again(mails: Path, tmp_path: Path) -> None:
    project = make.project(name="Mails")
    done = called("import_items", "Mails", mails, "--bad-rows", tmp_path / "bad.csv")
    assert {key: done[key] for key in ("project", "added", "bad", "labels_created")} == {
        "project": project.pk,
        "added": 3,
        "bad": 1,
        "labels_created": 2,
    }
    assert Job.objects.get(pk=done["job"]).state == Job.State.DONE
    # What follows an import is left to the workers.
    assert Job.objects.filter(kind=Job.Kind.EMBED, state=Job.State.QUEUED).count() == 1
    assert list(csv.reader((tmp_path / "bad.csv").open())) == [
        ["row", "column", "reason"],
        ["3", "text", "The text is empty. (line 4)"],
    ]
    for name, format in (("a.csv", "csv"), ("a.jsonl", "jsonl"), ("a.parquet", "parquet"), ("a.zip", "huggingface")):
        told = called("export_labels", project.pk, tmp_path / name, "--include-open")
        assert (told["rows"], told["format"]) == (3, format)
        again = called("import_items", f"Again {name}", tmp_path / name, "--create", "--user", "owner")
        assert (again["added"], again["bad"]) == (3, 0)
        assert Project.objects.get(pk=again["project"]).name == f"Again {name}"
    assert called("export_labels", project.pk, tmp_path / "b.csv", "--origins", "person")["rows"] == 0


def test_choices_are_obeyed(mails: Path) -> None:
    make.project(name="Mails")
    words = ("--labels", "reference", "--external-id", "-", "--encoding", "latin-1")
    assert called("import_items", "Mails", mails, *words)["encoding"] == "latin-1"
    assert Reference.objects.count() == 2
    assert set(Item.objects.values_list("external_id", flat=True)) == {None}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import_items", "Nothing", "{file}"), "There is no project Nothing. There is: .*Mails"),
        (("import_items", "Mails", "missing.csv"), "There is no file missing.csv"),
        (("import_items", "Mails", "{file}", "--user", "nobody"), "There is no user nobody"),
        (("import_items", "Mails", "{file}", "--label", "nope"), "no column “nope”"),
        (("import_items", "Mails", "{file}", "--encoding", "nope"), "encoding “nope” is not known"),
        (("export_labels", "Mails", "labels.docx"), "Give --format, or a file name that ends with one of .csv"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], says: str, mails: Path) -> None:
    make.project(name="Mails")
    with pytest.raises(CommandError, match=says):
        called(*(word.format(file=mails) for word in words))
    assert not Item.objects.exists()
