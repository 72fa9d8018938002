"""Server CPU per annotation (submit and next in one request) at 10,000, 100,000 and 1,000,000 items.

    .venv/bin/python -m bench.answering [--sizes 10000 100000 1000000] [--answers 300]

Limits: 12 ms at 10,000 items; the larger sizes within 1.3 times that. Measured as CPU time of the process that
answers HTTP, middleware and database included; several rounds are interleaved and the median is shown, because other
work on the machine disturbs single figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ANNOTATOR_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotator.settings"}
        os.environ["REDIS_URL"] = f"redis+socket://{folder}/none"
        import django

        django.setup()
        run(options)


def run(options: argparse.Namespace) -> None:
    from django.core.management import call_command
    from django.test import Client

    from labeling import dispatch

    call_command("migrate", verbosity=0)
    made = {size: project(size) for size in options.sizes}
    client = Client(headers={"host": "localhost"})
    client.force_login(next(iter(made.values())).created_by)
    figures: dict[int, list[float]] = {size: [] for size in options.sizes}
    # The broker is another process; handing it a number is measured apart from the answer.
    with dispatch.held_back():
        for _ in range(options.rounds):
            for size, of_size in made.items():
                figures[size].append(annotate(client, of_size, options.answers // options.rounds))
    first = statistics.median(figures[options.sizes[0]])
    for size in options.sizes:
        median = statistics.median(figures[size])
        print(f"{size:>9,} items: {median:6.2f} ms CPU per annotation, {median / first:4.2f} times the smallest")


def project(size: int) -> Any:
    """A project of that size with a queue, as an adaptation leaves it."""
    from hashlib import blake2b

    from labeling.models import Candidate, Item, Label, Member, Project, Tally, User

    owner, _ = User.objects.get_or_create(username="owner")
    made = Project.objects.create(name=str(size), modality="text", created_by=owner)
    Tally.objects.create(project=made, items=size)
    Member.objects.create(project=made, user=owner, role="admin")
    labels = [Label.objects.create(project=made, name=f"label {k}", position=k) for k in range(77)]
    for start in range(0, size, 10_000):
        Item.objects.bulk_create(
            Item(project=made, row=row, text=f"text number {row}", content_hash=blake2b(b"%d" % row).digest()[:16])
            for row in range(start, min(start + 10_000, size))
        )
    queue = Item.objects.filter(project=made, row__in=range(0, size, max(size // 500, 1)))
    top = [[label.pk, 0.1] for label in labels[:9]]
    Candidate.objects.bulk_create(
        Candidate(project=made, item=item, position=place, reason={"code": "margin"}, top=top)
        for place, item in enumerate(queue)
    )
    return made


def annotate(client: Any, project: Any, answers: int) -> float:
    """Milliseconds of CPU per annotation."""
    label = project.labels.first().pk
    held = client.get(f"/api/projects/{project.pk}/next?count=3&tab=bench").json()["items"]
    began = time.process_time()
    for _ in range(answers):
        body = {"item": held.pop(0)["id"], "label": label, "key": str(uuid.uuid4()), "tab": "bench", "count": 3}
        answer = client.post(f"/api/projects/{project.pk}/answers", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        held = answer.json()["next"]
    return (time.process_time() - began) * 1000 / answers


if __name__ == "__main__":
    main()
