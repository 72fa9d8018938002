"""Set-up: options, the Node that builds pages, translations, and what is said where something is missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest

from deploy import bootstrap, broker
from deploy.console import ROOT, Refusal, Step, Stopped, StopSwitch, run
from deploy.options import parse
from deploy.translations import compile_catalogue
from tests.deploy.running import living, wait_for


def start(*options: str, path: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environ = os.environ | ({"PATH": path} if path is not None else {})
    command = [str(ROOT / "start"), *options]
    return subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_help_names_every_option() -> None:
    done = start("--help")
    assert done.returncode == 0
    for option in ("--port", "--host", "--data", "--no-demo", "--demo"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "1 to 65535"),
        (["--port", "web"], "not a port"),
        (["--demo", "no-such-file.csv"], "there is no file"),
        (["--demo", "README.md"], ".csv"),
        (["--demo", "x.csv", "--no-demo"], "not allowed with"),
        (["--prot", "1"], "unrecognized"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_set_up(tmp_path: Path, options: list[str], words: str) -> None:
    (tmp_path / "README.md").write_text("text")
    done = start(*options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Installing" not in done.stdout


def test_a_taken_port_is_told_before_anything_is_set_up(taken_port: int, tmp_path: Path) -> None:
    done = start("--port", str(taken_port), "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr.split() == (
        f"Port {taken_port} is taken by another program. Choose another: ./start --port {taken_port + 1}".split()
    )
    assert not (tmp_path / "data").exists()


def test_without_a_python_it_says_how_to_get_one(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "cat", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what a Python 3.9 answers to the question for 3.11
    old.chmod(0o755)
    done = start(path=str(tmp_path))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt install" in done.stderr


def test_a_data_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    from deploy.supervise import make_data_folder

    (tmp_path / "letters.txt").write_text("mine")
    mode = tmp_path.stat().st_mode
    with pytest.raises(Refusal, match="holds other things"):
        make_data_folder(tmp_path)
    assert tmp_path.stat().st_mode == mode
    with pytest.raises(Refusal, match="is a file"):
        make_data_folder(tmp_path / "letters.txt")


def test_options_survive_the_way_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("text\nhello\n")
    options = parse(["--data", "here", "--demo", "mine.csv", "--host", "::1", "--port", "8001"])
    assert options.data == tmp_path / "here"
    assert options.address == "http://[::1]:8001/"
    assert parse(options.as_arguments()) == options


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v18.20.4", False),
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("", False),
    ],
)
def test_node_is_taken_where_vite_runs_on_it(version: str, enough: bool) -> None:
    assert bootstrap.node_is_new_enough(version) == enough


def test_requirements_are_exact_versions() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "deploy/constraints.txt"):
        lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
        assert not [line for line in lines if line and not line.startswith("-") and "==" not in line]
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text().splitlines()


def test_translations_are_compiled_without_gettext(tmp_path: Path) -> None:
    source = tmp_path / "django.po"
    source.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Save"\nmsgstr "保存"\n')
    assert polib.mofile(str(compile_catalogue(source))).find("Save").msgstr == "保存"


def test_a_failed_command_shows_its_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = StopSwitch()
    command = ["bash", "-c", "echo one; echo 'No space left on device' >&2; exit 3"]
    with pytest.raises(Refusal) as refused, Step("Trying", "Tried") as step:
        run(command, step=step, log=tmp_path / "log", stop=stop)
    assert "ended with code 3" in refused.value.wrong
    assert "one\n    No space left" in refused.value.wrong
    assert "disk is full" in refused.value.way_out
    assert "Tried" not in capsys.readouterr().out


def test_a_stop_ends_the_running_command_and_what_it_started(tmp_path: Path) -> None:
    stop = StopSwitch()
    seen: list[str] = []

    def look(line: str) -> str:
        if line.isdigit():
            seen.append(line)
            stop.received = 2
        return ""

    command = ["bash", "-c", "sleep 300 & echo $!; wait"]
    with pytest.raises(Stopped), Step("Trying", "Tried") as step:
        run(command, step=step, log=tmp_path / "log", stop=stop, explain=look)
    wait_for(lambda: not living([int(seen[0])]))


def test_a_long_data_path_puts_the_socket_where_its_name_fits(tmp_path: Path) -> None:
    short = broker.socket_place(Path("/srv/annotator"))
    assert short == Path("/srv/annotator/broker.sock")
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    place = broker.socket_place(deep)
    try:
        assert len(os.fsencode(place)) <= broker.LONGEST_SOCKET_PATH
        assert place.parent.stat().st_mode & 0o777 == 0o700
        assert broker.socket_place(deep) == place  # the next start finds the same one
    finally:
        place.parent.rmdir()
