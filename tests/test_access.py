"""Every door with every role: who gets in, who is refused, and to whom a project does not exist.

TABLE lists every address and method. An address without a row fails `test_every_address_has_a_row`, and an API method
without one fails `test_every_method_of_the_api_has_a_row`.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from PIL import Image

from labeling import checkpoints, live
from labeling.flow import answering, examining, joining, receiving, ruling
from labeling.models import BadRow, Batch, Export, Item, Job, Mark, Member, Project, Role, User
from metalearning.gate import RECIPE
from tests import factories, make

ANYBODY, SIGNED_IN, STAFF = "anybody", "signed in", "staff"
ANNOTATOR, REVIEWER, ADMIN = Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN
ROLES = ("anonymous", "stranger", "annotator", "reviewer", "admin")


@dataclass(frozen=True)
class Door:
    """One address and method: who may use it, what it answers them, and what is sent."""

    method: str
    name: str  # of the URL pattern
    needed: str
    status: int = 200  # for those who may
    body: Callable[[World], Any] | None = None
    form: bool = False  # a form's fields instead of JSON
    query: str = ""


@dataclass
class World:
    """A project with one row of everything, and the people around it."""

    project: Project
    ids: dict[str, Any] = field(default_factory=dict)

    def address(self, door: Door) -> str:
        """The door's address, with this project's rows."""
        pattern = PATTERNS[door.name]
        wanted = {name: self.ids[name] for name in pattern.pattern.regex.groupindex}
        return reverse(door.name, kwargs=wanted) + door.query


def _item(world: World) -> dict[str, Any]:
    return {"item": world.ids["item_id"]}


def _answer(world: World) -> dict[str, Any]:
    return {"item": world.ids["item_id"], "label": world.ids["label_id"]}


def _accept(world: World) -> dict[str, Any]:
    return {"snapshot": 1, "threshold": 0.9}


def _two_checkpoints(world: World) -> dict[str, Any]:
    return {"first": world.ids["checkpoint_id"], "second": world.ids["other_checkpoint_id"]}


def _rule(world: World) -> dict[str, Any]:
    return {"label": world.ids["label_id"], "kind": "keyword", "text": "card"}


def _revoke(world: World) -> dict[str, Any]:
    return {"do": "revoke", "invitation": world.ids["invitation_id"]}


def _file(world: World) -> dict[str, Any]:
    return {"file": io.BytesIO(b"text\nhello\n")}


# fmt: off
TABLE = (
    # The installation
    Door("GET", "healthz", ANYBODY),
    Door("POST", "set_language", ANYBODY, 302, lambda world: {"language": "en"}, form=True),
    Door("GET", "schema", SIGNED_IN),
    Door("GET", "docs", SIGNED_IN),
    Door("GET", "signin", ANYBODY),
    Door("POST", "signout", ANYBODY, 302),
    Door("GET", "invitation", ANYBODY),
    Door("POST", "api_token", ANYBODY, 401, lambda world: {"username": "nobody", "password": "wrong"}),
    Door("DELETE", "api_token", SIGNED_IN, 204),
    Door("GET", "api_unknown", ANYBODY, 404),
    # The person
    Door("GET", "account", SIGNED_IN),
    Door("POST", "account", SIGNED_IN, 302, lambda world: {"do": "keys"}, form=True),
    Door("GET", "api_me", SIGNED_IN),
    Door("PATCH", "api_me", SIGNED_IN, 200, lambda world: {"name": "New"}),
    Door("POST", "api_password", SIGNED_IN, 422, lambda world: {"old": "wrong", "new": "something else"}),
    # Projects
    Door("GET", "projects", SIGNED_IN),
    Door("GET", "project_new", STAFF),
    Door("POST", "project_new", STAFF, 302, lambda world: {"name": "A", "modality": "text"}, form=True),
    Door("GET", "api_projects", SIGNED_IN),
    Door("POST", "api_projects", STAFF, 201, lambda world: {"name": "A", "modality": "text"}),
    Door("GET", "api_project", ANNOTATOR),
    Door("PATCH", "api_project", ADMIN, 200, lambda world: {"name": "B"}),
    Door("DELETE", "api_project", ADMIN, 204, lambda world: {"name": world.project.name}),
    Door("GET", "gold", REVIEWER),
    Door("POST", "gold", REVIEWER, 302, lambda world: by_hand(world), form=True),
    Door("GET", "settings", ADMIN),
    Door("POST", "settings", ADMIN, 302, lambda world: {"do": "labels", "labels": "new"}, form=True),
    # Labels
    Door("GET", "api_labels", ANNOTATOR),
    Door("POST", "api_labels", ADMIN, 201, lambda world: {"name": "new"}),
    Door("PATCH", "api_label", ADMIN, 200, lambda world: {"name": "renamed"}),
    Door("DELETE", "api_label", ADMIN, 200),
    # Rules
    Door("GET", "rules", REVIEWER),
    Door("GET", "api_rules", REVIEWER),
    Door("POST", "api_rules", REVIEWER, 201, lambda world: _rule(world) | {"text": "another"}),
    Door("POST", "api_rule_preview", REVIEWER, 200, lambda world: _rule(world)),
    Door("GET", "api_rule_proposals", REVIEWER),
    Door("GET", "api_rule_file", REVIEWER),
    Door("POST", "api_rule_file", REVIEWER, 200, lambda world: {"rules": []}),
    Door("PATCH", "api_rule", REVIEWER, 200, lambda world: {"active": False}),
    Door("DELETE", "api_rule", REVIEWER, 204),
    Door("POST", "api_rule_restore", REVIEWER),
    Door("GET", "api_rule_items", REVIEWER),
    # People
    Door("GET", "people", ADMIN),
    Door("POST", "people", ADMIN, 302, _revoke, form=True),
    Door("GET", "api_members", ADMIN),
    Door("POST", "api_members", ADMIN, 201, lambda world: {"username": "spare", "role": "annotator"}),
    Door("PATCH", "api_member", ADMIN, 200, lambda world: {"role": "reviewer"}),
    Door("DELETE", "api_member", ADMIN, 204),
    Door("GET", "api_invitations", ADMIN),
    Door("POST", "api_invitations", ADMIN, 201, lambda world: {"role": "annotator"}),
    Door("DELETE", "api_invitation", ADMIN, 204),
    # Import and jobs
    Door("GET", "import", ADMIN),
    Door("POST", "api_uploads", ADMIN, 201, _file, form=True),
    Door("GET", "api_upload", ADMIN),
    Door("DELETE", "api_upload", ADMIN, 204),
    Door("GET", "api_upload_labels", ADMIN, query="?label=label"),
    Door("POST", "api_imports", ADMIN, 202, lambda world: {"upload": world.ids["upload_id"]}),
    Door("GET", "api_jobs", REVIEWER),
    Door("GET", "api_job", REVIEWER),
    Door("POST", "api_job_cancel", ADMIN, 202),
    Door("GET", "api_bad_rows", ADMIN),
    Door("GET", "api_bad_rows_csv", ADMIN),
    # Data
    Door("GET", "data", REVIEWER),
    Door("GET", "item", REVIEWER),
    Door("GET", "item_image", ANNOTATOR),
    Door("GET", "api_items", REVIEWER),
    Door("GET", "api_item", REVIEWER),
    Door("POST", "api_item_correct", REVIEWER, 201, lambda world: {"label": world.ids["label_id"]}),
    Door("DELETE", "api_item_flags", REVIEWER, 204),
    Door("GET", "api_gold", REVIEWER),
    Door("POST", "api_gold", REVIEWER, 201, lambda world: by_hand(world)),
    Door("DELETE", "api_one_gold", REVIEWER, 204, lambda world: gilded(world)),
    Door("POST", "api_resume", ADMIN, 200, lambda world: paused(world)),
    Door("GET", "disagreements", REVIEWER),
    Door("GET", "annotators", REVIEWER),
    Door("GET", "api_disagreements", REVIEWER),
    Door("GET", "api_annotators", REVIEWER),
    Door("POST", "api_decision", REVIEWER, 201, lambda world: {"label": world.ids["label_id"]}),
    Door("DELETE", "api_decision", REVIEWER, 204, lambda world: decided(world)),
    Door("GET", "api_comments", REVIEWER),
    Door("POST", "api_comments", REVIEWER, 201, lambda world: {"text": "Which is it?"}),
    Door("POST", "api_send_back", REVIEWER, 201, lambda world: {"answer": answered(world), "text": "Look again."}),
    # Labelling
    Door("GET", "label", ANNOTATOR),
    Door("GET", "events", ANNOTATOR),
    Door("GET", "api_next", ANNOTATOR),
    Door("GET", "api_answers", ANNOTATOR),
    Door("POST", "api_answers", ANNOTATOR, 201, _answer),
    Door("DELETE", "api_answer", ANNOTATOR, 404),  # somebody else's answer
    Door("POST", "api_undo", ANNOTATOR, 404, lambda world: {}),  # nothing to take back
    Door("POST", "api_skips", ANNOTATOR, 201, _item),
    Door("DELETE", "api_skip", ANNOTATOR),
    Door("POST", "api_flags", ANNOTATOR, 201, _item),
    Door("DELETE", "api_flag", ANNOTATOR, 204),
    Door("POST", "api_release", ANNOTATOR, 200, lambda world: {"tab": "one"}),
    Door("GET", "api_progress", ANNOTATOR),
    # Review
    Door("GET", "review", REVIEWER),
    Door("GET", "api_suggestions", REVIEWER),
    Door("GET", "api_histogram", REVIEWER),
    Door("GET", "api_acceptances", REVIEWER),
    Door("POST", "api_acceptances", REVIEWER, 201, _accept),
    Door("POST", "api_acceptance_preview", REVIEWER, 200, _accept),
    Door("POST", "api_acceptance_undo", REVIEWER, 200, lambda world: {}),
    Door("POST", "api_rejections", REVIEWER, 201, _item),
    Door("DELETE", "api_rejection", REVIEWER, 409),  # nothing was rejected
    # Quality
    Door("GET", "quality", REVIEWER),
    Door("GET", "doubts", REVIEWER),
    Door("GET", "duplicates", REVIEWER),
    Door("GET", "api_quality", REVIEWER),
    Door("GET", "api_doubts", REVIEWER),
    Door("POST", "api_doubt_keep", REVIEWER, 409),  # the item is open
    Door("DELETE", "api_doubt_keep", REVIEWER, 409),
    Door("POST", "api_doubt_ask_again", REVIEWER, 409),
    Door("GET", "api_duplicates", REVIEWER),
    # Certificates
    Door("GET", "certificate", REVIEWER),
    Door("GET", "api_certificates", REVIEWER),
    Door("POST", "api_certificates", REVIEWER, 409, lambda world: {"eps": 0.1}),  # too few items to be worth it
    Door("GET", "api_certificate_proposal", REVIEWER, query="?eps=0.1"),
    Door("GET", "api_certificate", REVIEWER),
    Door("POST", "api_certificate_stop", REVIEWER, 409),  # it has ended
    Door("POST", "api_certificate_accept", REVIEWER, 201),
    Door("GET", "api_certificate_record", REVIEWER),
    Door("POST", "api_samples", REVIEWER, 201, lambda world: {"audits": 10}),
    # Overview, models, export
    Door("GET", "overview", ANNOTATOR),
    Door("GET", "api_overview", ANNOTATOR),
    Door("GET", "models", REVIEWER),
    Door("POST", "models", ADMIN, 302, lambda world: {"do": "finish"}, form=True),
    Door("GET", "api_snapshots", ANNOTATOR),
    Door("GET", "api_evaluation", REVIEWER),
    Door("GET", "api_checkpoints", REVIEWER),
    Door("POST", "api_checkpoints", ADMIN, 200, lambda world: {"checkpoint": world.ids["checkpoint_id"]}),
    Door("POST", "api_checkpoint_use", STAFF),
    Door("POST", "api_pin", ADMIN, 200, lambda world: {"snapshot": 1}),
    Door("GET", "api_comparisons", REVIEWER),
    Door("POST", "api_comparisons", ADMIN, 202, _two_checkpoints),
    Door("POST", "api_improvements", ADMIN, 409, lambda world: {}),  # no project contributes
    Door("POST", "api_finish", ADMIN, 200, lambda world: {"finished": True}),
    Door("GET", "export", REVIEWER),
    Door("GET", "api_exports", REVIEWER),
    Door("POST", "api_exports", REVIEWER, 202, lambda world: {"format": "csv"}),
    Door("GET", "api_export", REVIEWER),
    Door("DELETE", "api_export", REVIEWER, 204),
    Door("GET", "api_export_download", REVIEWER),
)
# fmt: on
UNNAMED = {"api/docs/": "docs"}  # the same page with a slash behind
# Pages that scripts ask, which a redirect to the sign-in page would only confuse.
REFUSES_PLAINLY = {"schema", "docs", "events"}


def _patterns(found: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for one in found:
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, prefix + str(one.pattern))
        else:
            yield UNNAMED.get(prefix + str(one.pattern)) or one.name or prefix + str(one.pattern), one


PATTERNS = dict(_patterns(get_resolver().url_patterns))


@pytest.fixture
def world(db: None) -> World:
    """A project with a row of everything; "anna", "rita" and "owner" are in it, "stranger" leads another one."""
    project = factories.project(4)
    for role, name in ((ANNOTATOR, "anna"), (REVIEWER, "rita"), (ANNOTATOR, "other")):
        make.member(project, role, name)
    make.user("spare")
    make.project(admin="stranger", name="Elsewhere")
    world = World(project, {"project_id": project.pk})
    items = list(Item.objects.filter(project=project).order_by("row"))
    _with_image(items[0])
    snapshot = factories.snapshot(project, [0.95] * 4)
    owner = User.objects.get(username="owner")
    answer = factories.answer(items[3], User.objects.get(username="other"), factories.label(project, 0))
    batch = Batch.objects.create(project=project, accepted_by=owner, snapshot=snapshot, created_at=make.NOW)
    Mark.objects.create(project=project, item=items[1], author=owner, code="flag", created_at=make.NOW)
    invitation, token = joining.invite(project=project, inviter=owner, role="annotator", now=timezone.now())
    upload = receiving.keep(
        project=project, file=ContentFile(b"text,label\nhello,x\n", "a.csv"), by=owner, now=timezone.now()
    )
    fits = {"recipe": RECIPE, "serves": [project.encoder]}
    shipped: dict[str, Any] = {"origin": "shipped", "created_at": make.NOW, "config": fits}
    world.ids |= {
        "item_id": items[0].pk,
        "label_id": factories.label(project, 1).pk,
        "answer_id": answer.pk,
        "batch_id": batch.pk,
        "member_id": Member.objects.get(project=project, user__username="other").pk,
        "invitation_id": invitation.pk,
        "token": token,
        "upload_id": upload.pk,
        "job_id": _job(project).pk,
        "export_id": _export(project).pk,
        "checkpoint_id": checkpoints.keep(b"one", name="One", **shipped).pk,
        "other_checkpoint_id": checkpoints.keep(b"two", name="Two", **shipped).pk,
        "rule_id": ruling.make(
            project=project,
            by=owner,
            values={"label": factories.label(project, 1), "kind": "keyword", "text": "long"},
            now=timezone.now(),
        ).pk,
        "certificate_id": factories.certificate(project, snapshot, owner).number,
    }
    return world


def answered(world: World) -> int:
    """The number of a current answer to the world's item."""
    item = Item.objects.get(pk=world.ids["item_id"])
    return factories.answer(item, User.objects.get(username="other"), factories.label(world.project, 0)).pk


