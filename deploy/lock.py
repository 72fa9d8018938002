"""Lock: one running application for a data folder, whatever way the last one ended."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from deploy.console import Refusal, Step, StopSwitch

WAIT_SECONDS = 15.0


def take(data: Path, address: str, stop: StopSwitch) -> int:
    """Lock the folder and return the descriptor that holds the lock.

    The descriptor is also given to the reaper: after a killed supervisor the folder stays locked until the
    last of its children is gone, so that two brokers never write to the same files. Raises Refusal, Stopped.
    """
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    with Step("Waiting for the last run's processes to end", "The last run's processes have ended") as step:
        while not _try(descriptor):
            owner = _owner(data)
            if (owner is not None and _lives(owner[0])) or step.seconds > WAIT_SECONDS:
                os.close(descriptor)
                raise _already_running(data, owner)
            step.tick()
            stop.wait(0.1)
        if step.seconds < 0.1:
            step.silence()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps([os.getpid(), address]).encode(), 0)
    return descriptor


def refuse_running(data: Path) -> None:
    """Raises Refusal at once when a live application holds the folder."""
    owner = _owner(data)
    if owner is None or not _lives(owner[0]):
        return
    descriptor = os.open(data / "lock", os.O_RDWR)
    try:
        if not _try(descriptor):
            raise _already_running(data, owner)
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(data: Path) -> tuple[int, str] | None:
    """The process id and address that the holder wrote, if it came that far."""
    try:
        process_id, address = json.loads((data / "lock").read_text())
    except (OSError, ValueError, TypeError):
        return None
    return int(process_id), str(address)


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _already_running(data: Path, owner: tuple[int, str] | None) -> Refusal:
    who = f" at {owner[1]} (process {owner[0]})" if owner else ""
    return Refusal(
        f"Annotator is already running{who} on the data folder {data}.",
        "Open that address, stop that process, or start with another folder: ./start --data DIR --port PORT",
    )
