"""Exporting: each row says what label it has and who or what gave it; and what goes out comes in again."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling import blobs, formats, standing
from labeling.errors import BadField, Cancelled, Conflict
from labeling.flow import exporting, importing
from labeling.models import Acceptance, Answer, Batch, Export, Item, Job, Label, Origin, Project, Role, Snapshot
from tests import factories, make
from tests.flow.test_importing import Told, archive, job_for, picture, run

pytestmark = pytest.mark.django_db
WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def project() -> Project:
    """Items: 0 answered twice (the second counts), 1 accepted at 0.9, 2 accepted at 0.6, 3 imported, 4 and 5 open."""
    made = make.project(labels=["yes", "no"], texts=[f"item {n}" for n in range(6)])
    anna, bert = make.member(made, Role.ANNOTATOR, "anna"), make.member(made, Role.REVIEWER, "bert")
    items = list(Item.objects.order_by("row"))
    yes, no = Label.objects.order_by("position")
    snapshot = factories.snapshot(made, [0.5, 0.9, 0.6, 0.5, 0.8, 0.3], [0, 1, 1, 0, 1, 0], number=7)
    answer(items[0], anna, yes, seconds=9.0, withdrawn_at=WHEN)
    answer(items[0], anna, no, seconds=1.5)
    answer(items[3], None, yes, origin=Origin.IMPORTED)
    answer(items[1], None, yes, origin=Origin.IMPORTED, withdrawn_at=WHEN)
    batch = Batch.objects.create(project=made, accepted_by=bert, snapshot=snapshot, count=2, created_at=WHEN)
    for item, confidence in ((items[1], 0.9), (items[2], 0.6)):
        Acceptance.objects.create(project=made, item=item, batch=batch, label=no, confidence=confidence)
    standing.restate(made.pk, [item.pk for item in items])
    return made


def answer(item: Item, author: Any, label: Label, **facts: Any) -> Answer:
    return Answer.objects.create(
        project=item.project, item=item, author=author, label=label, **({"created_at": WHEN} | facts)
    )


def written(project: Project, format: str = "jsonl", **options: Any) -> bytes:
    out = io.BytesIO()
    exporting.write(project, exporting.Options(format, **options), out)
    return out.getvalue()


def rows(project: Project, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(project, **options).splitlines()]


def told(project: Project, **options: Any) -> list[tuple[Any, ...]]:
    return [
        (row["text"], row["label"], row["origin"], row["confidence"], row["snapshot"], row["annotator"])
        for row in rows(project, **options)
    ]


def test_each_row_says_who_or_what_gave_its_label(project: Project) -> None:
    assert told(project) == [
        ("item 0", "no", "person", None, None, "anna"),
        ("item 1", "no", "accepted", 0.9, 7, "bert"),
        ("item 2", "no", "accepted", 0.6, 7, "bert"),
        ("item 3", "yes", "imported", None, None, ""),
    ]
    first = rows(project)[0]
    assert (first["labeled_at"], first["seconds"]) == ("2026-03-04T05:06:07+00:00", 1.5)
    assert first["id"] == Item.objects.get(text="item 0").pk


def test_filters_by_origin_and_confidence(project: Project) -> None:
    assert [row[0] for row in told(project, origins=("person",))] == ["item 0"]
    assert [row[0] for row in told(project, origins=("accepted", "imported"))] == ["item 1", "item 2", "item 3"]
    assert [row[0] for row in told(project, min_confidence=0.7)] == ["item 0", "item 1", "item 3"]
    with pytest.raises(BadField, match="martian"):
        exporting.Options.of({"format": "csv", "origins": ["martian"]})
    with pytest.raises(BadField, match="csv, jsonl"):
        exporting.Options.of({"format": "xls"})


def test_open_items_only_on_request(project: Project) -> None:
    assert told(project, origins=("person",), include_open=True) == [
        ("item 0", "no", "person", None, None, "anna"),
        ("item 4", None, "", None, None, ""),
        ("item 5", None, "", None, None, ""),
    ]


def test_suggestions_only_on_request_and_marked_as_such(project: Project) -> None:
    assert told(project, include_suggestions=True)[4:] == [
        ("item 4", "no", "suggestion", pytest.approx(0.8, abs=1e-3), 7, ""),
        ("item 5", "yes", "suggestion", pytest.approx(0.3, abs=1e-3), 7, ""),
    ]
    # Shown as 0.8, kept as float16: asked for from 0.8 on, it must be there.
    assert [row[0] for row in told(project, include_suggestions=True, min_confidence=0.8)][-1] == "item 4"
    both = told(project, include_suggestions=True, include_open=True, min_confidence=0.8)
    assert both[-1] == ("item 5", None, "", None, None, "")
    Label.objects.filter(name="no").update(archived_at=WHEN)
    assert [row[0] for row in told(project, include_suggestions=True)][4:] == ["item 5"]


def test_suggestions_are_left_out_where_there_is_no_model() -> None:
    made = make.project(texts=["a"])
    assert rows(made, include_suggestions=True) == []
    Snapshot.objects.create(project=made, number=1, answers=0, items=1, labels=[], seconds=0, created_at=WHEN)
    assert rows(made, include_suggestions=True) == []


def test_pseudonyms_hide_names_and_tell_people_apart(project: Project) -> None:
    content = written(project, pseudonyms=True)
    assert b"anna" not in content
    assert b"bert" not in content
    assert [row[5] for row in told(project, pseudonyms=True)] == ["annotator-1", "annotator-2", "annotator-2", ""]


def test_batches_change_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(project, include_open=True, include_suggestions=True)
    monkeypatch.setattr(exporting, "BATCH", 2)
    assert written(project, include_open=True, include_suggestions=True) == whole


def export(project: Project, **arguments: Any) -> Export:
    arguments = {"format": "csv"} | arguments
    job = Job.objects.create(project=project, kind=Job.Kind.EXPORT, arguments=arguments, created_at=timezone.now())
    return Export.objects.create(project=project, job=job, name="a.csv", created_at=timezone.now())


def test_a_job_writes_the_file_into_storage_and_says_how_far_it_is(project: Project) -> None:
    made = export(project, origins=["person", "accepted", "imported"])
    progress = Told()
    exporting.run(made.job, progress)  # type: ignore[arg-type]
    made.refresh_from_db()
    with default_storage.open(made.path) as file:
        content = file.read()
    assert made.path.startswith(f"projects/{project.pk}/exports/")
    assert made.size == len(content)
    assert len(list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))) == 5
    assert Job.objects.get(pk=made.job_id).result == {"rows": 4, "size": made.size}
    assert progress.told == [(0, 4, "items"), (4, 4, "items")]


def test_a_stopped_export_leaves_no_file_and_can_be_run_again(project: Project) -> None:
    made = export(project)
    with pytest.raises(Cancelled):
        exporting.run(made.job, Told(stop_at=2))  # type: ignore[arg-type]
    made.refresh_from_db()
    assert made.path == ""
    assert blobs.names(f"projects/{project.pk}/exports/{made.pk}") == []
    exporting.run(made.job, Told())  # type: ignore[arg-type]
    exporting.run(made.job, Told())  # type: ignore[arg-type]
    assert blobs.names(f"projects/{project.pk}/exports/{made.pk}") == ["a.csv"]


def test_an_image_that_is_gone_is_named() -> None:
    made = make.project(modality="image")
    run(made, archive({"a/x.png": picture(1), "b/y.png": picture(2)}), "a.zip")
    item = Item.objects.get(name="x.png")
    default_storage.delete(item.image)
    with pytest.raises(Conflict, match=f"item {item.pk}"):
        written(made, "huggingface")


NAMES = {format: f"export.{formats.extension(format)}" for format in formats.WRITABLE}
SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
TEXTS = st.one_of(
    st.sampled_from(
        ["=1+1", "'=x", "-5", "a,b", 'say "hi"', "two\nlines", "lone\rreturn", "שלום", "你好", " x ", "\t"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cn")), min_size=1, max_size=20),
)
ITEMS = st.lists(
    st.tuples(
        TEXTS,
        st.none() | st.sampled_from(["yes", "=no", "标签"]),
        st.none() | st.text("ab=1-", min_size=1, max_size=5),
        st.dictionaries(st.text("kx ", min_size=1, max_size=3), st.integers() | TEXTS | st.lists(TEXTS), max_size=2),
    ),
    min_size=1,
    max_size=12,
)


def state(project: Project) -> list[tuple[Any, ...]]:
    """What an export must keep of a project."""
    items = Item.objects.filter(project=project).order_by("row").select_related("label")
    return [
        (bytes(item.content_hash), item.text, item.external_id, item.metadata, item.label and item.label.name)
        for item in items
    ]


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
@SETTINGS
@given(items=ITEMS)
def test_an_export_imports_again_into_an_equal_project(format: str, items: list[tuple[Any, ...]]) -> None:
    first = make.project(name="first")
    lines = [
        json.dumps({"text": text, "label": label, "external_id": number, "metadata": metadata})
        for text, label, number, metadata in items
    ]
    columns = {"item": "text", "label": "label", "external_id": "external_id", "metadata": ["metadata"]}
    job = job_for(first, "\n".join(lines), "a.jsonl", columns=columns)
    importing.run(job, Told())  # type: ignore[arg-type]
    if not Item.objects.filter(project=first).exists():
        return
    second = make.project(name="second")
    content = written(first, format, include_open=True)
    result = run(second, content, NAMES[format])
    assert result["bad"] == result["existing"] == 0
    assert state(second) == state(first)
    assert run(first, content, NAMES[format])["added"] == 0


@pytest.mark.parametrize("format", ["huggingface", "parquet", "label_studio"])
def test_an_export_of_images_imports_again_into_an_equal_project(format: str) -> None:
    first, second = make.project(name="first", modality="image"), make.project(name="second", modality="image")
    kinds = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
    members = {f"{'ab'[n % 2]}/{n}.{kind.lower()}": picture(20 * n, kind) for n, kind in enumerate(kinds)}
    assert run(first, archive(members), "a.zip")["added"] == 5
    assert run(second, written(first, format, include_open=True), NAMES[format])["added"] == 5
    assert state(second) == state(first)


def test_suggestions_do_not_come_back_as_answers(project: Project) -> None:
    for format in ("csv", "jsonl", "parquet", "huggingface", "label_studio"):
        second = make.project(name=format)
        content = written(project, format, include_suggestions=True)
        assert run(second, content, NAMES[format]) == {"added": 6, "existing": 0, "bad": 0, "labels_created": 2}
        assert second.answers.count() == 4, format


def test_everything_a_person_answered_is_in_a_large_export_once() -> None:
    made = make.project(labels=["yes", "no"])
    label = Label.objects.get(name="yes")
    content = "text,label\n" + "".join(f"text {n},yes\n" for n in range(12_000))
    run(made, content)
    found = rows(made)
    assert len(found) == 12_000
    assert len({row["text"] for row in found}) == 12_000
    assert {row["label"] for row in found} == {label.name}
