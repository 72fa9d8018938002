"""Running: a whole application in a temporary data folder, for tests that start, kill and stop it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.console import ROOT
from tests.services import free_port

START_SECONDS = 90.0
OWN_VARIABLES = ("ANNOTATOR_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PYTEST", "DJANGO_")


class Application:
    """A supervisor and its children; `output` is what it said to the person so far."""

    def __init__(self, data: Path, port: int, *options: str, **environ: str) -> None:
        self.data = data
        self.port = port
        self.output_file = data.with_name(data.name + ".out")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        command = [sys.executable, "-m", "deploy.supervise", "--data", str(data), "--port", str(port), *options]
        with self.output_file.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        wait_for(lambda: "Ctrl-C stops it" in self.output or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.explain()

    def explain(self) -> str:
        """Everything that was said and logged, for a failing test's message."""
        logs = sorted((self.data / "logs").glob("*.log"))
        return self.output + "".join(f"\n== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def get(self, path: str = "/healthz") -> int:
        """The status of an answer, 0 when there is none. A web worker that still loads may let it wait for seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def main_process(self, child: str) -> int:
        """The process id of a child's main process: "broker", "worker", "beat" or "web"; 0 when it is gone."""
        mark = {"broker": "-server", "worker": "worker --pool", "beat": "beat --loglevel", "web": "granian"}[child]
        for process_id, command in descendants(self.process.pid):
            if mark in command and parent_of(process_id) == self.process.pid:
                return process_id
        return 0

    def kill(self, child: str) -> int:
        """SIGKILL a child's main process; returns its process id."""
        victim = self.main_process(child)
        assert victim, f"there is no {child}"
        os.kill(victim, signal.SIGKILL)
        return victim

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask the supervisor to end and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def manage(self, *arguments: str) -> str:
        """The output of a management command on this application's data."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        environ["ANNOTATOR_DATA_DIR"] = str(self.data)
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def application(data: Path, *options: str, port: int | None = None, **environ: str) -> Iterator[Application]:
    """Start an application, wait until it answers, and leave none of its processes behind."""
    running = Application(data, port or free_port(), *options, **environ)
    try:
        running.wait_until_ready()
        yield running
    finally:
        end(running)


def end(running: Application) -> None:
    left = [process_id for process_id, _ in descendants(running.process.pid)]
    if running.process.poll() is None:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
    for process_id in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def wait_for(ready: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until `ready` is true; fails the test when that takes longer than `seconds`."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"not so within {seconds:.0f} s"
        time.sleep(0.1)


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """The process ids and commands of everything that a process started, directly or not; zombies left out."""
    rows = [row for row in _processes() if not row[2].startswith("Z")]
    family = {ancestor}
    for _ in rows:
        grown = family | {process_id for process_id, parent, _, _ in rows if parent in family}
        if grown == family:
            break
        family = grown
    return [(process_id, command) for process_id, _, _, command in rows if process_id in family - {ancestor}]


def parent_of(process_id: int) -> int:
    return next((parent for own, parent, _, _ in _processes() if own == process_id), 0)


def living(process_ids: list[int]) -> list[int]:
    alive = {process_id for process_id, _, state, _ in _processes() if not state.startswith("Z")}
    return [process_id for process_id in process_ids if process_id in alive]


def _processes() -> list[tuple[int, int, str, str]]:
    """Process id, parent, state and command of every process of this machine."""
    text = subprocess.run(["ps", "-axwwo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    parts = [line.split(None, 3) for line in text.splitlines()]
    return [(int(p[0]), int(p[1]), p[2], p[3] if len(p) > 3 else "") for p in parts]
