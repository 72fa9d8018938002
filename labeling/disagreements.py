"""Disagreements: items on which people differ, or whose label is unsure all the same; who said what, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Q, TextChoices
from django.utils.translation import gettext_lazy as _

from labeling import suggestions, weighing
from labeling.models import Answer, Comment, Gold, Item, Project, Purpose, Snapshot
from labeling.weighing import Verdict


class State(TextChoices):
    """Which of them."""

    OPEN = "open", _("To decide")
    DECIDED = "decided", _("Decided")


def found(
    project: Project, state: str = State.OPEN, *, person: int | None = None, said: int | None = None,
    label: int | None = None,
) -> list[tuple[int, Verdict]]:  # fmt: skip
    """Item ids with what the answers say together, least sure first.

    To decide: answers differ, or agree and still leave the label less sure than the project's `sure_enough`. With
    `person`, `said` or `label` instead: items that this person answered, with this label, that came to have this one.
    """
    if state == State.DECIDED:
        wanted = weighing.current(project).filter(purpose=Purpose.DECISION).values_list("item", flat=True)
    elif person or said or label:
        wanted = _chosen(project, person, said)
    else:
        # An order would become part of the grouping.
        several = weighing.current(project).filter(purpose=Purpose.LABEL).order_by().values("item")
        wanted = several.annotate(n=Count("pk")).filter(n__gt=1).values_list("item", flat=True)
    judged: dict[int, Verdict] = {}
    ids = list(wanted)
    for start in range(0, len(ids), 5_000):
        judged |= weighing.verdicts(project, ids[start : start + 5_000])
    if label:
        judged = {pk: verdict for pk, verdict in judged.items() if verdict.label_id == label}
    elif state == State.OPEN and not (person or said):
        judged = {pk: verdict for pk, verdict in judged.items() if _is_open(project, verdict)}
    return sorted(judged.items(), key=lambda pair: (pair[1].p, pair[0]))


def describe(
    project: Project, chosen: Sequence[tuple[int, Verdict]], snapshot: Snapshot | None
) -> list[dict[str, Any]]:
    """These items with everything a reviewer wants to see before deciding, in plain values but for the item itself."""
    ids = [item_id for item_id, _verdict in chosen]
    items = Item.objects.in_bulk(ids)
    answers: dict[int, list[Answer]] = defaultdict(list)
    said = Answer.objects.filter(item__in=ids, purpose__in=[Purpose.LABEL, Purpose.DECISION])
    for answer in said.select_related("author", "withdrawn_by").order_by("pk"):
        answers[answer.item_id].append(answer)
    talk = comments(project, ids)
    golden = set(Gold.objects.filter(item__in=ids).values_list("item", flat=True))
    thought = _thought(snapshot, [item.row for item in items.values()])
    return [
        {
            "item": items[item_id],
            "answers": [_answer(one) for one in answers[item_id]],
            "consensus": {"label": verdict.label_id, "p": round(verdict.p, 4), "method": verdict.method},
            "decided": verdict.method == weighing.DECIDED,
            "gold": item_id in golden,
            "suggestion": thought.get(items[item_id].row),
            "comments": talk[item_id],
        }
        for item_id, verdict in chosen
        if item_id in items
    ]


def comments(project: Project, item_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """What was said about these items, oldest first, by item id."""
    talk: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in Comment.objects.filter(project=project, item__in=item_ids).select_related("author", "sent_to"):
        talk[one.item_id].append(comment(one))
    return talk


def comment(one: Comment) -> dict[str, Any]:
    """A comment in plain values."""
    return {
        "id": one.pk,
        "author": str(one.author),
        "text": one.text,
        "sent_to": str(one.sent_to) if one.sent_to else None,
        "created_at": one.created_at.isoformat(),
    }


def _is_open(project: Project, verdict: Verdict) -> bool:
    differs = verdict.equal < verdict.answers
    return verdict.method != weighing.DECIDED and (differs or verdict.p < project.sure_enough)


def _chosen(project: Project, person: int | None, said: int | None) -> Any:
    wanted = Q(purpose=Purpose.LABEL)
    wanted &= Q(author=person) if person else Q()
    wanted &= Q(label=said) if said else Q()
    return weighing.current(project).filter(wanted).values_list("item", flat=True).distinct()


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.pk,
        "author": str(answer.author) if answer.author else "",
        "label": answer.label_id,
        "purpose": answer.purpose,
        "origin": answer.origin,
        "at": answer.created_at.isoformat(),
        "seconds": answer.seconds,
        "suggested": answer.suggested_id,
        "withdrawn": answer.withdrawn_at is not None,
        "withdrawn_by": str(answer.withdrawn_by) if answer.withdrawn_by else None,
    }


def _thought(snapshot: Snapshot | None, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the newest snapshot says of these rows. It has learned from their answers; reviewers are told so."""
    if snapshot is None or not rows or not suggestions.has_arrays(snapshot):
        return {}
    told = suggestions.of_rows(snapshot, rows)
    return {
        int(row): {"label": int(told.label_ids[place]), "confidence": round(float(told.confidence[place]), 4)}
        for place, row in enumerate(told.rows)
    }
