"""checkpoints: list them, choose one, compare two, go back, and learn from finished projects, without a browser."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from labeling import checkpoints, suggestions
from labeling.errors import Refused
from labeling.flow import choosing, improving
from labeling.models import Checkpoint, Job, Project


class Command(BaseCommand):
    """Prints JSON lines. What takes long is begun as a job, which a worker does; its number is printed."""

    help = "List checkpoints, choose one for a project or for all, compare two, go by an earlier snapshot, improve."

    def add_arguments(self, parser: ArgumentParser) -> None:
        doing = parser.add_subparsers(dest="doing", required=True)
        doing.add_parser("list", help="all checkpoints, newest first")
        use = doing.add_parser("use", help="use one wherever a project has none of its own; also to go back")
        use.add_argument("checkpoint", type=int)
        choose = doing.add_parser("choose", help="let a project begin with one; 0: with the one in use")
        compare = doing.add_parser("compare", help="compare two on a project's answers")
        pin = doing.add_parser("pin", help="let a project go by an earlier snapshot; 0: by the newest again")
        improve = doing.add_parser("improve", help="learn from all contributing projects")
        for one in (choose, compare, pin, improve):
            one.add_argument("project", type=int, help="number in the project's address")
        choose.add_argument("checkpoint", type=int)
        compare.add_argument("first", type=int)
        compare.add_argument("second", type=int)
        pin.add_argument("snapshot", type=int)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        try:
            for line in getattr(self, f"_{options['doing']}")(options):
                self.stdout.write(json.dumps(line, ensure_ascii=False))
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _list(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        used = checkpoints.in_use()
        return [
            {"id": one.pk, "name": str(one), "origin": one.origin, "state": one.state, "in_use": one == used}
            for one in Checkpoint.objects.all()
        ]

    def _use(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        used = choosing.use(checkpoint=_checkpoint(options["checkpoint"]), now=timezone.now())
        return [{"in_use": used.pk}]

    def _choose(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = _checkpoint(options["checkpoint"]) if options["checkpoint"] else None
        choosing.choose(project=_project(options), checkpoint=wanted)
        return [{"project": options["project"], "checkpoint": wanted.pk if wanted else None}]

    def _compare(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        project = _project(options)
        first, second = _checkpoint(options["first"]), _checkpoint(options["second"])
        job = choosing.compare(project=project, first=first, second=second, by=project.created_by)
        return [_begun(job)]

    def _pin(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        project, number = _project(options), options["snapshot"]
        choosing.pin(project=project, snapshot=suggestions.numbered(project, number) if number else None)
        return [{"project": project.pk, "snapshot": number or None}]

    def _improve(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        return [_begun(improving.begin(project=_project(options), by=None))]


def _project(options: dict[str, Any]) -> Project:
    found = Project.objects.filter(pk=options["project"]).first()
    if found is None:
        raise CommandError(f"There is no project {options['project']}.")
    return found


def _checkpoint(number: int) -> Checkpoint:
    found = Checkpoint.objects.filter(pk=number).first()
    if found is None:
        raise CommandError(f"There is no checkpoint {number}; `checkpoints list` shows them.")
    return found


def _begun(job: Job) -> dict[str, Any]:
    return {"job": job.pk, "kind": job.kind, "state": job.state}
