"""Accepting thousands in the background: killed and run again, and while a person answers the same items."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

ITEMS, EACH = 2000, 20  # as in tests.flow.accepting, which sets Django up when it is imported

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Of a process with a data folder and a database of its own, where the job waits to be run."""
    database = "" if request.param == "sqlite" else fresh_database(request.getfixturevalue("postgres_url"))
    made = os.environ | {
        "ANNOTATOR_MODE": "embedded",
        "ANNOTATOR_DATA_DIR": str(tmp_path / "data"),
        "ANNOTATOR_CACHE_DIR": "",
        "ANNOTATOR_STORAGE_URL": "",
        "DATABASE_URL": database,
        "REDIS_URL": f"redis+socket://{tmp_path}/none",
        "OMP_NUM_THREADS": "1",
    }
    assert finish(start(made, "begin")) != [None]
    return made


def fresh_database(url: str) -> str:
    """A new database on this server."""
    name = f"accepting_{uuid.uuid4().hex}"
    with psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.rpartition("/")[0] + "/" + name


def start(environment: dict[str, str], what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.flow.accepting", what]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[Any]:
    """Wait for its end; returns what it said."""
    with process:
        out, _errors = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return [json.loads(line) for line in out.splitlines()]


def test_killed_and_run_again_while_a_person_answers_the_same_items(environment: dict[str, str]) -> None:
    with start(environment, "run") as process:
        assert process.stdout is not None
        for _chunk in range(4):
            assert process.stdout.readline()
        process.kill()
    people, worker = start(environment, "answer"), start(environment, "run")
    finish(people)
    chunks = finish(worker)
    (told,) = finish(start(environment, "tell"))
    mine = list(range(0, ITEMS, EACH))
    assert len(chunks) < ITEMS / 100, "it goes on behind what was committed before the kill"
    assert told["job"] == "done"
    assert (told["answered"], told["labels"]) == (mine, ["Exchange rate"])
    assert told["tally"] == told["counted"]
    assert told["counted"] == {"open": 0, "answered": len(mine), "imported": 0, "accepted": ITEMS - len(mine)}
    # Some may have been accepted before they were answered; none after, and none twice.
    assert ITEMS - len(mine) <= told["accepted"] == told["batch"] <= ITEMS
