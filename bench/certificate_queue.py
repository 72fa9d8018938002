"""Bench: how often a claim is broken where one annotator answers what the queue asks, through the database and all.

    python -m bench.certificate_queue [--projects 50]

Each project: 120 items, a model that is 99 % sure of everything, and as many wrong suggestions as just break the claim
"at most 10 % are wrong" (in all of them, or in the surest half), at a confidence of 80 %, so that a claim may be broken
in 20 % of the projects at most (the first attempt spends 16). The queue asks in one of three orders: wrong suggestions
first, wrong ones last, at random. One annotator answers, always rightly; the claim is looked at after every third
answer. No audit may be lost ("unanswered"), and the claim must end as the engine's judge says of its audits alone.

A database of its own in a temporary folder, SQLite.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from datetime import datetime, timedelta

if __name__ == "__main__":
    os.environ["ANNOTATOR_DATA_DIR"] = tempfile.mkdtemp(prefix="annotator-bench-queue-")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import django
from django.apps import apps

if not apps.ready:
    django.setup()

import numpy as np
from django.core.management import call_command
from django.db import transaction

from labeling import certificates
from labeling.flow import answering, auditing, queueing
from labeling.models import Certificate, Item, Label, Project, Role, Snapshot, User
from metalearning import certificate as betting
from tests import factories, make

ITEMS, EPS, DELTA, BUDGET = 120, 0.1, 0.2, 40
LOOKED = 3  # answers between two looks at the claim
QUEUES = ("wrong first", "wrong last", "random")
WHERE = ("everywhere", "in the surest half")


def begin(chance: random.Random, where: str) -> tuple[Project, Snapshot, dict[int, bool]]:
    """A project of which one suggestion too many is wrong, and by item id whether it is."""
    project = factories.project(ITEMS, name=str(chance.random()))
    # Ties go by row, so the surest half are the first rows.
    snapshot = factories.snapshot(project, [0.99] * ITEMS, [0] * ITEMS)
    size = ITEMS if where == "everywhere" else ITEMS // 2
    wrong = set(chance.sample(range(size), betting.refused_errors(size, EPS)))
    rows = Item.objects.filter(project=project).values_list("pk", "row")
    return project, snapshot, {item_id: row in wrong for item_id, row in rows}


def queue(project: Project, snapshot: Snapshot, wrong: dict[int, bool], order: str, chance: random.Random) -> None:
    """Rank all open items in this order, as an adaptation would."""
    rows = dict(Item.objects.filter(project=project).values_list("pk", "row"))
    ids = sorted(
        rows, key=lambda item_id: (order != "random" and wrong[item_id] == (order == "wrong last"), chance.random())
    )
    asked = [{"row": rows[item_id], "code": "margin", "labels": [], "p": [], "top": []} for item_id in ids]
    queueing.refill(project=project, snapshot=snapshot, asked=asked)


def audited(seed: int, order: str, where: str) -> tuple[bool, bool, int, int]:
    """(passed, broken, audits that nobody could answer, answers) of one project, from its start to the decision."""
    chance, now = random.Random(seed), make.NOW
    with transaction.atomic():
        project, snapshot, wrong = begin(chance, where)
        anna = make.member(project, Role.ANNOTATOR, f"anna {seed} {order} {where}")
        owner = User.objects.get(username="owner")
        claim = auditing.start(project=project, asker=owner, eps=EPS, delta=DELTA, budget=BUDGET, now=now)
        labels = list(Label.objects.filter(project=project).order_by("position"))
        answers = _answer(project, claim, anna, labels, wrong, order, snapshot, chance, now)
        claim.refresh_from_db()
        lost = certificates.describe(claim)["audits"]["unanswered"]
        _check(claim, wrong)
        broken = sum(wrong[i] for i in certificates.frozen(claim).item_ids[: claim.accepted].tolist())
        transaction.set_rollback(True)
    return claim.accepted > 0, broken > EPS * claim.accepted + 1e-9, lost, answers


def _answer(
    project: Project, claim: Certificate, anna: User, labels: list[Label], wrong: dict[int, bool], order: str,
    snapshot: Snapshot, chance: random.Random, now: datetime,
) -> int:  # fmt: skip
    """Let her answer what comes, until it is decided; returns how many answers that took."""
    answers = 0
    while claim.state == Certificate.State.RUNNING:
        if answers % 10 == 0:
            queue(project, snapshot, wrong, order, chance)
        project, now = Project.objects.select_related("tally").get(pk=project.pk), now + timedelta(seconds=1)
        (lease,) = queueing.claim(project=project, user=anna, tab="t", count=1, now=now, chance=chance)
        label = labels[1 if wrong[lease.item_id] else 0]
        answering.submit(project=project, item=lease.item, author=anna, label=label, now=now)
        answers += 1
        if answers % LOOKED == 0 or len(wrong) == answers:
            claim = auditing.advance(claim, now=now)
    return answers


def _check(claim: Certificate, wrong: dict[int, bool]) -> None:
    """It ended as the engine says of its audits in their order, whoever was asked what in between."""
    plan = certificates.plan(claim)
    known: dict[str, bool] = {}
    while len(known) < BUDGET and (ask := betting.next_audits(plan, known, 1)):
        known[ask[0]] = wrong[int(ask[0])]
    expected = betting.judge(plan, known, BUDGET).accepted
    assert claim.accepted == expected, (claim.accepted, expected)


def main(projects: int) -> None:
    call_command("migrate", verbosity=0)
    began = time.process_time()
    print("| wrong suggestions | queue | projects | broken | passed | audits lost | answers, median |")
    print("|" + "---|" * 7)
    for where in WHERE:
        for order in QUEUES:
            found = [audited(seed, order, where) for seed in range(projects)]
            passed, broken, lost, answers = zip(*found, strict=True)
            print(
                f"| {where} | {order} | {projects} | {np.mean(broken):.1%} | {np.mean(passed):.1%} | {sum(lost)} "
                f"| {np.median(answers):.0f} |",
                flush=True,
            )
    print(f"{time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=50)
    main(parser.parse_args().projects)
