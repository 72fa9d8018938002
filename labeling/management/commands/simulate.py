"""simulate: an oracle answers from a file's labels through the product's own steps, and the model's gain is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from labeling import dispatch, pool, tunings
from labeling.errors import Refused
from labeling.jobs import Progress
from labeling.models import Item, Job, Label, Member, Project, Reference, Role, Snapshot, Tally, Upload, User


class Command(BaseCommand):
    """Prints one JSON line per round: {"answers", "accuracy", "accuracy_model", "seconds"}; with --tune also through
    which tuning of the encoder the model looked.

    accuracy: people's and suggested labels over the whole pool; accuracy_model: suggestions on unanswered items only;
    seconds: adapt, predict, rank and queue. It runs in a process with a database and a folder of its own, removed
    at the end, and sends no jobs: it touches nothing of the application's data.
    """

    help = "Let an oracle answer from a file's labels and print how accurate the labels are, a JSON line per round."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", required=True, help="A file with labels: .jsonl, .csv, .zip and the like.")
        parser.add_argument("--answers", type=int, default=200, help="Answers in all (200).")
        parser.add_argument("--batch", type=int, default=10, help="Answers per round (10).")
        parser.add_argument("--seed", type=int, default=0, help="Decides all that is left to chance (0).")
        parser.add_argument("--limit", type=int, default=None, help="Only the first so many rows.")
        parser.add_argument("--no-names", action="store_true", help="Hide what the labels are called from the model.")
        parser.add_argument("--strategy", default="auto", choices=["auto", "margin", "typical", "random"])
        parser.add_argument("--learner", default="recipe", choices=["recipe", "lr"])
        parser.add_argument("--rules", default="", help="A JSON file of rules, as the rules page exports them.")
        parser.add_argument("--tune", action="store_true", help="Let the encoder learn too, when it is due.")
        parser.add_argument("--encoder", default="", help="An encoder by name; chosen from the items otherwise.")
        parser.add_argument("--apart", action="store_true", help="Already in a process of its own; not for people.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["data"])
        if not path.is_file():
            raise CommandError(f"There is no file {path}. Give --data the path of a file with labels.")
        if options["rules"] and not Path(options["rules"]).is_file():
            raise CommandError(f"There is no file {options['rules']}. Export one on the rules page of a project.")
        if not options["apart"]:
            self._in_a_process_apart(options)
            return
        call_command("migrate", verbosity=0, interactive=False)
        try:
            with dispatch.held_back():
                self._simulate(path, options)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _in_a_process_apart(self, options: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="annotator-simulate-") as folder:
            command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "simulate", "--apart", *_again(options)]
            with subprocess.Popen(command, env=_environment(folder), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command line
                for line in process.stdout or ():
                    self.stdout.write(line, ending="")
                    self.stdout.flush()
        if process.returncode:
            raise CommandError("The simulation ended early; the reason is above.", returncode=process.returncode)

    def _rule(self, project: Project, oracle: User, path: Path) -> None:
        """Make the file's rules and let them vote; what does not fit these labels is told and left out."""
        from labeling.flow import ruling

        taken = ruling.take(project=project, by=oracle, file=_read_rules(path), now=timezone.now())
        for why in taken.left:
            self.stderr.write(why)
        ruling.vote(project)

    def _simulate(self, path: Path, options: dict[str, Any]) -> None:
        from labeling.flow import adapting, queueing

        project, oracle = _imported(path, options)
        if options["rules"]:
            self._rule(project, oracle, Path(options["rules"]))
        truth = dict(Reference.objects.filter(item__project=project).values_list("item__row", "label_id"))
        answers = 0
        while True:
            began = time.perf_counter()
            snapshot = adapting.adapt(
                project=project,
                strategy=options["strategy"],
                learn_by=options["learner"],
                use_names=not options["no_names"],
                seed=options["seed"],
            )
            if snapshot is not None:
                asked = pool.read_ranking(project.pk, snapshot.number)
                queueing.refill(project=project, snapshot=snapshot, asked=asked)
            seconds = round(time.perf_counter() - began, 4)
            tuning = {"tuning": snapshot.facts.get("tuning", 0)} if snapshot and options["tune"] else {}
            line = {"answers": answers, **_scores(project, truth, snapshot), "seconds": seconds, **tuning}
            self.stdout.write(json.dumps(line))
            self.stdout.flush()
            wanted = min(options["batch"], options["answers"] - answers)
            given = _answer(project, oracle, truth, wanted, options["seed"] + answers)
            if not given:
                return
            answers += given
            _tune_where_due(project, with_names=not options["no_names"])


