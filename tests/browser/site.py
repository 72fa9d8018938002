"""Site: the application as people meet it, a web server of its own with rows made by scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
MIGRATE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
COOKIE = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from labeling.models import User

def cookie(name):
    person = User.objects.get(username=name)
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    return session.session_key
"""


class NotBuilt(Exception):
    """The front end is not built, so that no page does anything."""


@dataclass(frozen=True)
class Site:
    """A running application: its address, and the environment that its scripts share."""

    url: str
    environment: dict[str, str]

    def run(self, code: str) -> Any:
        """Run Python among the site's rows; returns what the code puts into `result`, as JSON can carry it.

        `make` is tests/make.py, `cookie(name)` signs that person in and returns the session cookie.
        """
        prelude = "import django, json\ndjango.setup()\nfrom tests import make\nresult = None\n" + COOKIE
        return json.loads(_python(self.environment, f"{prelude}\n{code}\nprint(json.dumps(result))").splitlines()[-1])


@contextmanager
def site(folder: Path, redis: str | None = None) -> Iterator[Site]:
    """The application in a folder of its own, without workers: nothing is adapted unless a script does it.

    `redis` is the address of a broker, for live events; without one the pages fall back to asking.
    Raises NotBuilt where static/dist is missing.
    """
    if not (ROOT / "static/dist/label.js").exists():
        raise NotBuilt("static/dist is not built: run npm ci and npm run build in static/")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANNOTATOR_", "PYTEST", "DJANGO"))
    }
    environment = kept | {
        "ANNOTATOR_DATA_DIR": str(folder / "data"),
        "REDIS_URL": redis or f"redis+socket://{folder}/none",
        "DJANGO_SETTINGS_MODULE": "annotator.settings",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    _python(environment, MIGRATE)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--workers", "1", "--port", str(port)]
    with (folder / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [*command, "annotator.asgi:application"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield Site(f"http://127.0.0.1:{port}", environment)
    finally:
        web.terminate()
        try:
            web.wait(5)
        except subprocess.TimeoutExpired:  # open event streams keep it
            web.kill()
            web.wait()


def _python(environment: dict[str, str], code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _wait_for(address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=60)
            return
        except OSError:
            assert time.monotonic() < until, "the web server did not start"
            time.sleep(0.1)
