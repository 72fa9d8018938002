"""Supervise: broker, web server, worker and beat as children of one process, from first start to Ctrl-C."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from deploy import broker, lock
from deploy.children import Child, Reaper, end, shorten_logs, start, tail, tend
from deploy.console import ROOT, Refusal, Step, Stopped, StopSwitch, end_group, say, show_refusal
from deploy.options import Options, parse, refuse_taken_port
from deploy.prepare import is_prepared

BROKER_SECONDS = 30.0
WEB_SECONDS = 90.0
HOPELESS_FAILURES = 3  # a web server that dies so often before its first answer will not come up
FREE_BYTES_FOR_DATA = 200 * 1024**2
OWN_FILES = ("lock", "secret_key", "annotator.sqlite3")


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    stop = StopSwitch()
    stop.install()
    try:
        make_data_folder(options.data)
        held = lock.take(options.data, options.address, stop)
        refuse_taken_port(options)
        run_application(options, held, stop)
    except Refusal as refusal:
        show_refusal(refusal)
        return 1
    except Stopped as stopped:
        return stopped.exit_code
    return 0


def run_application(options: Options, held: int, stop: StopSwitch) -> None:
    """Start everything, tell the address, and keep it running until Stopped is raised."""
    reaper = Reaper(held)
    socket_path = broker.socket_place(options.data)
    environ = environment(options, os.environ, broker.url(socket_path))
    carriers = [] if "REDIS_URL" in os.environ else [_broker(options.data, environ, socket_path)]
    workers = _workers(options, environ)
    children = [*carriers, *workers]
    try:
        if carriers:
            _start_broker(carriers[0], socket_path, reaper, stop)
        sign_in = prepare(options, environ, stop)
        try:
            # The page first: workers load for seconds, and nobody waits for them.
            start(workers[0], reaper)
            _wait_for_page(options, [*carriers, workers[0]], reaper, stop)
            for child in workers[1:]:
                start(child, reaper)
        finally:
            _tell_sign_in(sign_in, options.data)
        say(f"\nAnnotator runs at  {options.address}\nCtrl-C stops it.")
        _keep_running(children, reaper, stop)
    finally:
        _end_all(carriers, workers, reaper, hurried=stop.count > 1)


def environment(options: Options, given: Mapping[str, str], broker_url: str) -> dict[str, str]:
    """The children's environment: the person's own, with what the embedded mode fills in."""
    defaults = {
        "REDIS_URL": broker_url,
        "ANNOTATOR_ALLOWED_HOSTS": ",".join(_host_names(options.host)),
        # Two numeric threads in each of several processes on few cores are slower than one.
        "OMP_NUM_THREADS": "1",
        "DJANGO_SETTINGS_MODULE": "annotator.settings",
        "PYTHONUNBUFFERED": "1",
    }
    return {**defaults, **given, "ANNOTATOR_DATA_DIR": str(options.data)}


def _host_names(host: str) -> list[str]:
    """The names by which a browser may call the server that listens on `host`."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        name = socket.gethostname()
        names += [name, *{str(place[4][0]) for place in _addresses(name) if ":" not in str(place[4][0])}]
        names += [_outward_address()]
    else:
        names += [f"[{host}]" if ":" in host else host]
    return list(dict.fromkeys(name for name in names if name))


def _addresses(name: str) -> list[tuple[object, object, object, object, tuple[object, ...]]]:
    try:
        return list(socket.getaddrinfo(name, None))
    except OSError:
        return []


def _outward_address() -> str:
    """The address of the interface that leads outward; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def make_data_folder(data: Path) -> None:
    """Make the folder, for its owner alone. Raises Refusal where that cannot be."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in data.iterdir()}
        if names and not names & set(OWN_FILES):
            raise Refusal(f"The data folder {data} holds other things.", "Give an empty or a new folder: --data DIR")
        data.chmod(0o700)
        (data / "logs").mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refusal(f"{error.filename} is a file, not a folder.", "Give another folder: --data DIR") from error
    except OSError as error:
        way_out = "Give a folder that this user can write to: --data DIR"
        raise Refusal(f"The data folder {data} cannot be used: {error.strerror}.", way_out) from error
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES_FOR_DATA:
        wrong = f"The disk is nearly full: {free / 1024**2:.0f} MB are free where {data} lies."
        raise Refusal(wrong, "Free some space, or give a folder on another disk: --data DIR")


def _broker(data: Path, environ: Mapping[str, str], socket_path: Path) -> Child:
    command = broker.arguments(broker.find_server(), data, socket_path)
    return Child("broker", "job queue", command, environ, data / "logs" / "broker.log")


