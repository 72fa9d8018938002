"""Services: Redis, PostgreSQL and Chromium for tests, each started by the test run itself, on sockets of its own.

Use the fixtures `redis_url`, `postgres_url` and `chromium`; each skips, with the reason shown, where its program
is not installed. The context managers behind them serve benchmarks as well.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deploy import broker
from deploy.console import Refusal

START_SECONDS = 30.0
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Unavailable(Exception):
    """A program that is not installed here; says which."""


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis-compatible server that keeps nothing on disk; yields its URL as Celery spells it."""
    try:
        server = broker.find_server()
    except Refusal as refusal:
        raise Unavailable(refusal.wrong) from refusal
    with tempfile.TemporaryDirectory(prefix="annotator-redis-") as folder:
        place = Path(folder) / "redis.sock"
        command = [server, "--port", "0", "--unixsocket", place, "--dir", folder, "--save", "", "--appendonly", "no"]
        with _running(command, Path(folder) / "log"):
            _wait_until(lambda: broker.answers(place), "Redis")
            yield broker.url(place)


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL cluster with an empty database; yields its URL. Fast, and lost with the machine's power."""
    programs = _postgres_programs()
    with tempfile.TemporaryDirectory(prefix="annotator-pg-") as folder:
        if os.getuid() == 0:  # it refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = _as_postgres()
        cluster = Path(folder) / "cluster"
        initialise = [programs / "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        subprocess.run([*user, *initialise, "--locale=C.UTF-8", cluster], check=True, capture_output=True, cwd=folder)
        settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"]
        command = [*user, programs / "postgres", "-D", cluster, "-k", folder, "-h", ""]
        command += [part for setting in settings for part in ("-c", setting)]
        with _running(command, Path(folder) / "log"):
            url = f"postgres://postgres@{quote(folder, safe='')}/postgres"
            _wait_until(lambda: _postgres_answers(folder), "PostgreSQL")
            yield url


def _postgres_programs() -> Path:
    """The folder that holds initdb and postgres: Debian keeps them off the PATH."""
    folders = [Path(found).parent for found in (shutil.which("initdb"),) if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Unavailable("PostgreSQL is not installed (Debian: apt install postgresql)")


def _as_postgres() -> list[str]:
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError as error:
        raise Unavailable("PostgreSQL does not run as root and there is no user postgres") from error
    return ["runuser", "-u", "postgres", "--"]


def _postgres_answers(folder: str) -> bool:
    import psycopg

    try:
        psycopg.connect(host=folder, user="postgres", dbname="postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextlib.contextmanager
def _running(command: list[Any], log: Path) -> Iterator[None]:
    """Run a server in a group of its own; the whole group ends with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            # Its data dies with it: no need to ask PostgreSQL for an orderly end, which waits for clients.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until(ready: Any, what: str) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not answer within {START_SECONDS:.0f} s")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis-compatible server of this test session."""
    with _or_skip(redis_server()) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL cluster of this test session; tests that write make databases of their own in it."""
    with _or_skip(postgres_server()) as url:
        yield url


@contextlib.contextmanager
def _or_skip(service: contextlib.AbstractContextManager[str]) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(service)
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium."""
    return find_chromium() or pytest.skip("Chromium is not installed (Debian: apt install chromium)")


def find_chromium() -> str | None:
    """Where a Chromium lies, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for found in map(shutil.which, names) if found), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium: str) -> dict[str, Any]:
    """What pytest-playwright starts: the machine's own Chromium instead of a downloaded one."""
    return {"executable_path": chromium, "args": list(CHROMIUM_FLAGS), "headless": True}