def by_hand(world: World) -> dict[str, int]:
    """The world's item and a label."""
    return {"item": world.ids["item_id"], "label": world.ids["label_id"]}


def gilded(world: World) -> None:
    """The world's item is gold."""
    item, owner = Item.objects.get(pk=world.ids["item_id"]), User.objects.get(username="owner")
    label = factories.label(world.project, 0)
    examining.set_by_hand(project=world.project, item=item, label=label, by=owner, now=make.NOW)


def paused(world: World) -> None:
    """The world's member is paused."""
    Member.objects.filter(pk=world.ids["member_id"]).update(paused_at=make.NOW)


def decided(world: World) -> None:
    """A reviewer has decided on the world's item."""
    item, owner = Item.objects.get(pk=world.ids["item_id"]), User.objects.get(username="owner")
    label = factories.label(world.project, 0)
    answering.decide(project=world.project, item=item, reviewer=owner, label=label, now=make.NOW)


def _with_image(item: Item) -> None:
    drawn = io.BytesIO()
    Image.new("L", (8, 8)).save(drawn, "PNG")
    path = default_storage.save(f"projects/{item.project_id}/images/00/0.png", ContentFile(drawn.getvalue()))
    Item.objects.filter(pk=item.pk).update(image=path, image_type="image/png")


