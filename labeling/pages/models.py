"""Models: how the suggestions did, which checkpoint the project begins with, and its snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from labeling import access, checkpoints, evaluation, suggestions, tunings
from labeling.errors import Refused, StaffOnly
from labeling.flow import choosing, founding, improving
from labeling.models import Checkpoint, Job, Member, Project, Role, Snapshot
from labeling.pages.gate import context, members
from labeling.pages.settings import ENCODERS

PER_PAGE = 50
COMPARISONS = 5  # newest that are shown


@members(Role.REVIEWER)
@require_http_methods(["GET", "POST"])
def models(request: HttpRequest, member: Member) -> HttpResponse:
    """The evaluation, the checkpoints, then all snapshots, newest first; `do` says which form an admin sent."""
    if request.method == "POST":
        access.membership(access.person(request), member.project_id, Role.ADMIN)
        try:
            part = DOINGS.get(request.POST.get("do", ""), _nothing)(request, member.project)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return _page(request, member, refusal.status)
        response = redirect("models", project_id=member.project_id)
        response["Location"] += f"#{part}"
        return response
    return _page(request, member)


def _page(request: HttpRequest, member: Member, status: int = 200) -> HttpResponse:
    project = member.project
    page = Paginator(Snapshot.objects.filter(project=project).order_by("-number"), PER_PAGE).get_page(
        request.GET.get("page")
    )
    told = _evaluated(project)
    listed = checkpoints.describe(access.project_names(access.person(request)), project)
    shown = context(
        member,
        page=page,
        snapshots=[_shown(one) for one in page],
        told=told,
        evidence=_evidence(project),
        checkpoints=[_checkpoint_shown(one) for one in listed],
        unfit=checkpoints.obstacle(wanted, project) if (wanted := checkpoints.of(project)) else "",
        fitting=checkpoints.fitting(project),
        ready=[one for one in listed if one["state"] == Checkpoint.State.READY],
        comparisons=_comparisons(project, {one["id"]: one["name"] for one in listed}),
        improvement=Job.objects.filter(project=project, kind=Job.Kind.IMPROVE).order_by("-pk").first(),
        is_admin=Role(member.role).reaches(Role.ADMIN),
        is_staff=access.may_create_projects(access.person(request)),
        tuning=_tuning(project),
        strings=_strings(),
        data={
            "over_time": told["over_time"],
            "bins": (told["calibration"]["all"] or {"bins": []})["bins"],
            "curves": {one["id"]: one["curves"] for one in listed if _curve_points(one["curves"])},
            "events": reverse("events", args=[project.pk]),
        },
    )
    return render(request, "models.html", shown, status=status)


def _evidence(project: Project) -> dict[str, Any] | None:
    """The last comparison of encoders on the project's answers, the best first."""
    found = project.encoder_evidence
    if not found:
        return None
    right = sorted(found["right"].items(), key=lambda pair: -pair[1])
    return {
        "compared": found["compared"],
        "changed": found["chosen"] != found["before"],
        "chosen": ENCODERS.get(found["chosen"], found["chosen"]),
        "fixed": project.encoder_fixed,
        "right": [(ENCODERS.get(name, name), round(100 * count / found["compared"], 1)) for name, count in right],
    }


def _choose(request: HttpRequest, project: Project) -> str:
    chosen = access.checkpoint(int(pk) if (pk := _digits(request, "checkpoint")) else None)
    choosing.choose(project=project, checkpoint=chosen)
    if chosen is None:
        messages.success(request, _("The project begins with the model in use again."))
    else:
        messages.success(request, _("The project begins with “%(name)s” now.") % {"name": chosen})
    return "checkpoints"


def _use(request: HttpRequest, project: Project) -> str:
    if not access.may_create_projects(access.person(request)):
        raise StaffOnly
    used = choosing.use(
        checkpoint=access.known_checkpoint(int(_digits(request, "checkpoint") or 0)), now=timezone.now()
    )
    messages.success(
        request, _("“%(name)s” is in use now, wherever a project has no model of its own.") % {"name": used}
    )
    return "checkpoints"


def _compare(request: HttpRequest, project: Project) -> str:
    first, second = (access.known_checkpoint(int(_digits(request, name) or 0)) for name in ("first", "second"))
    choosing.compare(project=project, first=first, second=second, by=access.person(request))
    messages.success(request, _("The comparison runs. Its result appears here."))
    return "comparisons"


def _pin(request: HttpRequest, project: Project) -> str:
    number = _digits(request, "snapshot")
    choosing.pin(project=project, snapshot=suggestions.numbered(project, int(number)) if number else None)
    if number:
        messages.success(request, _("The project goes by snapshot %(number)s now.") % {"number": number})
    else:
        messages.success(request, _("The project goes by its newest snapshot again."))
    return "snapshots"


def _finish(request: HttpRequest, project: Project) -> str:
    finished, contributes = (request.POST.get(name) == "on" for name in ("finished", "contributes"))
    founding.finish(project=project, finished=finished, contributes=contributes, now=timezone.now())
    founding.change(project=project, settings={"reuses": request.POST.get("reuses") == "on"})
    messages.success(request, _("Saved."))
    return "sharing"


def _improve(request: HttpRequest, project: Project) -> str:
    improving.begin(project=project, by=access.person(request))
    messages.success(
        request, _("The training has begun. Its result appears among the models, whether it is used or not.")
    )
    return "sharing"


def _nothing(request: HttpRequest, project: Project) -> str:
    """A form that this page does not know changes nothing."""
    return ""


