"""Prepare: the database brought up to date, the admin and the demo made on the first start."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import secrets
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.console import ROOT, Step

ADMIN = "admin"
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike; 16 of them are 79 bits


def main(arguments: Sequence[str]) -> int:
    """Everything that must have happened before the web server answers; safe to repeat after an interruption."""
    given = _parser().parse_args(arguments)
    import django
    from django.core.management.base import CommandError

    django.setup()
    migrate()
    pending = given.data / "demo-pending"
    password = make_admin()
    if password is not None:
        if not given.no_demo:
            pending.write_text(str(given.demo or ""))
        # Told before the demo is made: should that fail, the password is not lost.
        with os.fdopen(given.report_to, "w") as report:
            json.dump({"username": ADMIN, "password": password}, report)
    try:
        if given.demo is not None:
            make_demo(given.demo)
        elif pending.exists() and not given.no_demo:
            make_demo(Path(pending.read_text()) if pending.read_text() else None)
    except CommandError as error:
        pending.unlink(missing_ok=True)  # the next start must not fail for it again
        sys.stderr.write(f"{error}\n")
        return 1
    pending.unlink(missing_ok=True)
    mark_prepared()
    return 0


def is_prepared(database: Path) -> bool:
    """Whether this code has prepared this very SQLite file; cheap, unlike loading Django to look.

    The mark lies in the database itself, so that a restored backup brings its own.
    """
    if not database.exists():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA user_version").fetchone() == (_version(),)


def mark_prepared() -> None:
    from django.db import connection

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA user_version = {_version()}")


def _version() -> int:
    """A number for everything that decides what the database must look like: our migrations and the packages'."""
    sources = [ROOT / "requirements.txt", *sorted((ROOT / "labeling" / "migrations").glob("*.py"))]
    return zlib.crc32(b"".join(path.read_bytes() for path in sources)) & 0x7FFFFFFF


def migrate() -> None:
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    with _ticking(Step("Bringing the database up to date", "Brought the database up to date")):
        call_command("migrate", interactive=False, verbosity=0)


def make_admin() -> str | None:
    """Make the first admin when there is nobody yet; returns the password, which is stored as a hash only."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if users.exists():
        return None
    password = "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))
    users.create_superuser(username=ADMIN, email="", password=password)
    return password


def make_demo(file: Path | None) -> None:
    from django.core.management import call_command

    name = file.name if file else "handwritten digits"
    with _ticking(Step(f"Making the demo project ({name})", f"Made the demo project ({name})")):
        call_command("create_demo", stdout=io.StringIO(), **({"file": file} if file else {}))


@contextmanager
def _ticking(step: Step) -> Iterator[None]:
    """Keep a step's line alive while something that cannot call back runs."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.5):
            step.tick()

    thread = threading.Thread(target=tick, daemon=True)
    with step:
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy.prepare")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--report-to", type=int, required=True, help="descriptor that gets the first sign-in")
    parser.add_argument("--no-demo", action="store_true")
    parser.add_argument("--demo", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