def _job(project: Project) -> Job:
    job = Job.objects.create(project=project, kind=Job.Kind.IMPORT, created_at=timezone.now())
    BadRow.objects.create(job=job, number=3, column="text", reason="=empty")
    return job


def _export(project: Project) -> Export:
    now = timezone.now()
    path = default_storage.save(f"projects/{project.pk}/exports/1/a.csv", ContentFile(b"text\n"))
    job = Job.objects.create(
        project=project,
        kind=Job.Kind.EXPORT,
        state=Job.State.DONE,
        arguments={"format": "csv"},
        created_at=now,
        finished_at=now + timedelta(seconds=1),
    )
    return Export.objects.create(project=project, job=job, name="a.csv", path=path, size=5, created_at=now)


def _client(role: str) -> Client:
    names = {"stranger": "stranger", "annotator": "anna", "reviewer": "rita", "admin": "owner"}
    client = Client(raise_request_exception=True)
    if role != "anonymous":
        client.force_login(User.objects.get(username=names[role]))
    return client


def _ask(client: Client, door: Door, world: World) -> int:
    body = door.body(world) if door.body else None
    if door.form and body is not None:
        return int(client.post(world.address(door), body).status_code)
    data = json.dumps(body) if body is not None else ""
    kind = "application/json" if body is not None else "application/octet-stream"
    response = client.generic(door.method, world.address(door), data, content_type=kind)
    response.close()
    return int(response.status_code)


