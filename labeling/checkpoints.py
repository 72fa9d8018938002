"""Checkpoints: which one a project begins with, and where its file lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from safetensors import safe_open

import metalearning
from labeling import blobs
from labeling.models import Answer, Checkpoint, Origin, Project, Snapshot
from metalearning.evaluation import Score
from metalearning.gate import RECIPE

SHIPPED = Path(metalearning.__file__).parent / "checkpoints"
FIXED = "The recipe's fixed weights"


def in_use() -> Checkpoint | None:
    """The one that projects without one of their own begin with; None before any is registered."""
    ready = Checkpoint.objects.filter(state=Checkpoint.State.READY, chosen_at__isnull=False)
    return ready.order_by("-chosen_at", "-pk").first()


def of(project: Project) -> Checkpoint | None:
    """The project's own choice, else the one in use."""
    return project.checkpoint or in_use()


def fitting(project: Project) -> Checkpoint | None:
    """What the project begins with, if that was trained for its encoder and this recipe; None: the fixed weights."""
    checkpoint = of(project)
    if checkpoint is None or not checkpoint.path or not blobs.exists(checkpoint.path):
        return None
    return None if obstacle(checkpoint, project) else checkpoint


def obstacle(checkpoint: Checkpoint, project: Project | None = None) -> str:
    """Why it cannot be used, in the reader's language: anywhere, or in the project if one is given; "" if it can."""
    told = {"name": checkpoint}
    if not checkpoint.path:
        return ""
    if not of_this_recipe(checkpoint):
        return _("“%(name)s” was trained for another version of the recipe.") % told
    if project is not None and project.encoder and project.encoder not in checkpoint.config.get("serves", []):
        return _("“%(name)s” was not trained for the encoder of this project.") % told
    return ""


def of_this_recipe(checkpoint: Checkpoint | None) -> bool:
    """Whether its file decides what the recipe of today asks of it; no file, no decision."""
    return checkpoint is not None and bool(checkpoint.path) and checkpoint.config.get("recipe") == RECIPE


def local_file(checkpoint: Checkpoint | None) -> Path | None:
    """The file on this machine; None for the fixed weights, or where it is lost: then those serve."""
    return blobs.local(checkpoint.path) if checkpoint and checkpoint.path else None


def keep(content: bytes, **facts: Any) -> Checkpoint:
    """Store a checkpoint's file and its row; one that is known already is returned as it is."""
    digest = hashlib.sha256(content).hexdigest()
    known = Checkpoint.objects.filter(content_hash=digest).first()
    if known:
        return known
    path = f"checkpoints/{digest}.safetensors" if content else ""
    if path:
        blobs.write(path, lambda file: file.write(content))
    made, _ = Checkpoint.objects.get_or_create(content_hash=digest, defaults=facts | {"path": path})
    return made


def register(now: datetime | None = None) -> None:
    """Make known the fixed weights and what came with the application; the newest of them is used.

    A checkpoint that was trained here stays in use: an update of the application does not take it away, unless the
    recipe has changed so that it is of no use any more.
    """
    now = now or timezone.now()
    shipped = Checkpoint.Origin.SHIPPED
    if not Checkpoint.objects.exists():
        keep(b"", name=FIXED, origin=Checkpoint.Origin.FIXED, created_at=now, chosen_at=now)
    for file in sorted(SHIPPED.glob("*.safetensors")):
        content = file.read_bytes()
        if Checkpoint.objects.filter(content_hash=hashlib.sha256(content).hexdigest()).exists():
            continue
        current = in_use()
        made = keep(content, name=file.stem, origin=shipped, created_at=now, **_card(file))
        if current is None or current.origin != Checkpoint.Origin.SELF_TRAINED or not of_this_recipe(current):
            Checkpoint.objects.filter(pk=made.pk).update(chosen_at=now)


def previous() -> Checkpoint | None:
    """The one that was in use before the present one, to go back to."""
    ready = Checkpoint.objects.filter(state=Checkpoint.State.READY, chosen_at__isnull=False)
    return ready.order_by(F("chosen_at").desc(), "-pk")[1:2].first()


def describe(visible: Mapping[int, str], project: Project) -> list[dict[str, Any]]:
    """Every checkpoint in plain values, newest first, as a reviewer of `project` may see it.

    `visible`: names by id of the projects that the reader is a member of; of others not even the name is told.
    """
    used, own = in_use(), project.checkpoint_id
    results = _results(visible)
    return [
        {
            "id": one.pk,
            "name": str(one),
            "origin": one.origin,
            "state": one.state,
            "in_use": used is not None and one.pk == used.pk,
            "chosen_here": one.pk == own,
            "parent": one.parent_id,
            "created_at": one.created_at.isoformat(),
            "chosen_at": one.chosen_at.isoformat() if one.chosen_at else None,
            "config": one.config,
            "sources": [_named(source, visible) for source in one.sources],
            "curves": one.curves,
            "figures": one.figures,
            "evidence": _evidence(one.evidence, visible),
            "results": results.get(one.pk, []),
        }
        for one in Checkpoint.objects.all()
    ]


def _results(visible: Mapping[int, str]) -> dict[int, list[dict[str, Any]]]:
    """By checkpoint: how its suggestions did in each visible project, newest estimate and those asked at random."""
    told: dict[int, list[dict[str, Any]]] = {}
    drawn = Answer.objects.filter(project__in=visible, origin=Origin.PERSON, reason="random", withdrawn_at=None)
    scores = {
        (checkpoint, project): Score(count, right)
        for checkpoint, project, count, right in drawn.filter(foreseen__isnull=False)
        .values_list("snapshot__checkpoint", "project")
        .annotate(n=Count("pk"), right=Count("pk", filter=Q(foreseen=F("label"))))
    }
    newest: dict[tuple[int, int], Snapshot] = {}
    for snapshot in Snapshot.objects.filter(project__in=visible, checkpoint__isnull=False).order_by("number"):
        newest[snapshot.checkpoint_id or 0, snapshot.project_id] = snapshot
    for (checkpoint, project), snapshot in newest.items():
        score = scores.get((checkpoint, project), Score(0, 0))
        told.setdefault(checkpoint, []).append(
            {
                "project": project,
                "name": visible[project],
                "answers": snapshot.answers,
                "estimate": (snapshot.estimates.get("accuracy") or {}).get("estimate"),
                "random": {"count": score.count, "right": score.right},
            }
        )
    return told


def _evidence(evidence: Mapping[str, Any], visible: Mapping[int, str]) -> dict[str, Any]:
    kept_out = [_named(part, visible) for part in evidence.get("projects", [])]
    return {**evidence, "projects": kept_out} if evidence else {}


def _named(part: Mapping[str, Any], visible: Mapping[int, str]) -> dict[str, Any]:
    """A source or a project kept out, with its name where the reader may know it."""
    if "project" not in part:
        return dict(part)
    known = part["project"] in visible
    told = {name: value for name, value in part.items() if name not in ("project", "content")}
    return told | {"name": visible[part["project"]] if known else None, "project": part["project"] if known else None}


def from_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a file's card says of it, as the row keeps it; `config` also tells what it fits."""
    fits = {name: card[name] for name in ("recipe", "serves", "encoder") if name in card}
    told = {name: card[name] for name in ("sources", "curves", "figures") if name in card}
    return told | {"config": {**card.get("config", {}), **fits}}


def _card(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="numpy") as opened:
        return from_card(json.loads((opened.metadata() or {}).get("card", "{}")))