def _read_rules(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{path} is no JSON: {error}. Export the rules anew.") from error


def _again(options: dict[str, Any]) -> list[str]:
    """The options as a command line."""
    words: list[str] = []
    for name in ("data", "answers", "batch", "seed", "limit", "strategy", "learner", "encoder", "rules"):
        if options[name] not in (None, ""):
            words += [f"--{name}", str(options[name])]
    return [*words, *(f"--{name.replace('_', '-')}" for name in ("no_names", "tune") if options[name])]


def _environment(folder: str) -> dict[str, str]:
    """Everything of the application's own moved into `folder`; a broker that is not there, so that no job is sent."""
    return os.environ | {
        "ANNOTATOR_MODE": "embedded",
        "ANNOTATOR_DATA_DIR": folder,
        "ANNOTATOR_CACHE_DIR": "",
        "ANNOTATOR_STORAGE_URL": "",
        "DATABASE_URL": "",
        "REDIS_URL": f"redis+socket://{folder}/none",
        "OMP_NUM_THREADS": "1",
    }


def _imported(path: Path, options: dict[str, Any]) -> tuple[Project, User]:
    """A project made of the file, its labels hidden as references, and the oracle who will answer."""
    from labeling import formats
    from labeling.flow import embedding, importing

    now = timezone.now()
    sniffed = formats.sniff(path, path.name)
    if not sniffed.guess.label:
        raise CommandError(f"{path.name} has no column of labels; the oracle would have nothing to say.")
    oracle = User.objects.create_user("oracle")
    modality = Project.Modality.IMAGE if sniffed.format in ("zip", "image") else Project.Modality.TEXT
    project = Project.objects.create(
        name=path.stem,
        modality=modality,
        created_by=oracle,
        encoder=options["encoder"],
        lease_seconds=10**6,
        tunes=options["tune"],
        random_share=0,  # the references measure; no question need be spent on it
    )
    Tally.objects.create(project=project)
    Member.objects.create(project=project, user=oracle, role=Role.ADMIN)
    with path.open("rb") as file:
        kept = default_storage.save(f"projects/{project.pk}/uploads/{path.name}", File(file))
    upload = Upload.objects.create(
        project=project, name=path.name, path=kept, size=path.stat().st_size, created_by=oracle, created_at=now
    )
    arguments = {"upload": upload.pk, "labels": "reference", "create_labels": True, "limit": options["limit"]}
    _run(importing.run, project, Job.Kind.IMPORT, arguments)
    _run(embedding.run, project, Job.Kind.EMBED, {})
    return Project.objects.get(pk=project.pk), oracle


def _run(step: Any, project: Project, kind: str, arguments: dict[str, Any]) -> None:
    job = Job.objects.create(project=project, kind=kind, arguments=arguments, created_at=timezone.now())
    step(job, Progress(job))
    Job.objects.filter(pk=job.pk).update(state=Job.State.DONE)


def _tune_where_due(project: Project, *, with_names: bool) -> None:
    """In the application this goes on beside the rounds; here the next round waits, and hears of it at once."""
    from labeling.flow import tuning

    if arguments := tunings.due(project):
        _run(tuning.run, project, Job.Kind.TUNE, arguments | {"names": with_names})


def _answer(project: Project, oracle: User, truth: dict[int, int], count: int, tab: int) -> int:
    """Let the oracle answer the next `count` items as the queue gives them; returns how many it could."""
    from labeling.flow import answering, queueing

    if count <= 0:
        return 0
    now = timezone.now()
    leases = queueing.claim(project=project, user=oracle, tab=str(tab), count=count, now=now)
    labels = {label.pk: label for label in Label.objects.filter(project=project)}
    with transaction.atomic():
        for lease in leases:
            label = labels[truth[lease.item.row]]
            answering.submit(project=project, item=lease.item, author=oracle, label=label, now=now)
    return len(leases)


def _scores(project: Project, truth: dict[int, int], snapshot: Snapshot | None) -> dict[str, float]:
    """accuracy and accuracy_model, as the class says; no suggestion is a wrong one."""
    suggested = np.full(project.tally.items, -1)
    if snapshot is not None:
        suggested = pool.read_predictions(project.pk, snapshot.number).label_id
    answered = set(Item.objects.filter(project=project, label__isnull=False).values_list("row", flat=True).iterator())
    right = np.array([row not in answered and int(suggested[row]) == label for row, label in truth.items()])
    unanswered = len(truth) - len(answered)
    return {
        "accuracy": round((float(right.sum()) + len(answered)) / len(truth), 5),
        "accuracy_model": round(float(right.sum()) / unanswered, 5) if unanswered else 1.0,
    }