def _expected(door: Door, role: str) -> int:
    if door.name == "signin" and role != "anonymous":
        return 302  # onward
    if door.needed == ANYBODY:
        return door.status
    is_api = door.name.startswith("api_") or door.name in REFUSES_PLAINLY
    if role == "anonymous":
        return 401 if is_api else 302
    if door.needed == SIGNED_IN:
        return door.status
    if door.needed == STAFF:
        return 403  # nobody here is staff; `test_staff_make_projects` looks at those who are
    if role == "stranger":
        return 404
    return door.status if Role(role).reaches(Role(door.needed)) else 403


ENDING = [door for door in TABLE if door.name != "events"]  # that one is an endless stream: see test_events


@pytest.mark.parametrize("door", ENDING, ids=lambda door: f"{door.method} {door.name}")
def test_each_role_gets_what_it_may(door: Door, world: World) -> None:
    found = {}
    for role in ROLES:
        with transaction.atomic():
            found[role] = _ask(_client(role), door, world)
            transaction.set_rollback(True)
    assert found == {role: _expected(door, role) for role in ROLES}


@pytest.mark.parametrize(
    "door", [one for one in TABLE if one.needed == STAFF], ids=lambda one: f"{one.method} {one.name}"
)
def test_staff_make_projects(door: Door, world: World) -> None:
    User.objects.filter(username="stranger").update(is_staff=True)
    assert _ask(_client("stranger"), door, world) == door.status


