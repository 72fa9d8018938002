"""Outlook: what audits measured of the whole set, how many answers the goal may still need, and whether more pay."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labeling import certificates
from labeling.models import Certificate, Project, Snapshot, Status
from metalearning import learning_curve
from metalearning.learning_curve import Curve, Forecast

AHEAD = 50  # answers whose gain is foretold
Point = tuple[int, float, float, float]
"""(answers, estimate, low, high)."""
Points = tuple[Point, ...]


def audited(project: Project) -> dict[str, Any]:
    """The share of right labels as the best audit sample measured it, by origin and over all; None where none has.

    Best: what was drawn from the most items, the newest of these; `covered` says whether that is all there are now.
    `running`: the number of a sample that is being audited. `missing`: in words, why there is no figure.
    """
    samples = Certificate.objects.filter(project=project, kind=Certificate.Kind.SAMPLE).select_related("project")
    running = samples.filter(state=Certificate.State.RUNNING).first()
    ended = sorted(samples.filter(state=Certificate.State.MEASURED), key=lambda one: (_drawn_from(one), one.number))
    told: dict[str, Any] = {"right": None, "running": running.number if running else None, "missing": ""}
    if ended:
        best = ended[-1]
        told |= _measured(best) | {"covered": _drawn_from(best) >= project.tally.items}
    if told["right"] is None:
        told["missing"] = _not_measured(running)
    return told


def forecast(project: Project, snapshot: Snapshot | None, measured: dict[str, Any]) -> dict[str, Any]:
    """How many more answers the goal may need: {"state", "likely", "low", "high", "words"}.

    state: "reached" (by `by`: "audit" or "certificate", or "estimate" where the whole interval lies above it), "told",
    or why nothing is: "few", "far", "wide", "items" (fewer are open than needed). `measured` is what `audited` says.
    """
    if by := _reached(project, snapshot, measured):
        return _forecast(Forecast(0, 0, 0, ""), "reached") | {"by": by, "words": ""}
    if snapshot is None or _newest_point(snapshot) is None:
        return _forecast(Forecast(None, None, None, "few"), "few") | {"by": "", "words": _why_untold("few", None)}
    told = learning_curve.forecast(curve(snapshot), project.goal_accuracy)
    open_items = project.tally.open
    state = told.reason or ("items" if (told.likely or 0) > open_items else "told")
    words = _why_untold(state, told.low) if state != "told" else ""
    return _forecast(told, state) | {"by": "", "words": words}


def stopping(project: Project, snapshot: Snapshot | None, foretold: dict[str, Any]) -> str:
    """A hint in words that more answers may no longer pay; empty while they may, and where nothing tells."""
    if project.tally.open == 0:
        return ""
    if foretold["state"] == "reached" and foretold["by"] == "audit":
        return _("Your goal is reached, as audits measured. More answers are not needed for it.")
    if foretold["state"] == "reached" and foretold["by"] == "certificate":
        return _("Your goal is reached, as a certificate says. More answers are not needed for it.")
    expected = (snapshot.estimates.get("ahead") if snapshot else None) or None
    if expected is None or expected["pays"]:
        return ""
    return _(
        "More answers hardly pay any more: the next %(answers)d are expected to add %(gain)s points of accuracy, at "
        "most %(high)s. Review or certify what is left."
    ) % {
        "answers": expected["answers"],
        "gain": f"{max(100 * expected['gain'], 0):.1f}",
        "high": f"{max(100 * expected['high'], 0):.1f}",
    }


def ahead(project: Project, answers: int, estimates: dict[str, Any]) -> dict[str, Any] | None:
    """What the next answers may gain after this round, as its snapshot keeps it; None where no curve can be fitted."""
    newest = _point(answers, estimates.get("accuracy"))
    if newest is None:
        return None
    points = {point[0]: point for point in _points(project, None)} | {answers: newest}
    fitted = _fitted(tuple(point for _n, point in sorted(points.items()) if point[0] <= answers))
    if fitted is None:
        return None
    gained = learning_curve.gain(fitted, AHEAD)
    shares = {"gain": gained.value, "low": gained.low, "high": gained.high}
    return {"answers": AHEAD, "pays": learning_curve.pays(gained)} | {k: round(v, 4) for k, v in shares.items()}


def curve(snapshot: Snapshot) -> Curve | None:
    """The learning curve that the estimates up to this snapshot allow; None where they are too few."""
    points = _points(snapshot.project, snapshot)
    return _fitted(tuple(point for point in points if point[0] <= snapshot.answers))


def in_words(told: Forecast) -> str:
    """So many more answers, with the interval; or why that cannot be told."""
    if told.reason:
        return _why_untold(told.reason, told.low)
    return _("about %(likely)d more answers (%(low)d to %(high)d)") % {
        "likely": told.likely, "low": told.low, "high": told.high,
    }  # fmt: skip


def _drawn_from(sample: Certificate) -> int:
    return sum(size for _name, size in sample.strata)


def _measured(sample: Certificate) -> dict[str, Any]:
    told = certificates.measured(sample)
    strata = [one | {"origin": name, "name": str(Status(name).label)} for name, one in told["strata"].items()]
    return {
        "right": told["right"],
        "strata": strata,
        "sample": sample.number,
        "audits": sum(one["audits"] for one in strata),
        "items": sum(one["size"] for one in strata),
        "decided_at": sample.decided_at.isoformat() if sample.decided_at else None,
    }


def _not_measured(running: Certificate | None) -> str:
    if running:
        return _("Being measured: its audits are among everybody's questions.")
    return _("Not measured yet. An audit sample measures it: random items are labelled blind and compared.")


def _reached(project: Project, snapshot: Snapshot | None, measured: dict[str, Any]) -> str:
    """What says that the goal is reached: "audit", "certificate", "estimate", or "" where nothing does."""
    goal = project.goal_accuracy
    if measured["right"] and measured["covered"] and measured["right"]["low"] >= goal:
        return "audit"
    standing = certificates.marks_of_batches(project).values()
    certified = max((one.accepted for one in standing if one.eps <= 1 - goal + 1e-9), default=0)
    if certified and project.tally.open == 0 and certified >= project.tally.accepted:
        return "certificate"
    newest = _newest_point(snapshot)
    return "estimate" if newest and newest[2] >= goal else ""


def _forecast(told: Forecast, state: str) -> dict[str, Any]:
    return {"state": state, "likely": told.likely, "low": told.low, "high": told.high}


def _why_untold(reason: str, least: int | None) -> str:
    said = {
        "few": _("How many answers are missing cannot be told yet: the estimates are too few to see where they lead."),
        "far": _("At this pace the goal is far away, or the curve levels off below it. Clearer labels may help more."),
        "wide": _("How many answers are missing cannot be told: the estimates so far allow too much."),
        "items": _("It may need more answers than there are open items: then they are all labelled."),
    }[reason]
    if not least or reason == "items":
        return said
    more = ngettext("At least %(n)d more, it seems.", "At least %(n)d more, it seems.", least) % {"n": least}
    return f"{said} {more}"


def _point(answers: int, accuracy: dict[str, Any] | None) -> Point | None:
    """An estimate as a point of the curve; None where it does not tell all of it."""
    estimate, low, high = ((accuracy or {}).get(name) for name in ("estimate", "low", "high"))
    return None if estimate is None or low is None or high is None else (answers, estimate, low, high)


def _newest_point(snapshot: Snapshot | None) -> Point | None:
    return _point(snapshot.answers, snapshot.estimates.get("accuracy")) if snapshot else None


def _points(project: Project, upto: Snapshot | None) -> Points:
    """The estimate at each number of answers, the newest model's, ascending."""
    found = Snapshot.objects.filter(project=project, estimates__accuracy__isnull=False).order_by("number")
    if upto is not None:
        found = found.filter(number__lte=upto.number)
    told = (_point(*one) for one in found.values_list("answers", "estimates__accuracy"))
    points = {point[0]: point for point in told if point}
    return tuple(points[answers] for answers in sorted(points))


@lru_cache(maxsize=64)
def _fitted(points: Points) -> Curve | None:
    if not points:
        return None
    table = np.array(points, dtype=np.float64)
    answers, accuracy, low, high = table.T
    return learning_curve.fit(answers, accuracy, low, high, np.random.default_rng(0))
