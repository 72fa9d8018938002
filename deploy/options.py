"""Options of `./start`: read, checked and made absolute before anything is installed."""

from __future__ import annotations

import argparse
import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.console import ROOT, Refusal

DEMO_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".zip")


@dataclass(frozen=True)
class Options:
    """What the person asked for; both paths absolute, `port` in 1..65535."""

    host: str
    port: int
    data: Path
    demo: bool
    demo_file: Path | None

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the application."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}/"

    def as_arguments(self) -> list[str]:
        """The same options for another process, which may stand in another folder."""
        demo = ["--demo", str(self.demo_file)] if self.demo_file else []
        flags = [] if self.demo else ["--no-demo"]
        return ["--host", self.host, "--port", str(self.port), "--data", str(self.data), *demo, *flags]


def parse(arguments: Sequence[str]) -> Options:
    """Read the options; ends the process with usage and code 2 for one that cannot be used."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.demo is not None:
        if not given.demo.is_file():
            parser.error(f"--demo: there is no file {given.demo}")
        if given.demo.suffix.lower() not in DEMO_SUFFIXES:
            parser.error(f"--demo: {given.demo.name} is none of {', '.join(DEMO_SUFFIXES)}")
    return Options(
        host=given.host.strip("[]"),
        port=given.port,
        data=given.data.resolve(),
        demo=not given.no_demo,
        demo_file=None if given.demo is None else given.demo.resolve(),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./start",
        allow_abbrev=False,
        description="Set Annotator up on this machine and run it. Ctrl-C stops it.",
        epilog="Everything else is configured by environment variables: see docs/configuration.md.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=8000, help="port of the web server (default: 8000)")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    data = ROOT / (os.environ.get("ANNOTATOR_DATA_DIR") or "data")
    add("--data", type=Path, default=data, metavar="DIR", help="data folder (default: data)")
    demo = parser.add_mutually_exclusive_group()
    demo.add_argument("--no-demo", action="store_true", help="make no demo project on the first start")
    demo.add_argument("--demo", type=Path, metavar="FILE", help="make a demo project from a CSV, JSONL or zip")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a whole number from 1 to 65535")
    return int(text)


def refuse_taken_port(options: Options) -> None:
    """Raises Refusal when the address cannot be listened on, with the way out."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without it a port that a server left a moment ago looks taken for a minute.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except socket.gaierror as error:
        raise Refusal(f"{options.host} is no address of this machine.", "Leave --host away.") from error
    except OSError as error:
        raise _refusal_to_listen(options, error) from error


def _refusal_to_listen(options: Options, error: OSError) -> Refusal:
    if error.errno == errno.EADDRINUSE:
        other = options.port + 1 if options.port < 65535 else 8000
        return Refusal(f"Port {options.port} is taken by another program.", f"Choose another: ./start --port {other}")
    if error.errno == errno.EACCES:
        wrong = f"Port {options.port} needs rights that this user does not have."
        return Refusal(wrong, "Choose one above 1023: ./start --port 8000")
    return Refusal(f"Cannot listen on {options.host}: {error.strerror}.", "Choose another --host.")