@pytest.mark.parametrize(
    ("role", "status"),
    [("anonymous", 401), ("stranger", 404), ("annotator", 200), ("reviewer", 200), ("admin", 200)],
)
def test_events(role: str, status: int, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_line(project_id: int) -> AsyncIterator[str]:
        yield ": connected\n\n"

    monkeypatch.setattr(live, "stream", one_line)
    door = next(door for door in TABLE if door.name == "events")
    assert _ask(_client(role), door, world) == status


def test_every_address_has_a_row() -> None:
    listed = {door.name for door in TABLE}
    assert set(PATTERNS) - listed == set(), "these addresses have no row in TABLE"
    assert listed - set(PATTERNS) == set(), "these rows have no address"


def test_every_method_of_the_api_has_a_row() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    described = {
        (method.upper(), _name_of(path))
        for path, operations in schema["paths"].items()
        for method in operations
        if method in ("get", "post", "put", "patch", "delete")
    }
    listed = {(door.method, door.name) for door in TABLE}
    assert described - listed == set(), "these methods have no row in TABLE"


def _name_of(path: str) -> str:
    filled = path.replace("{", "").replace("}", "")
    for name in (
        "project",
        "certificate",
        "label",
        "member",
        "invitation",
        "upload",
        "job",
        "item",
        "answer",
        "batch",
        "export",
        "checkpoint",
        "rule",
    ):
        filled = filled.replace(f"{name}_id", "1")
    return str(resolve(filled.removesuffix("/") or "/").url_name)


def _names_a_row(door: Door) -> bool:
    return bool(set(PATTERNS[door.name].pattern.regex.groupindex) - {"project_id", "token", "checkpoint_id"})


@pytest.mark.parametrize(
    "door", [one for one in TABLE if _names_a_row(one)], ids=lambda one: f"{one.method} {one.name}"
)
def test_rows_of_other_projects_do_not_exist(door: Door, world: World) -> None:
    """The admin of one project reaches none of another's rows by putting their ids behind the own project's."""
    theirs = World(world.project, world.ids | {"project_id": Project.objects.get(name="Elsewhere").pk})
    assert _ask(_client("stranger"), door, theirs) == 404
