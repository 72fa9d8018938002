"""Ruling: rules vote on what is there and on what comes, and are heard in suggestions from no answer on."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from django.utils import timezone

from labeling import blobs, dispatch, formats, learner, pool, rulebook, tasks, votes
from labeling.errors import BadField, Cancelled, Conflict
from labeling.flow import adapting, answering, exporting, reviewing, ruling, suggesting
from labeling.models import Item, Job, Label, Lease, Project, Role, Rule, Snapshot, User
from tests import make

pytestmark = pytest.mark.django_db
ENCODER = "imported"
TEXTS = [f"{['red', 'green', 'blue'][k % 3]} thing {k}" for k in range(60)]


@pytest.fixture
def project() -> Project:
    """Sixty items of three labels; the vectors say nothing of them, the words everything."""
    learner.forget()
    made = make.project(labels=["red", "green", "blue"], texts=TEXTS, encoder=ENCODER)
    x = np.random.default_rng(0).standard_normal((60, 8))
    pool.write_chunk(made.pk, ENCODER, 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    return made


@pytest.fixture
def rita(project: Project) -> User:
    return make.member(project, Role.REVIEWER, "rita")


def label(project: Project, name: str) -> Label:
    return Label.objects.get(project=project, name=name)


def rule(project: Project, by: User, name: str, **values: Any) -> Rule:
    wanted = {"label": label(project, name), "kind": "keyword", "text": name} | values
    return ruling.make(project=project, by=by, values=wanted, now=timezone.now())


def fired(project: Project, *rules: Rule) -> list[list[int]]:
    count = Project.objects.get(pk=project.pk).tally.items
    found = votes.read(project.pk, rulebook.signatures(project, rules), count)
    return [np.flatnonzero(found[one.pk]).tolist() for one in rules]


def test_a_saved_rule_votes_and_the_model_hears_it_without_any_answer(
    on_the_spot: None, django_capture_on_commit_callbacks: Any, project: Project, rita: User
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        rules = [rule(project, rita, name) for name in ("red", "green", "blue")]
    assert fired(project, *rules) == [list(range(k, 60, 3)) for k in range(3)]
    assert set(Job.objects.values_list("kind", "state")) == {("vote", "done"), ("adapt", "done")}
    snapshot = Snapshot.objects.order_by("-number").first()
    assert snapshot is not None
    said = pool.read_predictions(project.pk, snapshot.number)
    wanted = [rules[row % 3].label_id for row in range(60)]
    assert said.label_id.tolist() == wanted
    assert [fact["id"] for fact in snapshot.facts["rules"]] == [one.pk for one in rules]
    assert snapshot.facts["rules"][0]["votes"] == 20
    assert snapshot.facts["rules"][0]["precision"] > 0.5
    assert snapshot.facts["voices"]["rules"] > 0


def test_each_suggestion_says_which_rules_spoke(project: Project, rita: User) -> None:
    red = rule(project, rita, "red")
    rule(project, rita, "green", text="thing 4, thing 5")
    ruling.vote(project)
    snapshot = adapting.adapt(project=project)
    item = Item.objects.get(project=project, row=0)
    leases = [Lease(project=project, item=item, holder=rita, top=[])]
    [told] = suggesting.for_leases(project, leases, snapshot)
    assert told is not None
    assert told["rules"] == [{"rule": red.pk, "label": red.label_id, "says": "contains “red”"}]
    assert set(rulebook.spoken(snapshot, [0, 1, 4, 5])) == {0, 4, 5}
    # What a changed or deleted rule says now is not what spoke then.
    ruling.change(rule=red, values={"text": "crimson"}, now=timezone.now())
    ruling.vote(project)
    assert 0 not in rulebook.spoken(snapshot, [0])


def test_items_that_come_later_are_voted_on_from_where_it_stopped(
    project: Project, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = rule(project, rita, "red")
    ruling.vote(project)
    make.add_texts(project, ["a red one", "a blue one"])
    read, window = [], ruling._window

    def noted(project: Project, start: int, end: int, columns: bool) -> list[Any]:
        read.append(start)
        return window(project, start, end, columns)

    monkeypatch.setattr(ruling, "_window", noted)
    ruling.vote(project)
    assert read == [60]
    assert fired(project, red) == [[*range(0, 60, 3), 60]]
    ruling.vote(project)
    assert read == [60]  # nothing left to do


def test_a_job_that_is_stopped_keeps_what_it_has_done(
    project: Project, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = rule(project, rita, "red")
    monkeypatch.setattr(ruling, "WINDOW", 10)

    def stop(done: int, *rest: object) -> None:
        if done == 30:
            raise Cancelled

    with pytest.raises(Cancelled):
        ruling.vote(project, stop)
    signed = rulebook.signatures(project, [red])
    assert votes.reach(project.pk, signed) == {red.pk: 30}
    ruling.vote(project)
    assert fired(project, red) == [list(range(0, 60, 3))]
    assert len(blobs.names(f"projects/{project.pk}/rules")) == 1


def test_a_new_rule_beside_an_old_one_reads_all_but_keeps_the_old_ones_votes(project: Project, rita: User) -> None:
    red = rule(project, rita, "red")
    ruling.vote(project)
    before = blobs.names(f"projects/{project.pk}/rules")
    blue = rule(project, rita, "blue", kind="regex", text="^BL.E")
    ruling.vote(project)
    assert fired(project, red, blue) == [list(range(0, 60, 3)), list(range(2, 60, 3))]
    assert set(before) < set(blobs.names(f"projects/{project.pk}/rules"))


def test_every_kind_of_rule(project: Project, rita: User) -> None:
    Item.objects.filter(project=project, row=7).update(metadata={"shade": 0.9})
    Item.objects.filter(project=project, row=8).update(metadata={"shade": "0.2"})
    first = Item.objects.get(project=project, row=3)
    rules = [
        rule(project, rita, "red", kind="phrase", text="Red  thing 3"),
        rule(project, rita, "red", kind="regex", text=r"thing (12|13)$"),
        rule(project, rita, "red", kind="column", column="shade", comparison="gt", text="0.5"),
        rule(project, rita, "red", kind="similar", item=first, threshold=0.999),
    ]
    ruling.vote(project)
    assert fired(project, *rules) == [[3], [12, 13], [7], [3]]
    assert [rulebook.says(one) for one in rules] == [
        "contains the phrase “Red  thing 3”",
        "matches the expression “thing (12|13)$”",
        "shade is more than “0.5”",
        "is like “red thing 3” (1.00)",
    ]


def test_a_rule_switched_off_or_deleted_is_silent_and_comes_back(project: Project, rita: User) -> None:
    red = rule(project, rita, "red")
    ruling.vote(project)

    def heard() -> bool:
        snapshot = adapting.adapt(project=project)
        assert snapshot is not None
        return "rules" in snapshot.facts

    assert heard()
    ruling.change(rule=red, values={"active": False}, now=timezone.now())
    assert not heard()
    ruling.change(rule=red, values={"active": True}, now=timezone.now())
    ruling.delete(rule=red, now=timezone.now())
    assert not heard()
    ruling.restore(rule=red)
    assert heard()
    Label.objects.filter(pk=red.label_id).update(archived_at=timezone.now())
    assert not heard()


def test_refuses_what_it_cannot_use(project: Project, rita: User) -> None:
    red = rule(project, rita, "red")
    with pytest.raises(Conflict, match="this rule already"):
        rule(project, rita, "red")
    with pytest.raises(BadField, match="never closed"):
        rule(project, rita, "red", kind="regex", text="(")
    with pytest.raises(BadField, match="Choose the item"):
        rule(project, rita, "red", kind="similar", threshold=0.5)
    ruling.delete(rule=red, now=timezone.now())
    with pytest.raises(Conflict, match="deleted meanwhile"):
        ruling.change(rule=red, values={"text": "x"}, now=timezone.now())
    again = rule(project, rita, "red")
    with pytest.raises(Conflict):
        ruling.restore(rule=red)
    assert Rule.objects.filter(deleted_at=None).get() == again


def test_rules_are_carried_to_another_project_by_the_labels_names(project: Project, rita: User) -> None:
    item = Item.objects.get(project=project, row=5)
    rule(project, rita, "red")
    off = rule(project, rita, "green", kind="column", column="shade", comparison="lt", text="3")
    rule(project, rita, "blue", kind="similar", item=item, threshold=0.7)
    ruling.change(rule=off, values={"active": False}, now=timezone.now())
    file = ruling.carried(project)
    other = make.project(labels=["green", "red"], texts=["nothing", TEXTS[5]], name="other")
    taken = ruling.take(project=other, by=rita, file=file, now=timezone.now())
    assert [(one.label.name, one.kind, one.off_at is None) for one in taken.made] == [
        ("red", "keyword", True),
        ("green", "column", False),
    ]
    assert taken.left == ["Rule 3: The project has no label “blue”. It has: green, red."]
    Label.objects.create(project=other, name="blue", position=2)
    again = ruling.take(project=other, by=rita, file=file, now=timezone.now())
    assert (again.known, [one.item.row for one in again.made if one.item]) == (2, [1])
    assert ruling.carried(other) == file
    for bad in (None, {}, {"rules": 3}, []):
        with pytest.raises(BadField):
            ruling.take(project=other, by=rita, file=bad, now=timezone.now())
    strange = {"rules": [3, {"kind": "keyword", "label": "red", "text": 5}, {"kind": "x"}]}
    assert len(ruling.take(project=other, by=rita, file=strange, now=timezone.now()).left) == 3


def test_a_rule_that_is_wrong_loses_its_voice_by_answers(project: Project, rita: User) -> None:
    wrong = rule(project, rita, "blue", text="red")
    ruling.vote(project)
    now = timezone.now()
    for item in Item.objects.filter(project=project, row__in=range(0, 30)):
        right = label(project, TEXTS[item.row].split()[0])
        answering.submit(project=project, item=item, author=rita, label=right, now=now)
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    [fact] = snapshot.facts["rules"]
    assert fact["id"] == wrong.pk
    assert fact["precision"] < 0.3
    said = pool.read_predictions(project.pk, snapshot.number).label_id
    assert (said[30::3] != wrong.label_id).mean() >= 0.6


def test_embedding_new_items_lets_the_rules_vote(project: Project, rita: User) -> None:
    red = rule(project, rita, "red")
    with dispatch.held_back():
        job = dispatch.start(project, Job.Kind.EMBED)
    tasks.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == ("done", "")
    assert fired(project, red) == [list(range(0, 60, 3))]


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
def test_an_export_names_the_rules_that_spoke_for_a_suggestion(project: Project, rita: User, format: str) -> None:
    red = rule(project, rita, "red")
    off = rule(project, rita, "green", text="thing 3")  # speaks of item 3 too, but for another label
    ruling.vote(project)
    snapshot = adapting.adapt(project=project)
    said = pool.read_predictions(project.pk, snapshot.number).label_id
    assert said[[0, 3]].tolist() == [red.label_id] * 2
    choice = reviewing.Choice(snapshot, threshold=0.0, label=label(project, "red"))
    reviewing.accept(project=project, reviewer=rita, choice=choice, now=timezone.now())
    out = io.BytesIO()
    exporting.write(project, exporting.Options(format, include_suggestions=True), out)
    named = {row["text"]: row["rules"] for row in exported(format, out.getvalue())}
    assert named["red thing 0"] == [f"#{red.pk} contains “red”"]
    assert named["red thing 3"] == named["red thing 0"]
    assert len(named) == 60
    others = {name for text, names in named.items() if "red" not in text for name in names}
    assert others <= {f"#{off.pk} contains “thing 3”"}
    ruling.delete(rule=red, now=timezone.now())
    out = io.BytesIO()
    exporting.write(project, exporting.Options(format), out)
    assert {tuple(row["rules"]) for row in exported(format, out.getvalue())} == {()}


def exported(format: str, content: bytes) -> list[dict[str, Any]]:
    """An export's rows with their "text" and "rules", as whoever gets the file reads them."""
    if format == "csv":
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        return [row | {"rules": json.loads(row["rules"] or "[]")} for row in rows]
    if format == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    if format == "parquet":
        rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        return [row | {"rules": json.loads(row["rules"] or "[]")} for row in rows]
    if format == "huggingface":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            rows = [json.loads(line) for line in archive.read("train.jsonl").splitlines()]
        return [row | {"rules": json.loads(row["rules"])} for row in rows]
    return [{"text": task["data"]["text"], "rules": task["meta"]["rules"]} for task in json.loads(content)]
