"""Sixteen annotators at once, against the real web server: each item once, none lost, no error, on both databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.services import free_port

ROOT = Path(__file__).parents[2]
PEOPLE, EACH = 16, 25
SET_UP = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from rest_framework.authtoken.models import Token
from labeling.models import Candidate, Item
from tests import make
project = make.project(labels=["yes", "no"], texts=[f"text {k}" for k in range(600)])
queue = Item.objects.filter(project=project, row__lt=200)
Candidate.objects.bulk_create(Candidate(project=project, item=item, position=item.row) for item in queue)
people = [make.member(project, "annotator", f"person{k}") for k in range(16)]
print(project.pk, *[Token.objects.create(user=person).key for person in people])
"""
LOOK = """
import django, json; django.setup()
from labeling.models import Answer, Lease, Project, Tally
from labeling import standing
answers = Answer.objects.filter(withdrawn_at=None).values_list("item_id", "author__username")
project = Project.objects.get()
print(json.dumps({"answers": list(answers), "answered": project.tally.answered, "counted": standing.counted(project)}))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Environment variables of an application of its own on either database, with no broker."""
    of_test = {name: value for name, value in os.environ.items() if not name.startswith(("ANNOTATOR_", "PYTEST"))}
    database = {} if request.param == "sqlite" else {"DATABASE_URL": request.getfixturevalue("postgres_url")}
    return (
        of_test
        | database
        | {
            "ANNOTATOR_DATA_DIR": str(tmp_path / "data"),
            "REDIS_URL": f"redis+socket://{tmp_path}/none",
            "DJANGO_SETTINGS_MODULE": "annotator.settings",
            "PYTHONPATH": str(ROOT),
        }
    )


def python(environment: dict[str, str], code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def people(environment: dict[str, str]) -> list[str]:
    """The project's id and the tokens of sixteen annotators."""
    return python(environment, SET_UP).split()


@pytest.fixture
def server(environment: dict[str, str], people: list[str], tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--workers", "2", "--port", str(port)]
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [*command, "annotator.asgi:application"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address)
        yield address
    finally:
        web.terminate()
        web.wait(20)


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the web server did not start")


def call(address: str, token: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, {"error": error.read().decode()}


def annotate(address: str, token: str) -> list[tuple[int, int]]:
    """Answer EACH items; every answer is sent twice, as after a lost reply. Returns (item, status)."""
    tab = uuid.uuid4().hex
    held = call(f"{address}/next?count=3&tab={tab}", token)[1]["items"]
    done = []
    for k in range(EACH):
        item = held[0]["id"]
        body = {"item": item, "label": ("yes", "no")[k % 2], "key": str(uuid.uuid4()), "tab": tab, "count": 3}
        status, reply = call(f"{address}/answers/", token, body)
        again, _ = call(f"{address}/answers/", token, body | {"count": 0})
        done.append((item, status if again == 200 else again))
        held = reply["next"]
    return done


def test_nothing_is_doubled_or_lost(environment: dict[str, str], people: list[str], server: str) -> None:
    project, tokens = people[0], people[1:]
    api = f"{server}/api/projects/{project}"
    with ThreadPoolExecutor(PEOPLE) as threads:
        done = [pair for some in threads.map(lambda token: annotate(api, token), tokens) for pair in some]
    assert Counter(status for _item, status in done) == {201: PEOPLE * EACH}
    assert len({item for item, _status in done}) == PEOPLE * EACH
    found = json.loads(python(environment, LOOK))
    assert len(found["answers"]) == PEOPLE * EACH
    assert {item for item, _author in found["answers"]} == {item for item, _status in done}
    assert Counter(author for _item, author in found["answers"]) == {f"person{k}": EACH for k in range(PEOPLE)}
    assert found["answered"] == found["counted"]["answered"] == PEOPLE * EACH
