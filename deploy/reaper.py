"""Reaper: waits for the supervisor's end, however it came, and ends the process groups it was told of.

Reads "+GROUP" and "-GROUP" lines; the end of its input is the supervisor's end. It also keeps the data
folder's lock open, so that nobody starts on that folder while an old broker still writes there. Imports
nothing of the project: it must start in milliseconds and survive whatever broke the supervisor.
"""

import os
import signal
import sys
import time

POLITE_SECONDS = 2.0
LAST_SECONDS = 5.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    _end(groups, signal.SIGTERM, POLITE_SECONDS)
    _end(groups, signal.SIGKILL, LAST_SECONDS)


def _end(groups: set[int], number: int, seconds: float) -> None:
    """Signal every group that lives and wait until none does, or time is up."""
    until = time.monotonic() + seconds
    living = {group for group in groups if _signal(group, number)}
    while living and time.monotonic() < until:
        time.sleep(0.05)
        living = {group for group in living if _signal(group, 0)}


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
