"""Server CPU per annotation (submit and next in one request) at 10,000, 100,000 and 1,000,000 items.

    .venv/bin/python -m bench.answering [--sizes 10000 100000 1000000] [--answers 300]

Limits: 12 ms at 10,000 items; the larger sizes within 1.3 times that. A web server of its own, started as `./start`
starts it, answers over HTTP; what counts is the CPU time of its processes as the kernel tells it: HTTP, middleware,
threads and SQLite included. Several rounds are interleaved and the median is shown, because other work on the machine
disturbs single figures. With DATABASE_URL the database is that one (empty, made for this); its own CPU is not counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser.site import Site, site

TOKEN = "a" * 32  # both halves of the CSRF protection are the client's to send
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as running:
        measure(running, options)


def measure(running: Site, options: argparse.Namespace) -> None:
    """Print a line for each size."""
    code = "from bench import answering\n"
    code += f"result = [answering.project(size) | {{'cookie': cookie('owner')}} for size in {options.sizes}]"
    annotators = [Annotator(running, **facts) for facts in running.run(code)]
    for annotator in annotators:
        annotator.annotate(5)  # the first request of all opens connections and compiles
    figures: dict[int, list[float]] = {size: [] for size in options.sizes}
    for _ in range(options.rounds):
        for annotator, size in zip(annotators, options.sizes, strict=True):
            before = used()
            annotator.annotate(options.answers // options.rounds)
            figures[size].append((used() - before) * 1000 / (options.answers // options.rounds))
    first = statistics.median(figures[options.sizes[0]])
    for size, found in figures.items():
        median = statistics.median(found)
        print(f"{size:>9,} items: {median:6.2f} ms CPU per annotation, {median / first:4.2f} times the smallest")


class Annotator:
    """A person at the labelling page of one project, over one connection."""

    def __init__(self, running: Site, project: int, label: int, cookie: str) -> None:
        self.address, self.label = f"/api/projects/{project}", label
        self.line = http.client.HTTPConnection(running.url.removeprefix("http://"))
        self.headers = {
            "Cookie": f"sessionid={cookie}; csrftoken={TOKEN}",
            "X-CSRFToken": TOKEN,
            "Content-Type": "application/json",
        }
        self.held = self.ask("GET", "/next?count=3&tab=bench", None)["items"]

    def annotate(self, answers: int) -> None:
        """Answer so many items; each answer brings the next."""
        for _ in range(answers):
            item = self.held.pop(0)
            assert item["suggestion"], "the model speaks of every item"
            body = {"item": item["id"], "label": self.label, "key": str(uuid.uuid4()), "tab": "bench", "count": 3}
            self.held = self.ask("POST", "/answers", body)["next"]

    def ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """The answer as JSON."""
        self.line.request(method, self.address + path, None if body is None else json.dumps(body), self.headers)
        response = self.line.getresponse()
        content = response.read()
        assert response.status in (200, 201), content
        return dict(json.loads(content))


def used() -> float:
    """Seconds of CPU that the web server's processes have used so far."""
    total = 0
    for process in _below(os.getpid()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])  # user and system
    return total / TICKS


def _below(process: int) -> Iterator[int]:
    for child in map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()):
        yield child
        yield from _below(child)


def project(size: int) -> dict[str, int]:
    """A project of that size with a snapshot and a queue, as an adaptation leaves them. Runs where Django is set up."""
    from hashlib import blake2b

    import numpy as np
    from django.utils import timezone

    from labeling import pool
    from labeling.models import Candidate, Item, Label, Member, Project, Snapshot, Tally, User

    owner, _ = User.objects.get_or_create(username="owner")
    made = Project.objects.create(name=str(size), modality="text", created_by=owner)
    Tally.objects.create(project=made, items=size)
    Member.objects.create(project=made, user=owner, role="admin")
    labels = [Label.objects.create(project=made, name=f"label {k}", position=k).pk for k in range(77)]
    for start in range(0, size, 10_000):
        Item.objects.bulk_create(
            Item(project=made, row=row, text=f"text number {row}", content_hash=blake2b(b"%d" % row).digest()[:16])
            for row in range(start, min(start + 10_000, size))
        )
    snapshot = Snapshot.objects.create(
        project=made, number=1, answers=0, items=size, labels=labels, seconds=1, created_at=timezone.now()
    )
    share = np.full(size, 0.5, np.float16)
    pool.write_predictions(
        made.pk, 1, pool.Predictions(np.full(size, labels[0]), share, np.full(size, labels[1]), share / 2)
    )
    queue = Item.objects.filter(project=made, row__in=range(0, size, max(size // 500, 1)))
    reason = {"code": "margin", "labels": labels[:2], "p": [0.5, 0.25]}
    top = [[label, 0.1] for label in labels[:9]]
    Candidate.objects.bulk_create(
        Candidate(project=made, item=item, position=place, snapshot=snapshot, reason=reason, top=top)
        for place, item in enumerate(queue)
    )
    return {"project": made.pk, "label": labels[0]}


if __name__ == "__main__":
    main()
