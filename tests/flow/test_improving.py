"""Improving through a real Celery worker: finished projects are learned from, and the rule accepts and refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labeling.errors import Conflict
from labeling.flow import improving
from labeling.models import Checkpoint, Job, Project
from tests import make
from tests.browser.site import MIGRATE, ROOT

SECONDS = 240
PRELUDE = """
import django, json
django.setup()
import numpy as np
from django.db import transaction
from django.utils import timezone
from labeling import checkpoints, jobs, naming, pool
from labeling.flow import founding, improving
from labeling.models import Answer, Checkpoint, Item, Job, Project
from tests import factories, make
from tests.metalearning.made_sources import misnamed

def family(kind):
    '''Three finished projects whose labels' names mislead; "noise" was answered by lot.'''
    made = []
    for number in range(3):
        rng = np.random.default_rng(number)
        labels = [f"{kind} {number} {k}" for k in range(4)]
        texts = [f"{kind} {number} item {row}" for row in range(160)]
        project = make.project(labels=labels, texts=texts, name=f"{kind} {number}", encoder="minilm")
        source = misnamed(project.name, seed=number)
        centres, truth, x = source.names, source.label_ids, source.x
        pool.write_chunk(project.pk, "minilm", 0, x)
        wordings = [naming.wording(label) for label in project.labels.order_by("position")]
        naming._write(
            f"projects/{project.pk}/names/{pool.safe('minilm')}.npz",
            {naming._key(words): centres[k] for k, words in enumerate(wordings)},
        )
        told = rng.permutation(truth) if kind == "noise" else truth
        owner, ordered = make.user("owner"), list(project.labels.order_by("position"))
        with transaction.atomic():
            for item in Item.objects.filter(project=project):
                factories.answer(item, owner, ordered[told[item.row]])
        founding.finish(project=project, finished=True, contributes=True, now=timezone.now())
        made.append(project)
    return made

QUICK = {
    "tasks": 30, "validation_tasks": 12, "draws": 6, "items": [80, 160], "shots": [2, 3, 5], "by_margin": [],
}
"""


# What came with the application leans already: here training begins with the fixed weights.
BARE = 'Checkpoint.objects.filter(origin="shipped").update(chosen_at=None)\n'


class Server:
    """A database, a broker and a worker process; `run` runs code among its rows."""

    def __init__(self, folder: Path, redis: str) -> None:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("ANNOTATOR_", "PYTEST", "DJANGO"))}
        self.environment = kept | {
            "ANNOTATOR_DATA_DIR": str(folder / "data"),
            "REDIS_URL": redis,
            "DJANGO_SETTINGS_MODULE": "annotator.settings",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        self._python(MIGRATE)

    def run(self, code: str) -> Any:
        """What the code puts into `result`."""
        return json.loads(self._python(f"{PRELUDE}\n{code}\nprint(json.dumps(result))").splitlines()[-1])

    def row(self, fields: str, table: str, pk: int) -> tuple[Any, ...]:
        """Some columns of a row."""
        with closing(sqlite3.connect(Path(self.environment["ANNOTATOR_DATA_DIR"]) / "annotator.sqlite3")) as database:
            return database.execute(f"SELECT {fields} FROM labeling_{table} WHERE id = ?", (pk,)).fetchone()

    def _python(self, code: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, cwd=ROOT, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[Server]:
    server = Server(tmp_path, redis_url)
    command = [sys.executable, "-m", "celery", "-A", "annotator", "worker", "-c", "1", "--without-gossip"]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=server.environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield server
    finally:
        worker.terminate()
        worker.wait(30)


def improved(server: Server, kind: str) -> dict[str, Any]:
    """Finish a family of projects, ask for an improvement, wait for the worker; what came of it."""
    job = server.run(
        f"{BARE}Project.objects.update(contributes=False)\nprojects = family({kind!r})\n"
        "result = improving.begin(project=projects[0], by=None, asked=QUICK).pk"
    )
    until = time.monotonic() + SECONDS
    while (told := server.row("state, error, result", "job", job))[0] in ("queued", "running"):
        assert time.monotonic() < until, told
        time.sleep(0.5)
    assert told[:2] == ("done", "")
    result = json.loads(told[2])
    fields = ("state", "origin", "chosen_at", "parent_id", "evidence", "sources", "curves")
    made = dict(zip(fields, server.row(", ".join(fields), "checkpoint", result["checkpoint"]), strict=True))
    assert json.loads(made["evidence"])["promoted"] == result["promoted"]
    return made | {name: json.loads(made[name]) for name in fields[-3:]} | {"id": result["checkpoint"]}


def test_finished_projects_improve_the_models_only_where_they_help(server: Server) -> None:
    taken = improved(server, "misnamed")
    assert (taken["state"], taken["origin"]) == ("ready", "self-trained")
    assert taken["chosen_at"], "it is in use"
    assert taken["evidence"]["difference"]["low"] > 0
    assert [part["items"] for part in taken["sources"]] == [160] * 3
    assert len(taken["evidence"]["projects"]) == 3
    assert taken["curves"]["steps"][0] == 1

    refused = improved(server, "noise")
    assert (refused["state"], refused["chosen_at"]) == ("refused", None)
    assert refused["evidence"]["difference"]["low"] <= 0
    assert refused["parent_id"] == refused["evidence"]["against"] == taken["id"], "it went on from the one in use"


@pytest.mark.django_db
def test_too_few_projects_and_two_at_once_are_refused() -> None:
    first, second = make.project(name="One"), make.project(name="Two", admin="other")
    with pytest.raises(Conflict, match="At least 2 projects"):
        improving.begin(project=first, by=None)
    Project.objects.update(contributes=True)
    begun = improving.begin(project=first, by=None)
    with pytest.raises(Conflict, match="being improved already"):
        improving.begin(project=second, by=None)
    with pytest.raises(Conflict, match="Fewer than 2"):
        improving.run(begun, lambda *_: None)


@pytest.mark.django_db
def test_at_night_only_what_has_changed_is_learned_from() -> None:
    projects = [make.project(name=name, contributes=True) for name in ("One", "Two")]
    job = improving.nightly()
    assert job is not None
    Job.objects.all().delete()
    sources = [{"project": project.pk, "answers": 0} for project in projects]
    Checkpoint.objects.create(name="t", origin="self-trained", content_hash="x", sources=sources, created_at=make.NOW)
    assert improving.nightly() is None
    Project.objects.filter(pk=projects[0].pk).update(contributes=False)
    assert improving.nightly() is None, "one alone cannot be judged"
