"""Fixtures for all tests: storage of their own, jobs run on the spot, no broker unless a test starts one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The tests never touch a real data folder. Set before the settings are read.
_FOLDER = tempfile.mkdtemp(prefix="annotator-tests-")
os.environ["ANNOTATOR_DATA_DIR"] = _FOLDER
os.environ["ANNOTATOR_MODE"] = "embedded"
os.environ.pop("REDIS_URL", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Playwright keeps an event loop running in the main thread once a browser test has run in this process.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest

pytest_plugins = ["tests.services"]


@pytest.fixture(autouse=True)
def _own_storage(settings: Any, tmp_path: Path) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "files")},
        }
    }
    settings.ANNOTATOR_CACHE_DIR = tmp_path / "cache"
    settings.FILE_UPLOAD_TEMP_DIR = None
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """A request in another language leaves the thread in it; the next test begins in English again."""
    from django.utils import translation

    with translation.override("en"):
        yield


@pytest.fixture
def on_the_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run where they are started, as soon as the transaction commits, instead of going to a broker."""
    from labeling import dispatch, tasks

    monkeypatch.setattr(dispatch, "send", lambda job_id, queue="": tasks.run(job_id))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of whole applications and browsers depend on how busy the machine is: one may try again, visibly."""
    here = Path(__file__).parent
    for item in items:
        if {here / "browser", here / "deploy"} & set(item.path.parents):
            item.add_marker(pytest.mark.flaky(reruns=3, reruns_delay=2))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test ran again: the end of what its failed attempt said."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"ran again: {report.nodeid}", sep="-")
        terminalreporter.write_line("\n".join(str(report.longrepr).splitlines()[-25:]))
