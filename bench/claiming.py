"""Bench: CPU of handing out three items where two people answer each, and one of them is far ahead of the other.

    python -m bench.claiming [--items 100000]

The items that the first person answered wait for another answer and are none for the first person; handing out the
next must cost the same however many they are. A database of its own in a temporary folder, SQLite.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time

if __name__ == "__main__":
    os.environ["ANNOTATOR_DATA_DIR"] = tempfile.mkdtemp(prefix="annotator-bench-claiming-")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from labeling.flow import queueing
from labeling.models import Answer, Candidate, Item, Label, Project, Role, User
from labeling.models.lease import SECOND
from tests import make

TIMES = 9  # claims timed; the median is told


def ahead(project: Project, person: User, items: list[Item]) -> None:
    """This person has answered these items, and each waits for another one."""
    label, now = Label.objects.filter(project=project).first(), timezone.now()
    Answer.objects.bulk_create(
        (Answer(project=project, item=item, author=person, label=label, created_at=now) for item in items),
        batch_size=5_000,
    )
    Candidate.objects.bulk_create(
        (
            Candidate(project=project, item=item, position=random.choice(SECOND), reason={"code": "second"})
            for item in items
        ),
        batch_size=5_000,
    )


def claimed(project: Project, person: User) -> float:
    """CPU milliseconds of one claim of three items; nothing of it is kept."""
    with transaction.atomic():
        began = time.process_time()
        queueing.claim(project=project, user=person, tab="bench", count=3, now=timezone.now())
        took = time.process_time() - began
        transaction.set_rollback(True)
    return 1000 * took


def main(count: int) -> None:
    """Anna answers more and more of the items, Bo none."""
    call_command("migrate", verbosity=0)
    random.seed(0)
    project = make.project(labels=["yes", "no"], overlap=2)
    for start in range(0, count, 10_000):
        make.add_texts(project, [f"item {row}" for row in range(start, min(start + 10_000, count))])
    people = [make.member(project, Role.ANNOTATOR, name) for name in ("anna", "bo")]
    project = Project.objects.select_related("tally").get(pk=project.pk)
    items = list(Item.objects.filter(project=project))
    random.shuffle(items)
    done = 0
    for share in (0.001, 0.1, 0.5, 1.0):
        upto = round(share * count)
        ahead(project, people[0], items[done:upto])
        done = upto
        took = {str(one): statistics.median(claimed(project, one) for _ in range(TIMES)) for one in people}
        print(
            f"{done:7,d} of {count:,d} answered by anna: " + ", ".join(f"{who} {ms:.1f} ms" for who, ms in took.items())
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    main(parser.parse_args().items)
