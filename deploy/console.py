"""Console: what a person sees while things are set up, one line a step with the time it took."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
QUIET_SECONDS = 1.0  # a step that is done by then shows its closing line only
REPEAT_SECONDS = 15.0  # how often a long step says that it goes on, where lines cannot be overwritten
TAIL_LINES = 12


class Refusal(Exception):
    """Something a person must put right; carries what is wrong and the way out."""

    def __init__(self, wrong: str, way_out: str = "") -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.way_out = way_out


class Stopped(Exception):
    """The person or the system asked this process to end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 130 if signal_number == signal.SIGINT else 0


class StopSwitch:
    """Notes SIGINT and SIGTERM, and raises Stopped only where the caller waits.

    An exception thrown from the handler itself could strike between starting a child and remembering it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.count = 0

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        self.count += 1

    def check(self) -> None:
        if self.received is not None:
            raise Stopped(self.received)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self.check()


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show_refusal(refusal: Refusal) -> None:
    warn(f"\n{refusal.wrong}")
    if refusal.way_out:
        warn(refusal.way_out)


class Step:
    """One line of progress; `tick` keeps it alive, leaving the `with` block closes it."""

    def __init__(self, doing: str, done: str) -> None:
        self.doing = doing
        self.done = done
        self._began = self._said = time.monotonic()
        self._opened = False
        self._live = sys.stdout.isatty()
        self._silent = False

    def __enter__(self) -> Step:
        return self

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tick(self, detail: str = "") -> None:
        """Show that the step goes on; cheap enough to call several times a second."""
        if self.seconds < QUIET_SECONDS:
            return
        text = f"{self.seconds:7.0f} s  {self.doing}" + (f": {detail}" if detail else " ...")
        if self._live:
            width = shutil.get_terminal_size().columns
            sys.stdout.write("\r\033[K" + text[: max(20, width - 1)])
            sys.stdout.flush()
        elif not self._opened or time.monotonic() - self._said > REPEAT_SECONDS:
            say(text)
            self._said = time.monotonic()
        self._opened = True

    def silence(self) -> None:
        """Leave no closing line: there turned out to be nothing to do."""
        self._silent = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._live and self._opened:
            sys.stdout.write("\r\033[K")
        if kind is None and not self._silent:
            say(f"{self.seconds:7.1f} s  {self.done}")


def run(
    argv: Sequence[str | Path],
    *,
    step: Step,
    log: Path,
    stop: StopSwitch,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    explain: Callable[[str], str] = lambda line: "",
) -> None:
    """Run a command to its end, its output in `log`, its progress in `step`.

    `explain` turns an output line into a few words for the step ("" says nothing new).
    Raises Refusal with the last lines of output when the command fails, Stopped when asked to end.
    """
    detail = ""
    with _appending(log) as file:
        file.write(f"\n$ {' '.join(str(part) for part in argv)}\n")
        file.flush()
        for line in _lines(argv, cwd=cwd, environ=environ, stop=stop):
            if line:
                file.write(line + "\n")
                file.flush()
            detail = explain(line) or detail
            step.tick(detail)


def _lines(
    argv: Sequence[str | Path], *, cwd: Path | None, environ: Mapping[str, str] | None, stop: StopSwitch
) -> Iterator[str]:
    """Each line that the command writes, and "" at least twice a second while it writes none."""
    tail: list[str] = []
    # A session of its own: Ctrl-C reaches this process alone, which then ends the command in good order.
    process = subprocess.Popen(
        [str(part) for part in argv],
        cwd=cwd,
        env=None if environ is None else dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for line in _read_lines(process, stop):
            if line:
                tail = [*tail, line][-TAIL_LINES:]
            yield line
        if process.wait() != 0:
            raise _failure(argv, process.returncode, tail)
    finally:
        end_group(process)


def _read_lines(process: subprocess.Popen[bytes], stop: StopSwitch) -> Iterator[str]:
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            stop.check()
            if not selector.select(timeout=0.4):
                yield ""
                continue
            block = os.read(process.stdout.fileno(), 65536)
            if not block:
                break
            *whole, pending = (pending + block).replace(b"\r", b"\n").split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
    yield pending.decode(errors="replace")


def _failure(argv: Sequence[str | Path], code: int, tail: Sequence[str]) -> Refusal:
    text = "\n".join(f"    {line}" for line in tail)
    wrong = f"This command ended with code {code}: {' '.join(str(part) for part in argv)}\n{text}"
    if "No space left on device" in text:
        return Refusal(wrong, "The disk is full: free some space, then run this command again.")
    if "Read-only file system" in text:
        return Refusal(wrong, "The folder cannot be written to: copy the project to a writable place and start there.")
    return Refusal(
        wrong, "Put right what the last lines say, then run this command again; it goes on where it stopped."
    )


def end_group(process: subprocess.Popen[bytes], grace_seconds: float = 5.0) -> None:
    """End a process and everything it started in its group: politely first, then without asking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and not _group_lives(process.pid):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_seconds)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def _appending(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        yield file