def _workers(options: Options, environ: Mapping[str, str]) -> list[Child]:
    python, logs = sys.executable, options.data / "logs"
    celery = [python, "-m", "celery", "-A", "annotator.celery:app"]
    # Processes, not threads: only a process can be ended in the middle of a job.
    worker = [*celery, "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # What takes minutes has a worker of its own, last in line for the processor: no quick round waits for it.
    slow = [*_polite(), *celery, "worker", "--queues", "slow", "--hostname", "slow@%h", "--pool", "prefork"]
    slow += ["--concurrency", "1", "--loglevel", "WARNING"]
    slow += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = [*celery, "beat", "--loglevel", "WARNING", "--pidfile", ""]
    web = [python, "-m", "granian", "--interface", "asginl", "--workers", "2", "--respawn-failed-workers"]
    web += ["--host", options.host, "--port", str(options.port), "--log-level", "warning"]
    web += ["--workers-kill-timeout", "3", "annotator.asgi:application"]
    return [
        Child("web", "web server", web, environ, logs / "web.log"),
        Child("worker", "worker", worker, environ, logs / "worker.log"),
        Child("slow", "worker for slow jobs", slow, environ, logs / "slow.log"),
        Child("beat", "job clock", beat, environ, logs / "beat.log"),
    ]


def _polite() -> list[str]:
    nice = shutil.which("nice")
    return [nice, "-n", "10"] if nice else []


def _start_broker(child: Child, socket_path: Path, reaper: Reaper, stop: StopSwitch) -> None:
    with Step("Starting the job queue", "Started the job queue") as step:
        start(child, reaper)
        while not broker.answers(socket_path):
            if not child.alive or step.seconds > BROKER_SECONDS:
                raise Refusal(f"The job queue does not start:\n{tail(child.log)}", f"Its log: {child.log}")
            step.tick()
            stop.wait(0.05)


def prepare(options: Options, environ: Mapping[str, str], stop: StopSwitch) -> dict[str, str]:
    """Run the preparation if there is need; returns the first sign-in if it made one. Raises Refusal, Stopped."""
    pending = options.demo_file or (options.data / "demo-pending").exists()
    if not pending and "DATABASE_URL" not in os.environ and is_prepared(options.data / "annotator.sqlite3"):
        return {}
    readable, writable = os.pipe()
    log = options.data / "logs" / "prepare.log"
    command = [
        sys.executable,
        "-m",
        "deploy.prepare",
        "--data",
        str(options.data),
        "--report-to",
        str(writable),
    ]
    command += [] if options.demo else ["--no-demo"]
    command += ["--demo", str(options.demo_file)] if options.demo_file else []
    with log.open("wb") as errors, os.fdopen(readable) as report:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environ), stderr=errors, pass_fds=[writable], start_new_session=True
        )
        os.close(writable)
        try:
            while process.poll() is None:
                stop.wait(0.05)
        finally:
            end_group(process)
            sign_in: dict[str, str] = json.loads(report.read() or "{}")
            if process.returncode != 0:
                _tell_sign_in(sign_in, options.data)
        if process.returncode != 0:
            raise Refusal(f"The application cannot start:\n{tail(log)}", f"The whole message: {log}")
    return sign_in


def _wait_for_page(options: Options, children: Sequence[Child], reaper: Reaper, stop: StopSwitch) -> None:
    with Step("Starting the web server", "Started the web server") as step:
        while not _page_answers(options):
            tend(children, reaper)
            hopeless = [child for child in children if child.failures >= HOPELESS_FAILURES]
            if hopeless:
                log = hopeless[0].log
                raise Refusal(f"The {hopeless[0].title} does not start:\n{tail(log)}", f"Its log: {log}")
            if step.seconds > WEB_SECONDS:
                log = options.data / "logs" / "web.log"
                raise Refusal(f"The web server does not answer:\n{tail(log)}", f"Its log: {log}")
            step.tick()
            stop.wait(0.1)


def _page_answers(options: Options) -> bool:
    """Whether the application says of itself that it is well."""
    place = urlsplit(options.address)
    connection = http.client.HTTPConnection(place.hostname or "", options.port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "127.0.0.1"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tell_sign_in(sign_in: Mapping[str, str], data: Path) -> None:
    if sign_in:
        say(f"\nSign in as  {sign_in['username']}\nPassword    {sign_in['password']}")
        say("It is shown this once and stored as a hash only. To set another:")
        folder = "" if data == ROOT / "data" else f"ANNOTATOR_DATA_DIR={shlex.quote(str(data))} "
        say(f"    {folder}.venv/bin/python manage.py changepassword {sign_in['username']}")


def _keep_running(children: Sequence[Child], reaper: Reaper, stop: StopSwitch) -> None:
    logs_seen = time.monotonic()
    while True:
        tend(children, reaper)
        if time.monotonic() - logs_seen > 60:
            shorten_logs(children)
            logs_seen = time.monotonic()
        stop.wait(0.2)


def _end_all(carriers: Sequence[Child], workers: Sequence[Child], reaper: Reaper, *, hurried: bool) -> None:
    """The broker last: what the others give back on their way out must find it."""
    if any(child.alive for child in (*carriers, *workers)):
        with Step("Stopping", "Stopped"):
            end(workers, reaper, grace_seconds=0.0 if hurried else 5.0)
            end(carriers, reaper, grace_seconds=5.0)
    reaper.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
