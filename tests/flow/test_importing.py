"""Importing: everything usable gets in once, everything else is named, and a killed import goes on where it was."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image

from labeling import formats, standing
from labeling.errors import BadField, BadFile, Cancelled
from labeling.flow import importing
from labeling.models import Answer, BadRow, Item, Job, Label, Origin, Project, Reference, Status, Upload
from tests import make

pytestmark = pytest.mark.django_db


class Told:
    """A progress that keeps what it is told, and stops or dies where it is asked to."""

    def __init__(self, stop_at: int = 0, error: type[BaseException] = Cancelled) -> None:
        self.told: list[tuple[int, int, str]] = []
        self.stop_at = stop_at
        self.error = error

    def __call__(self, done: int, total: int = 0, unit: str = "") -> None:
        self.told.append((done, total, unit))
        if len(self.told) == self.stop_at:
            raise self.error


def job_for(project: Project, content: bytes | str, name: str = "a.csv", **arguments: Any) -> Job:
    content = content.encode() if isinstance(content, str) else content
    path = default_storage.save(f"projects/{project.pk}/uploads/{name}", ContentFile(content))
    upload = Upload.objects.create(
        project=project,
        name=name,
        path=path,
        size=len(content),
        created_by=project.created_by,
        created_at=timezone.now(),
    )
    arguments = {"upload": upload.pk} | arguments
    return Job.objects.create(project=project, kind=Job.Kind.IMPORT, arguments=arguments, created_at=timezone.now())


def run(project: Project, content: bytes | str, name: str = "a.csv", **arguments: Any) -> dict[str, Any]:
    job = job_for(project, content, name, **arguments)
    importing.run(job, Told())  # type: ignore[arg-type]
    job.refresh_from_db()
    consistent(project)
    return {key: job.result[key] for key in ("added", "existing", "bad", "labels_created")}


def consistent(project: Project) -> None:
    """Rows are dense, standings and tally are what answers and acceptances say."""
    items = list(Item.objects.filter(project=project).order_by("row"))
    assert [item.row for item in items] == list(range(len(items)))
    project.tally.refresh_from_db()
    tally = project.tally
    kept = (tally.items, tally.open, tally.answered, tally.imported, tally.accepted)
    before = [(item.pk, item.status, item.label_id) for item in items]
    rebuilt = standing.rebuild(project)
    assert kept == (rebuilt.items, rebuilt.open, rebuilt.answered, rebuilt.imported, rebuilt.accepted)
    after = Item.objects.filter(project=project).order_by("row").values_list("pk", "status", "label_id")
    assert before == list(after)
    for item in items:
        content: str | bytes = item.text
        if item.image:
            with default_storage.open(item.image) as file:
                content = file.read()
        assert bytes(item.content_hash) == formats.content_hash(content)


CSV = "uid,text,label,source\n1,one,yes,web\n2,two,no,\n3,three,,mail\n"


def test_labels_come_in_as_imported_answers() -> None:
    project = make.project(labels=["no"])
    assert run(project, CSV) == {"added": 3, "existing": 0, "bad": 0, "labels_created": 1}
    items = Item.objects.filter(project=project).order_by("row")
    assert [(i.text, i.external_id, i.metadata, i.status, i.label and i.label.name) for i in items] == [
        ("one", "1", {"source": "web"}, Status.IMPORTED, "yes"),
        ("two", "2", {}, Status.IMPORTED, "no"),
        ("three", "3", {"source": "mail"}, Status.OPEN, None),
    ]
    answers = Answer.objects.filter(project=project)
    assert {(answer.item.text, answer.label.name, answer.origin, answer.author) for answer in answers} == {
        ("one", "yes", Origin.IMPORTED, None),
        ("two", "no", Origin.IMPORTED, None),
    }
    assert list(Label.objects.filter(project=project).values_list("name", "position")) == [("no", 0), ("yes", 1)]


def test_labels_come_in_as_a_hidden_reference() -> None:
    project = make.project()
    run(project, CSV, labels="reference")
    found = Reference.objects.filter(item__project=project).values_list("item__text", "label__name")
    assert set(found) == {("one", "yes"), ("two", "no")}
    assert not Answer.objects.exists()
    assert set(Item.objects.values_list("status", flat=True)) == {Status.OPEN}


def test_labels_are_left_out() -> None:
    project = make.project()
    assert run(project, CSV, labels="ignore")["labels_created"] == 0
    assert not Label.objects.exists()
    assert not Answer.objects.exists()
    assert not Reference.objects.exists()
    # Nor does a label that was not wanted come in by the side door.
    assert "label" not in Item.objects.get(text="one").metadata


def test_unknown_and_archived_labels_are_bad_rows_unless_they_may_be_made() -> None:
    project = make.project(labels=["no", "old"])
    Label.objects.filter(name="old").update(archived_at=timezone.now())
    content = "text,label\na,yes\nb,no\nc,old\nd,\n"
    assert run(project, content, create_labels=False) == {"added": 2, "existing": 0, "bad": 2, "labels_created": 0}
    assert set(Item.objects.values_list("text", flat=True)) == {"b", "d"}
    assert run(project, content) == {"added": 1, "existing": 2, "bad": 1, "labels_created": 1}
    assert "archived" in BadRow.objects.order_by("pk").last().reason  # type: ignore[union-attr]


def test_a_column_that_is_no_label_does_not_make_labels_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_LABELS", 5)
    project = make.project()
    content = "text,label\n" + "".join(f"t{n},l{n}\n" for n in range(20))
    assert run(project, content) == {"added": 5, "existing": 0, "bad": 15, "labels_created": 5}


def test_importing_again_doubles_nothing_and_changes_nothing() -> None:
    project = make.project()
    run(project, CSV, labels="ignore")
    before = list(Item.objects.values())
    assert run(project, CSV) == {"added": 0, "existing": 3, "bad": 0, "labels_created": 0}
    assert list(Item.objects.values()) == before
    assert not Answer.objects.exists()
    assert run(project, "text\none\nfour\nfour\n") == {"added": 1, "existing": 2, "bad": 0, "labels_created": 0}


def test_another_content_under_a_known_id_is_a_conflict_within_a_file_and_across() -> None:
    project = make.project()
    run(project, "id,text\n1,one\n")
    content = "id,text\n1,changed\n2,two\n2,other\n1,one\n"
    assert run(project, content) == {"added": 1, "existing": 1, "bad": 2, "labels_created": 0}
    assert sorted(Item.objects.values_list("text", flat=True)) == ["one", "two"]
    rows = BadRow.objects.order_by("number")
    assert [(row.number, row.column) for row in rows] == [(1, "external_id"), (3, "external_id")]
    assert "“1”" in rows[0].reason


def test_two_projects_do_not_know_each_other() -> None:
    first, second = make.project(name="a"), make.project(name="b")
    run(first, CSV)
    assert run(second, CSV)["added"] == 3


def test_bad_rows_are_counted_exactly_and_kept_up_to_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 7)
    monkeypatch.setattr(importing, "BAD_ROWS_KEPT", 10)
    project = make.project()
    content = "text,label\n" + "".join(f"t{n},x\n ,x\n" for n in range(25))
    assert run(project, content) == {"added": 25, "existing": 0, "bad": 25, "labels_created": 1}
    rows = list(BadRow.objects.order_by("number"))
    assert [row.number for row in rows] == list(range(2, 21, 2))
    assert (rows[0].column, rows[0].reason) == ("text", "The text is empty. (line 3)")


@pytest.mark.parametrize("killed_at", [1, 2, 3, 5])
def test_a_killed_import_goes_on_where_it_was(killed_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 4)
    project = make.project()
    content = "id,text,label\n" + "".join(f"{n},text {n},l{n % 3}\n{n},again {n},x\n" for n in range(10))
    job = job_for(project, content)
    with pytest.raises(KeyboardInterrupt):
        importing.run(job, Told(stop_at=killed_at, error=KeyboardInterrupt))  # type: ignore[arg-type]
    assert Item.objects.count() == 2 * killed_at
    again = Job.objects.get(pk=job.pk)
    importing.run(again, Told())  # type: ignore[arg-type]
    again.refresh_from_db()
    assert {key: again.result[key] for key in ("added", "existing", "bad", "rows")} == {
        "added": 10,
        "existing": 0,
        "bad": 10,
        "rows": 20,
    }
    assert BadRow.objects.count() == 10
    assert Answer.objects.count() == 10
    consistent(project)


def test_a_batch_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make.project()
    job = job_for(project, CSV)

    def broken(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(importing, "_keep_bad_rows", broken)
    with pytest.raises(OSError, match="disk"):
        importing.run(job, Told())  # type: ignore[arg-type]
    assert not Item.objects.exists()
    assert not Label.objects.exists()
    assert Job.objects.get(pk=job.pk).result == {}
    consistent(project)


def test_a_worker_taken_for_dead_cannot_go_on_beside_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 1)
    project = make.project()
    job = job_for(project, CSV)

    class Overtaken(Told):
        def __call__(self, done: int, total: int = 0, unit: str = "") -> None:
            Job.objects.filter(pk=job.pk).update(attempt=5)

    with pytest.raises(Cancelled):
        importing.run(job, Overtaken())  # type: ignore[arg-type]
    assert Item.objects.count() == 1


def test_what_was_committed_stays_after_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    project = make.project()
    job = job_for(project, CSV)
    with pytest.raises(Cancelled):
        importing.run(job, Told(stop_at=1))  # type: ignore[arg-type]
    assert Item.objects.count() == 2
    assert Job.objects.get(pk=job.pk).result["added"] == 2
    consistent(project)


def test_progress_is_told_in_bytes_of_the_file() -> None:
    project = make.project()
    content = "text\n" + "".join(f"some words {n}\n" for n in range(30_000))
    job = job_for(project, content)
    told = Told()
    importing.run(job, told)  # type: ignore[arg-type]
    done = [one[0] for one in told.told]
    assert done == sorted(done)
    assert told.told[-1] == (len(content), len(content), "bytes")
    assert 0 < done[0] < len(content)


def test_chosen_columns_win_and_unknown_ones_are_refused() -> None:
    project = make.project()
    content = "a,text,b,label\nfirst,second,third,x\n"
    run(project, content, columns={"item": "a", "label": "b", "external_id": ""})
    item = Item.objects.get()
    assert (item.text, item.label and item.label.name, item.external_id) == ("first", "third", None)
    assert item.metadata == {"text": "second", "label": "x"}
    with pytest.raises(BadField, match=r"“nope”.*a, text, b, label"):
        run(project, content, columns={"label": "nope"})
    with pytest.raises(BadField, match="hidden reference"):
        run(project, content, labels="sometimes")


def test_a_limit_takes_the_first_rows() -> None:
    project = make.project()
    assert run(project, CSV, limit=2)["added"] == 2


def test_files_that_cannot_be_read_are_refused_as_a_whole() -> None:
    project = make.project()
    with pytest.raises(BadFile, match="PDF"):
        run(project, b"%PDF-1.4", "a.pdf")
    job = job_for(project, CSV)
    default_storage.delete(Upload.objects.get(pk=job.arguments["upload"]).path)
    with pytest.raises(BadFile, match="no longer there"):
        importing.run(job, Told())  # type: ignore[arg-type]


def test_texts_are_stored_as_they_are_and_harmless() -> None:
    project = make.project()
    texts = ["<script>alert(1)</script>", "=1+1", "nul \0 esc \x1b", "e\u0301 是", "\u202eabc"]
    run(project, "\n".join(json.dumps({"text": text, "m": {"k\0": text}}) for text in texts), "a.jsonl")
    stored = list(Item.objects.order_by("row").values_list("text", flat=True))
    assert stored == ["<script>alert(1)</script>", "=1+1", "nul ␀ esc ␛", "e\u0301 是", "\u202eabc"]


def picture(color: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 7), (color, 0, 0)).save(out, kind)
    return out.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def test_images_are_stored_by_content_with_labels_from_folders() -> None:
    project = make.project(modality="image")
    members = {
        "s/cat/a.png": picture(1),
        "s/dog/b.jpg": picture(2, "JPEG"),
        "s/dog/copy.png": picture(1),
        "s/dog/c.tiff": picture(3, "TIFF"),
        "s/dog/evil.png": b"<svg onload='alert(1)'/>",
    }
    assert run(project, archive(members), "a.zip") == {"added": 3, "existing": 1, "bad": 1, "labels_created": 2}
    items = list(Item.objects.order_by("row"))
    assert [(i.name, i.image_type, i.width, i.height, i.label and i.label.name) for i in items] == [
        ("a.png", "image/png", 9, 7, "cat"),
        ("b.jpg", "image/jpeg", 9, 7, "dog"),
        ("c.tiff", "image/png", 9, 7, "dog"),
    ]
    assert items[2].metadata["converted"]
    digest = bytes(items[0].content_hash).hex()
    assert items[0].image == f"projects/{project.pk}/images/{digest[:2]}/{digest}.png"
    assert run(project, picture(9), "single.png")["added"] == 1
    assert "evil.png" in BadRow.objects.get().reason


def test_the_wrong_kind_of_item_is_a_bad_row() -> None:
    assert run(make.project(name="t"), archive({"a.png": picture(1)}), "a.zip")["bad"] == 1
    assert run(make.project(name="i", modality="image"), "text\na\n")["bad"] == 1
