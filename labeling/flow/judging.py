"""Judging: how well each person answers is learned anew, and the items that several people answered follow."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from labeling import standing, weighing
from labeling.models import Gold, Job, Project, Skills


def run(job: Job, progress: Any = None) -> None:
    """Weigh the project's answers, where there is more than one opinion of an item or a known label to weigh by."""
    judge(Project.objects.get(pk=job.project_id))


def judge(project: Project) -> int:
    """Learn everybody's skill anew if anything changed since; returns how many items have another standing by it."""
    several = project.overlap > 1 or Skills.objects.filter(project=project).exists()
    if not several and not Gold.objects.filter(project=project).exists():
        return 0
    with transaction.atomic():
        if not weighing.weigh(project):
            return 0
        return standing.restate_weighed(project)
