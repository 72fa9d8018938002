"""One command runs everything, a dead part comes back, and nothing is left when it stops."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.console import ROOT
from tests.deploy.running import (
    OWN_VARIABLES,
    Application,
    application,
    descendants,
    end,
    living,
    wait_for,
)
from tests.services import free_port

PARTS = {"broker": "job queue", "web": "web server", "worker": "worker", "beat": "job clock"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    # A blank and a letter beyond ASCII: people have such folders, and they travel through URLs.
    with application(tmp_path_factory.mktemp("run") / "my dätä", "--no-demo") as started:
        yield started


def start_again(running: Application, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.supervise", *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)


def test_the_first_start_tells_the_address_and_a_sign_in_that_works(running: Application) -> None:
    assert f"Annotator runs at  http://127.0.0.1:{running.port}/" in running.output
    wait_for(lambda: running.get("/healthz") == 200)
    password = re.search(r"Password +(\S+)", running.output)
    assert password is not None
    code = f"print(User.objects.get(username='admin').check_password({password[1]!r}))"
    assert running.manage("shell", "-v0", "-c", f"from labeling.models import User; {code}").strip() == "True"


def test_the_password_is_nowhere_in_the_data_folder(running: Application) -> None:
    password = re.search(r"Password +(\S+)", running.output)
    assert password is not None
    files = [path for path in running.data.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if password[1].encode() in path.read_bytes()]


def test_only_the_owner_may_enter_the_data_folder(running: Application) -> None:
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.data / "secret_key").stat().st_mode) == 0o600


def test_the_broker_listens_on_no_network_port(running: Application) -> None:
    broker = running.main_process("broker")
    sockets = {os.readlink(link) for link in Path(f"/proc/{broker}/fd").iterdir() if link.exists() or link.is_symlink()}
    inodes = {name[8:-1] for name in sockets if name.startswith("socket:")}
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/{broker}/net/{table}").read_text().splitlines()[1:]
        assert not [row for row in rows if row.split()[9] in inodes]


def test_a_second_start_on_the_same_data_says_where_the_first_one_runs(running: Application) -> None:
    second = start_again(running, "--data", str(running.data), "--port", str(free_port()))
    assert second.returncode == 1
    assert f"already running at http://127.0.0.1:{running.port}/" in second.stderr


def test_a_taken_port_is_named_with_the_way_out(running: Application, tmp_path: Path) -> None:
    second = start_again(running, "--data", str(tmp_path / "other"), "--port", str(running.port))
    assert second.returncode == 1
    assert f"Port {running.port} is taken" in second.stderr
    assert "--port" in second.stderr.splitlines()[-1]


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_leaves_no_orphan(running: Application, part: str) -> None:
    wait_for(lambda: running.main_process(part))
    old = running.main_process(part)
    its_own = [old, *(process_id for process_id, _ in descendants(old))]
    running.kill(part)
    wait_for(lambda: running.main_process(part) not in (0, old))
    wait_for(lambda: not living(its_own))
    wait_for(lambda: running.get("/healthz") == 200)
    assert f"The {PARTS[part]} was ended by SIGKILL; starting it again" in running.output


def web_workers(running: Application) -> list[int]:
    main = running.main_process("web")
    return [process_id for process_id, _ in descendants(main)] if main else []


def test_a_killed_web_worker_is_replaced_while_the_other_answers(running: Application) -> None:
    wait_for(lambda: len(web_workers(running)) == 2)
    victim = web_workers(running)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: running.get("/healthz") == 200)
    wait_for(lambda: len(web_workers(running)) == 2 and victim not in web_workers(running))


def test_ctrl_c_ends_every_child(tmp_path: Path) -> None:
    with application(tmp_path / "data", "--no-demo") as running:
        family = [process_id for process_id, _ in descendants(running.process.pid)]
        assert len(family) >= 6
        assert running.stop(signal.SIGINT) == 130
        assert living(family) == []
        assert running.get() == 0
        assert not (running.data / "broker.sock").exists()


def test_a_killed_supervisor_leaves_nothing_behind_and_the_next_start_works(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with application(data, "--no-demo") as first:
        family = [process_id for process_id, _ in descendants(first.process.pid)]
        first.process.kill()
        first.process.wait()
        # Straight away, while the old children may still be ending: it waits for them.
        with application(data, "--no-demo") as second:
            assert living(family) == []
            wait_for(lambda: second.get("/healthz") == 200)
            assert "Password" not in second.output  # the second start makes no second admin
            assert second.stop(signal.SIGTERM) == 0


def test_ctrl_c_while_it_is_still_starting(tmp_path: Path) -> None:
    running = Application(tmp_path / "data", free_port(), "--no-demo")
    try:
        wait_for(lambda: "Started the job queue" in running.output)
        family = [process_id for process_id, _ in descendants(running.process.pid)]
        assert running.stop() == 130
        assert living(family) == []
    finally:
        end(running)


def test_a_setting_that_cannot_be_used_is_told_with_the_way_out(tmp_path: Path) -> None:
    running = Application(tmp_path / "data", free_port(), ANNOTATOR_MAX_UPLOAD_MB="many")
    try:
        assert running.process.wait(timeout=60) == 1
        assert "ANNOTATOR_MAX_UPLOAD_MB='many' cannot be used: give a whole number above 0." in running.output
    finally:
        end(running)
