"""Crashes: an import or export whose process is killed goes on when it is run again; nothing is lost or doubled."""

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

ROWS = 3_000
BATCHES = 30
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Of a process with a data folder and a database of its own, and no broker."""
    database = "" if request.param == "sqlite" else fresh_database(request.getfixturevalue("postgres_url"))
    return os.environ | {
        "ANNOTATOR_MODE": "embedded",
        "ANNOTATOR_DATA_DIR": str(tmp_path / "data"),
        "ANNOTATOR_CACHE_DIR": "",
        "ANNOTATOR_STORAGE_URL": "",
        "DATABASE_URL": database,
        "REDIS_URL": f"redis+socket://{tmp_path}/none",
        "OMP_NUM_THREADS": "1",
    }


def fresh_database(url: str) -> str:
    """A new database on this server."""
    name = f"crashes_{uuid.uuid4().hex}"
    with psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.rpartition("/")[0] + "/" + name


def start(environment: dict[str, str], *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.flow.crashing", *map(str, words)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines(environment: dict[str, str], *words: object) -> list[Any]:
    with start(environment, *words) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return [json.loads(line) for line in out.splitlines()]


def kill_after(environment: dict[str, str], batches: int, *words: object) -> list[Any]:
    """Kill the process when it has told of so many batches; returns what it said."""
    said: list[Any] = []
    with start(environment, *words) as process:
        assert process.stdout is not None
        while sum(isinstance(one, dict) for one in said) < batches:
            said.append(json.loads(process.stdout.readline()))
        process.kill()
    assert process.returncode == -9
    return said


def test_what_was_killed_is_finished_by_the_next_run_and_nothing_is_doubled(environment: dict[str, str]) -> None:
    first, second = lines(environment, "begin", ROWS, 2)
    kill_after(environment, 4, "run", first)
    # Both import the same file at the same time; the first goes on where it was killed.
    told = {}
    processes = {job: start(environment, "run", job) for job in (first, second)}
    for job, process in processes.items():
        with process:
            out, _ = process.communicate(timeout=200)
        told[job] = [json.loads(line) for line in out.splitlines()]
    results = [told[job][-1] for job in (first, second)]
    assert [result["state"] for result in results] == ["done", "done"], results
    assert len(told[first]) - 1 <= BATCHES - 4
    assert len(told[second]) - 1 == BATCHES
    assert sum(result["result"]["added"] for result in results) == ROWS
    assert sum(result["result"]["existing"] for result in results) == ROWS
    whole = {"items": ROWS, "dense": True, "texts": ROWS, "answers": ROWS, "tally": [ROWS, ROWS], "exported": 0}
    assert whole in [result["kept"] for result in results]

    export = kill_after(environment, 5, "export")[0]
    exported = lines(environment, "run", export)[-1]
    assert (exported["state"], exported["result"]["rows"]) == ("done", ROWS)
    assert exported["kept"] == whole | {"exported": exported["result"]["size"]}
    assert exported["result"]["size"] > 100 * ROWS


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_votes_whose_job_was_killed_go_on_behind_the_last_that_were_stored(environment: dict[str, str]) -> None:
    imported, _second = lines(environment, "begin", 2_000, 2)
    lines(environment, "run", imported)
    [job] = lines(environment, "rule")
    kill_after(environment, 8, "run", job)
    before = lines(environment, "voted")[-1]
    assert 700 <= before["reach"] < 2_000
    told = lines(environment, "run", job)
    assert told[-1]["state"] == "done", told[-1]
    assert len(told) - 1 == (2_000 - before["reach"]) // 100
    assert lines(environment, "voted") == [{"reach": 2_000, "ends": ["0", "5"], "n": 400, "files": 1}]