DOINGS: dict[str, Callable[[HttpRequest, Project], str]] = {
    "choose": _choose,
    "use": _use,
    "compare": _compare,
    "pin": _pin,
    "finish": _finish,
    "improve": _improve,
}


def _digits(request: HttpRequest, name: str) -> str:
    given = request.POST.get(name, "")
    return given if given.isascii() and given.isdigit() and len(given) <= 18 else ""


def _evaluated(project: Project) -> dict[str, Any]:
    """The evaluation; each point of time with its scores in the order of the table's columns."""
    told = evaluation.describe(project)
    return told | {"over_time": [point | {"scores": (point["all"], point["random"])} for point in told["over_time"]]}


def _checkpoint_shown(told: dict[str, Any]) -> dict[str, Any]:
    """With words for its origin and state, and the lines of its details."""
    single = [(name, value) for name, value in told["config"].items() if not isinstance(value, dict | list)]
    return told | {
        "origin_words": Checkpoint.Origin(told["origin"]).label,
        "state_words": Checkpoint.State(told["state"]).label,
        "refused": told["state"] == Checkpoint.State.REFUSED,
        "fixed": told["origin"] == Checkpoint.Origin.FIXED,
        "config_lines": single,
        "figure_lines": [
            (name, value) for name, value in told["figures"].items() if isinstance(value, int | float | str)
        ],
        "task_gains": told["figures"].get("tasks", []),
        "has_curves": bool(_curve_points(told["curves"])),
        "results": [one | {"share": _share(one["random"])} for one in told["results"]],
        "curve_points": _curve_points(told["curves"]),
    }


def _curve_points(curves: dict[str, Any]) -> list[tuple[Any, ...]]:
    steps = curves.get("steps") or []
    series = [curves.get(name) or [None] * len(steps) for name in ("training", "validation")]
    return list(zip(steps, *series, strict=False))


def _share(score: dict[str, int]) -> float | None:
    return score["right"] / score["count"] if score["count"] >= evaluation.FEWEST else None


def _comparisons(project: Project, names: dict[int, str]) -> list[dict[str, Any]]:
    found = Job.objects.filter(project=project, kind=Job.Kind.COMPARE).order_by("-pk")[:COMPARISONS]
    return [
        {
            "job": job,
            "first": names.get(job.arguments.get("first"), "?"),
            "second": names.get(job.arguments.get("second"), "?"),
            "gain": job.result.get("accuracy"),
            "likelihood": job.result.get("log_likelihood"),
            "verdict": _verdict(job.result.get("log_likelihood")),
        }
        for job in found
    ]


def _verdict(gain: dict[str, float] | None) -> str:
    if gain is None:
        return ""
    if gain["low"] > 0:
        return _("the second is better")
    if gain["high"] < 0:
        return _("the first is better")
    return _("no difference can be told")


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    accuracy = snapshot.estimates.get("accuracy")
    estimate = accuracy if isinstance(accuracy, dict) and "estimate" in accuracy else None
    return {
        "snapshot": snapshot,
        "estimate": {name: round(100 * estimate[name], 1) for name in ("estimate", "low", "high") if name in estimate}
        if estimate
        else None,
        "labels": len(snapshot.labels),
        "encoder": snapshot.facts.get("encoder", ""),
        "facts": _facts(snapshot),
        "kept": suggestions.has_arrays(snapshot),
    }


def _tuning(project: Project) -> dict[str, Any]:
    """How the encoder learns here: what keeps it from that, the last time it did, and what is kept for the next."""
    obstacle = tunings.obstacle(project) if project.encoder else "none"
    jobs = Job.objects.filter(project=project, kind=Job.Kind.TUNE).order_by("-pk")
    done = jobs.filter(state=Job.State.DONE, result__tuning__isnull=False).first()
    last = jobs.first()
    return {
        "obstacle": obstacle,
        "done": done,
        "running": last is not None and last.state in (Job.State.QUEUED, Job.State.RUNNING),
        "failed": last.error if last is not None and last.state == Job.State.FAILED else "",
        "kept": tunings.states_kept(project.pk, project.encoder) if not obstacle else 0,
        "limit": settings.ANNOTATOR_KEPT_STATES,
        "largest": settings.ANNOTATOR_TUNED_ITEMS,
        "first": tunings.FIRST,
        "every": tunings.EVERY,
    }


def _facts(snapshot: Snapshot) -> list[tuple[str, Any]]:
    """The single values among what the snapshot notes of its making, by their names in the reader's language."""
    named = {
        "encoder": _("encoder"),
        "learned": _("trained beginning: trust moved to the answers"),
        "learner": _("learner"),
        "neighbours": _("looks at neighbours"),
        "refuted": _("trained beginning: refuted by answers"),
        "seed": _("random seed"),
        "smoothing": _("smoothing"),
        "temperature": _("temperature"),
        "tuning": _("encoder tuned: number"),
        "tuning_answers": _("encoder tuned: from answers"),
    }
    facts: dict[str, Any] = dict(snapshot.facts)
    single = sorted((name, value) for name, value in facts.items() if not isinstance(value, dict | list))
    said = {True: _("yes"), False: _("no")}
    return [(named.get(name, name), said[value] if isinstance(value, bool) else value) for name, value in single]


def _strings() -> dict[str, str]:
    return {
        "predictions": _("answered suggestions"),
        "confidence": _("confidence"),
        "steps": _("steps"),
    }


urlpatterns = [path("projects/<int:project_id>/models", models, name="models")]
