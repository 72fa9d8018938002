"""Overview: how far a project is, how the model learns, how each label does, and how fast people are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labeling import outlook, suggestions
from labeling.models import LABELLING, Acceptance, Answer, Item, Label, Mark, Origin, Project, Snapshot, Status, User

PAUSE = timedelta(minutes=5)  # a longer gap between two answers of a person is a pause, not work
RECENT = 2000  # newest answers of a person that pace is measured on
CURVE_POINTS = 400  # more snapshots than this are thinned for the chart
FEW_ANSWERS = 5  # of a label; below that nothing is said about how often its suggestions were right
LISTED = 50  # flagged and skipped items shown


def describe(project: Project, now: datetime) -> dict[str, Any]:
    """Everything on the overview page, in plain values."""
    snapshot = suggestions.latest(project)
    audited = outlook.audited(project)
    foretold = outlook.forecast(project, snapshot, audited)
    return {
        "progress": progress(project),
        "audited": audited,
        "accuracy": accuracy(project, snapshot),
        "goal": goal(project, snapshot),
        "forecast": foretold,
        "stopping": outlook.stopping(project, snapshot, foretold),
        "curve": curve(project),
        "labels": labels(project, snapshot),
        "people": people(project, now),
        "marks": marks(project),
    }


def progress(project: Project) -> dict[str, Any]:
    """How many items stand where, and the share that has a label, in [0, 1]; None for a project without items."""
    tally = project.tally
    done = tally.items - tally.open
    return {
        "items": tally.items,
        "open": tally.open,
        "answered": tally.answered,
        "imported": tally.imported,
        "accepted": tally.accepted,
        "share": done / tally.items if tally.items else None,
    }


def accuracy(project: Project, snapshot: Snapshot | None) -> dict[str, Any]:
    """The estimated accuracy of suggestions for open items with its interval, or in words why there is none.

    `estimate`, `low` and `high` in [0, 1] are None together.
    """
    if snapshot is None:
        return _unknown(_("The model has not learned yet. It begins with the first answers."))
    known = _estimate(snapshot)
    if known is None:
        return _unknown(_missing(project, snapshot))
    return {key: known.get(key) for key in ("estimate", "low", "high", "how")} | {
        "missing": "",
        "snapshot": snapshot.number,
        "answers": snapshot.answers,
    }


def goal(project: Project, snapshot: Snapshot | None) -> dict[str, Any]:
    """The goal, and what the estimate says about it: "reached", "perhaps", "below", or "unknown".

    Reached: the whole interval lies at or above it. Perhaps: the goal lies inside the interval. How many answers are
    missing is another matter: see outlook.py.
    """
    known = _estimate(snapshot) if snapshot else None
    wanted = project.goal_accuracy
    if known is None:
        return {"accuracy": wanted, "state": "unknown", "gap": None}
    state = "reached" if known["low"] >= wanted else "perhaps" if known["high"] >= wanted else "below"
    return {"accuracy": wanted, "state": state, "gap": max(wanted - known["estimate"], 0.0)}


def curve(project: Project) -> list[dict[str, Any]]:
    """One point per snapshot, oldest first: answers learned from, and the estimate with its interval or None."""
    snapshots = list(Snapshot.objects.filter(project=project).only("number", "answers", "estimates", "created_at"))
    points = []
    for snapshot in _thinned(snapshots):
        known = _estimate(snapshot) or {}
        points.append(
            {
                "snapshot": snapshot.number,
                "answers": snapshot.answers,
                "at": snapshot.created_at.isoformat(),
                "estimate": known.get("estimate"),
                "low": known.get("low"),
                "high": known.get("high"),
            }
        )
    return points


def labels(project: Project, snapshot: Snapshot | None) -> list[dict[str, Any]]:
    """One row per label, weakest first where that is known, then those with the fewest answers.

    `estimate`: of this label's answers, the share that the model foresaw while they were held back from it, with its
    interval; None below five. `confirmed` of `suggested`: how often people who were shown a suggestion and answered
    with this label had been shown this label. Both are of items that the model was unsure of, so harder than the rest.
    `confused_with`: what the model said most often in its stead, when held back, else when shown.
    """
    answered = _counts(Answer.objects.filter(project=project, withdrawn_at=None, purpose__in=LABELLING))
    accepted = _counts(Item.objects.filter(project=project, status=Status.ACCEPTED))
    right, wrong = _confirmations(project)
    estimates = (snapshot.estimates.get("labels") or {}) if snapshot else {}
    held_out = _confusions(project, snapshot)
    rows = [
        {
            "id": label.pk,
            "name": label.name,
            "archived": label.archived_at is not None,
            "answers": answered.get(label.pk, 0),
            "accepted": accepted.get(label.pk, 0),
            "estimate": _label_estimate(estimates.get(str(label.pk))),
            "confirmed": right[label.pk],
            "suggested": right[label.pk] + wrong[label.pk].total(),
            "confused_with": _most(held_out.get(label.pk) or wrong[label.pk]),
        }
        for label in Label.objects.filter(project=project)
    ]
    return sorted(rows, key=_weakness)


def people(project: Project, now: datetime) -> list[dict[str, Any]]:
    """Each person's current answers, their last day's, and pace; most answers first.

    `median_seconds`: from shown to answered. `per_hour`: answers per hour of work, where gaps of more than five minutes
    do not count as work; None below ten answers. Both over the person's newest 2,000 answers.
    """
    mine = Answer.objects.filter(project=project, origin=Origin.PERSON, withdrawn_at=None)
    totals = mine.values("author").annotate(answers=Count("pk"), last=Max("created_at")).order_by("-answers")
    day = dict(mine.filter(created_at__gt=now - timedelta(days=1)).values_list("author").annotate(n=Count("pk")))
    accepted = dict(
        Acceptance.objects.filter(project=project, withdrawn_at=None)
        .values_list("batch__accepted_by")
        .annotate(n=Count("pk"))
    )
    names = {user.pk: str(user) for user in User.objects.filter(pk__in={t["author"] for t in totals} | set(accepted))}
    told = [
        {
            "id": total["author"],
            "name": names[total["author"]],
            "answers": total["answers"],
            "last_day": day.get(total["author"], 0),
            "accepted": accepted.get(total["author"], 0),
            "last_at": total["last"].isoformat(),
        }
        | _pace(mine.filter(author=total["author"]))
        for total in totals
    ]
    only_accepted = set(accepted) - {person["id"] for person in told}
    blank = {"answers": 0, "last_day": 0, "last_at": None, "median_seconds": None, "per_hour": None}
    return told + [{"id": pk, "name": names[pk], "accepted": accepted[pk]} | blank for pk in sorted(only_accepted)]


def marks(project: Project) -> dict[str, Any]:
    """Flagged and skipped items: how many, and the newest."""
    return {"flagged": _marked(project, Mark.Code.FLAG), "skipped": _marked(project, Mark.Code.SKIP)}


def pace(moments: Iterable[datetime]) -> float | None:
    """Answers per hour of work, from the times of a person's answers; None below ten answers.

    The time before the first answer of each sitting is not known, so each gap within a sitting counts as one answer.
    """
    gaps = [later - earlier for earlier, later in pairwise(sorted(moments))]
    worked = [gap for gap in gaps if gap <= PAUSE]
    if len(worked) < 9:
        return None
    hours = sum(worked, timedelta()) / timedelta(hours=1)
    return len(worked) / hours if hours > 0 else None


def _pace(answers: QuerySet[Answer]) -> dict[str, Any]:
    newest = list(answers.order_by("-pk").values_list("created_at", "seconds")[:RECENT])
    seconds = [took for _at, took in newest if took is not None]
    per_hour = pace(at for at, _took in newest)
    return {
        "median_seconds": round(median(seconds), 1) if seconds else None,
        "per_hour": round(per_hour) if per_hour else None,
    }


def _marked(project: Project, code: str) -> dict[str, Any]:
    found = Mark.objects.filter(project=project, code=code)
    newest = found.select_related("item", "author").order_by("-pk")[:LISTED]
    return {
        "count": found.values("item").distinct().count(),
        "newest": [
            {
                "item": mark.item_id,
                "text": mark.item.text[:160] or mark.item.name or f"#{mark.item.row + 1}",
                "by": str(mark.author),
                "at": mark.created_at,
                "note": mark.note,
            }
            for mark in newest
        ],
    }


def _counts(rows: QuerySet[Any]) -> dict[int, int]:
    return dict(rows.order_by().values_list("label").annotate(n=Count("pk")))


def _confirmations(project: Project) -> tuple[Counter[int], defaultdict[int, Counter[str]]]:
    """By the label that people gave: how often it had been suggested, and what had been suggested instead."""
    seen = Answer.objects.filter(project=project, withdrawn_at=None, origin=Origin.PERSON, suggested__isnull=False)
    right: Counter[int] = Counter()
    wrong: defaultdict[int, Counter[str]] = defaultdict(Counter)
    pairs = seen.order_by().values_list("label", "suggested", "suggested__name").annotate(n=Count("pk"))
    for label_id, suggested_id, name, count in pairs:
        if label_id == suggested_id:
            right[label_id] += count
        else:
            wrong[label_id][name] += count
    return right, wrong


def _confusions(project: Project, snapshot: Snapshot | None) -> dict[int, Counter[str]]:
    """By the label of held-out answers: the names of what the model said instead. Empty before any are held out."""
    names = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    told: dict[int, Counter[str]] = {}
    for pair in (snapshot.estimates.get("confusions") or []) if snapshot else []:
        if pair["suggested"] in names:
            told.setdefault(pair["answer"], Counter())[names[pair["suggested"]]] += pair["count"]
    return told


def _label_estimate(known: dict[str, Any] | None) -> dict[str, Any] | None:
    return {key: known.get(key) for key in ("estimate", "low", "high", "answers")} if known else None


def _most(wrong: Counter[str]) -> dict[str, Any] | None:
    return {"name": wrong.most_common(1)[0][0], "count": wrong.most_common(1)[0][1]} if wrong else None


def _weakness(row: dict[str, Any]) -> tuple[float, float, int]:
    """Archived labels last; then by the estimate, else by the share of confirmed suggestions, else by answers."""
    if row["estimate"]:
        value = row["estimate"]["estimate"]
    else:
        value = row["confirmed"] / row["suggested"] if row["suggested"] >= FEW_ANSWERS else 2.0
    return float(row["archived"]), value, row["answers"]


def _estimate(snapshot: Snapshot) -> dict[str, Any] | None:
    known = snapshot.estimates.get("accuracy")
    return known if known and None not in (known.get("estimate"), known.get("low"), known.get("high")) else None


def _missing(project: Project, snapshot: Snapshot) -> str:
    """Why there is no estimate, in words; how many answers are missing where that is known."""
    needed = snapshot.estimates.get("needs_answers")
    if not project.tally.open:
        return _("Nothing is open any more, so there are no suggestions to estimate.")
    if needed and needed > snapshot.answers:
        return ngettext(
            "%(count)d more answer is needed before accuracy can be estimated.",
            "%(count)d more answers are needed before accuracy can be estimated.",
            needed - snapshot.answers,
        ) % {"count": needed - snapshot.answers}
    return _("The answers so far leave too wide an interval to give a number. More answers narrow it.")


def _unknown(missing: str) -> dict[str, Any]:
    return {
        "estimate": None,
        "low": None,
        "high": None,
        "how": "",
        "missing": missing,
        "snapshot": None,
        "answers": None,
    }


def _thinned(snapshots: list[Snapshot]) -> list[Snapshot]:
    """At most CURVE_POINTS of them, evenly spread, the newest always among them."""
    step = -(-len(snapshots) // CURVE_POINTS)
    return snapshots[::-1][::step][::-1] if step > 1 else snapshots
