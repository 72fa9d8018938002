"""Children: the processes that make up a running application; a dead one is started again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.console import ROOT, say

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0  # a child that lived as long starts again without delay
LOG_BYTES = 20 * 1024 * 1024

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Child:
    """One supervised command: its short name, also that of its log, and what people read in messages."""

    name: str
    title: str
    argv: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)
    began: float = field(default=0.0, init=False)  # seconds of the monotonic clock
    start_again_at: float = field(default=0.0, init=False)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Reaper:
    """A process that outlives a killed supervisor just long enough to end every child's group."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._groups: set[int] = set()
        self._process = self._spawn()

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"-{group}")

    def tend(self) -> None:
        """Start the reaper again if somebody killed it."""
        if self._process.poll() is not None:
            self._process = self._spawn()
            for group in self._groups:
                self._tell(f"+{group}")

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=10)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-S", "-E", str(ROOT / "deploy" / "reaper.py")]
        return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[self._lock], start_new_session=True)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


def start(child: Child, reaper: Reaper) -> None:
    """Start the child in a process group of its own, its output at the end of its log."""
    with child.log.open("ab") as log:
        child.process = subprocess.Popen(
            child.argv,
            cwd=ROOT,
            env=dict(child.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal reaches the supervisor alone, which ends the children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
    child.began = time.monotonic()
    reaper.watch(child.process.pid)


def _die_with_parent(parent: int) -> Callable[[], None]:
    def ask_kernel() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return ask_kernel


def tend(children: Sequence[Child], reaper: Reaper) -> None:
    """Start every dead child again, the longer it keeps dying the later."""
    reaper.tend()
    now = time.monotonic()
    for child in children:
        if child.alive:
            continue
        if child.process is not None:
            _bury(child, reaper, now)
        elif now >= child.start_again_at:
            start(child, reaper)


def _bury(child: Child, reaper: Reaper, now: float) -> None:
    """Clear away what a dead child left behind and set the time of its next start."""
    assert child.process is not None
    code = child.process.returncode
    _kill_group(child.process.pid)  # a killed main process leaves its workers, with our socket or a job in hand
    reaper.forget(child.process.pid)
    child.process = None
    child.failures = 1 if now - child.began > HEALTHY_AFTER_SECONDS else child.failures + 1
    delay = 0.0 if child.failures == 1 else FIRST_DELAY_SECONDS * 2 ** (child.failures - 2)
    child.start_again_at = now + min(delay, LONGEST_DELAY_SECONDS)
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    say(f"{time.strftime('%H:%M:%S')}  The {child.title} {how}; starting it again (its log: {child.log}).")


def end(children: Sequence[Child], reaper: Reaper, *, grace_seconds: float) -> None:
    """End children side by side: asked to, then told to, then made to."""
    _signal_all(children, signal.SIGTERM)
    # A Celery worker takes SIGTERM as "after this job" and SIGQUIT as "now; the job is delivered again".
    _wait(children, grace_seconds)
    _signal_all([child for child in children if child.name == "worker"], signal.SIGQUIT)
    _wait(children, 2.0)
    for child in children:
        if child.process is not None:
            _kill_group(child.process.pid)
            child.process.wait()
            reaper.forget(child.process.pid)


def _signal_all(children: Sequence[Child], number: int) -> None:
    for child in children:
        if child.alive and child.process is not None:
            child.process.send_signal(number)


def _wait(children: Sequence[Child], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(child.alive for child in children):
        time.sleep(0.05)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def shorten_logs(children: Sequence[Child]) -> None:
    """Keep each log below a bound, the older half as NAME.log.1; children append, so theirs can be cut."""
    for child in children:
        if child.log.exists() and child.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
            os.truncate(child.log, 0)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented for showing."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
