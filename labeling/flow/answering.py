"""Answering: what a person says of an item is kept at once, once, with its history."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from labeling import annotators, asking, auditors, dispatch, prepared, standing, tested
from labeling.errors import Conflict, NotFound
from labeling.locking import lock
from labeling.models import (
    Acceptance,
    Answer,
    Ask,
    Candidate,
    Comment,
    Item,
    Job,
    Label,
    Lease,
    Mark,
    Member,
    Origin,
    Project,
    Purpose,
    Role,
    Status,
    User,
)
from labeling.models.lease import SECOND, SENT_BACK

SCORED = (Purpose.GOLD, Purpose.TRAINING)  # answers that say how well somebody answers, and label nothing
BACK_FOR = timedelta(days=14)  # that an item waits for the one person it was sent back to


@dataclass(frozen=True)
class Submitted:
    """An answer as it is kept; `created` is false where the same request had come before."""

    answer: Answer
    created: bool


def submit(
    *,
    project: Project,
    item: Item,
    author: User,
    label: Label,
    now: datetime,
    key: uuid.UUID | None = None,
    seconds: float | None = None,
    value: dict[str, Any] | None = None,
    informed: bool = False,
) -> Submitted:
    """Keep the answer of this person to this item. `informed`: they had what the model says before them.

    The same `key` twice is one answer: a lost reply, a double press or a second try never doubles it. A second
    answer to the same item takes the place of the person's first, which stays in the history.
    Raises Conflict where the key was used for another item.
    """
    try:
        with transaction.atomic():
            known, previous = _before(author, key, item)
            if known:
                return Submitted(known, created=False)
            answer = _give(project, item, author, label, now, key, seconds, value or {}, previous, informed)
    except IntegrityError:
        # The same request came twice at once, and the other one was kept.
        known, previous = _before(author, key, item)
        if kept := known or previous:
            return Submitted(kept, created=False)
        raise
    return Submitted(answer, created=True)


def correct(
    *, project: Project, item: Item, reviewer: User, label: Label, now: datetime, key: uuid.UUID | None = None
) -> Submitted:
    """A reviewer's answer in place of whatever people and the model had said; all of it stays in the history.

    Where several people answer each item it is a decision: theirs stand beside it, to be compared with.
    """
    if project.overlap > 1:
        return decide(project=project, item=item, reviewer=reviewer, label=label, now=now, key=key)
    with transaction.atomic():
        others = Answer.objects.filter(item=item, origin=Origin.PERSON, withdrawn_at=None).exclude(author=reviewer)
        others.update(withdrawn_at=now, withdrawn_by=reviewer)
        return submit(project=project, item=item, author=reviewer, label=label, now=now, key=key, informed=True)


def decide(
    *, project: Project, item: Item, reviewer: User, label: Label, now: datetime, key: uuid.UUID | None = None
) -> Submitted:
    """A reviewer's decision on an item, whatever people said: it outranks every answer, and their answers stay.

    Another decision takes its place. Raises Conflict where the key was used for another item.
    """
    with transaction.atomic():
        known, _previous = _before(reviewer, key, item)
        if known:
            return Submitted(known, created=False)
        # Locked, so that of two decisions at once the second takes the place of the first.
        lock(Item.objects).get(pk=item.pk)
        _decisions(item).update(withdrawn_at=now, withdrawn_by=reviewer)
        answer = Answer.objects.create(
            project=project, item=item, author=reviewer, label=label, key=key, created_at=now,
            purpose=Purpose.DECISION,
        )  # fmt: skip
        Candidate.objects.filter(item=item).delete()
        standing.restate(project.pk, [item.pk])
        dispatch.start(project, Job.Kind.ADAPT)
    return Submitted(answer, created=True)


def undecide(*, project: Project, item: Item, reviewer: User, now: datetime) -> None:
    """Take back the decision on an item: what people answered counts again. Raises NotFound where there is none."""
    with transaction.atomic():
        if not _decisions(item).update(withdrawn_at=now, withdrawn_by=reviewer):
            raise NotFound("answer")
        standing.restate(project.pk, [item.pk])
        _want_another(project, item, None)
        dispatch.start(project, Job.Kind.ADAPT)


def send_back(*, project: Project, answer: Answer, reviewer: User, reason: str, now: datetime) -> Comment:
    """Give an item back to whoever gave this answer, with the reason: it waits for that person before all else.

    The answer is withdrawn and stays in the history; the reason is kept as a comment. After `BACK_FOR` without another
    answer the item goes to others. Raises Conflict where the answer is no current one of a person.
    """
    with transaction.atomic():
        current = Answer.objects.filter(pk=answer.pk, origin=Origin.PERSON, purpose=Purpose.LABEL, withdrawn_at=None)
        author = answer.author
        if author is None or not current.update(withdrawn_at=now, withdrawn_by=reviewer):
            raise Conflict(_("This answer is no current answer of a person any more: reload the page."))
        standing.restate(project.pk, [answer.item_id])
        Candidate.objects.filter(item=answer.item_id).delete()
        told = {"code": SENT_BACK, "by": str(reviewer), "note": reason, "until": (now + BACK_FOR).isoformat()}
        # Whoever holds the item now keeps no lease: what they would say is not what is asked here.
        Lease.objects.update_or_create(
            item=answer.item,
            slot=0,
            defaults={
                "project": project, "holder": author, "tab": SENT_BACK, "reason": told, "created_at": now,
                "expires_at": now + BACK_FOR, "top": [], "snapshot": None,
            },
        )  # fmt: skip
        dispatch.start(project, Job.Kind.ADAPT)
        return Comment.objects.create(
            project=project, item=answer.item, author=reviewer, text=reason, sent_to=author, created_at=now
        )


def undo(*, project: Project, author: User, now: datetime, answer_id: int | None = None) -> Item:
    """Take back this person's own newest answer or skip, or the answer named; returns the item, which is open again.

    Raises NotFound where there is nothing to take back.
    """
    with transaction.atomic():
        mine = Answer.objects.filter(project=project, author=author, withdrawn_at=None, origin=Origin.PERSON)
        mine = mine.exclude(purpose=Purpose.DECISION)
        answer = (mine.filter(pk=answer_id) if answer_id else mine).order_by("-pk").first()
        skip = (
            None
            if answer_id
            else Mark.objects.filter(project=project, author=author, code=Mark.Code.SKIP).order_by("-pk").first()
        )
        if skip and (answer is None or skip.created_at > answer.created_at):
            skip.delete()
            return skip.item
        if answer is None:
            raise NotFound("answer")
        _withdraw(answer, author, now)
    return answer.item


def skip(*, project: Project, item: Item, author: User, now: datetime) -> Mark:
    """Leave the item to others: this person is not asked again."""
    with transaction.atomic():
        mark, _ = Mark.objects.update_or_create(
            item=item, author=author, code=Mark.Code.SKIP, defaults={"project": project, "created_at": now}
        )
        Lease.objects.filter(item=item, holder=author).delete()
    return mark


def unskip(*, item: Item, author: User) -> int:
    """Take back this person's skip; returns how many there were (0 or 1)."""
    return Mark.objects.filter(item=item, author=author, code=Mark.Code.SKIP).delete()[0]


def flag(*, project: Project, item: Item, author: User, now: datetime, note: str = "") -> Mark:
    """Note that somebody should look at this item; it can be answered all the same."""
    mark, _ = Mark.objects.update_or_create(
        item=item, author=author, code=Mark.Code.FLAG, defaults={"project": project, "created_at": now, "note": note}
    )
    return mark


def unflag(*, item: Item, author: User | None = None) -> int:
    """Take this person's flag off the item, or everybody's; returns how many."""
    flags = Mark.objects.filter(item=item, code=Mark.Code.FLAG)
    return (flags.filter(author=author) if author else flags).delete()[0]


def history(item: Item) -> list[dict[str, Any]]:
    """All that was said of the item, newest first, in plain values."""
    events: list[dict[str, Any]] = []
    for answer in Answer.objects.filter(item=item).select_related("author", "label", "withdrawn_by"):
        said = {"origin": answer.origin, "purpose": answer.purpose}
        events.append(_event("answer", answer.created_at, answer.author, answer.label.name, **said))
        if answer.withdrawn_at:
            events.append(_event("withdrawn", answer.withdrawn_at, answer.withdrawn_by, answer.label.name))
    accepted = Acceptance.objects.filter(item=item).select_related("label", "batch__accepted_by", "batch__snapshot")
    for acceptance in accepted:
        facts = {"confidence": acceptance.confidence, "snapshot": acceptance.batch.snapshot.number}
        batch = acceptance.batch
        events.append(_event("accepted", batch.created_at, batch.accepted_by, acceptance.label.name, **facts))
        if acceptance.withdrawn_at:
            events.append(_event("acceptance_withdrawn", acceptance.withdrawn_at, None, acceptance.label.name))
    for mark in Mark.objects.filter(item=item).select_related("author", "label"):
        name = mark.label.name if mark.label else ""
        events.append(_event(mark.code, mark.created_at, mark.author, name, note=mark.note))
    for comment in Comment.objects.filter(item=item).select_related("author", "sent_to"):
        code, to = ("sent_back", str(comment.sent_to)) if comment.sent_to else ("comment", "")
        events.append(_event(code, comment.created_at, comment.author, "", note=comment.text, to=to))
    return sorted(events, key=lambda event: event["at"], reverse=True)


def _give(
    project: Project,
    item: Item,
    author: User,
    label: Label,
    now: datetime,
    key: uuid.UUID | None,
    seconds: float | None,
    value: dict[str, Any],
    previous: Answer | None,
    informed: bool,
) -> Answer:
    if previous:
        Answer.objects.filter(pk=previous.pk).update(withdrawn_at=now, withdrawn_by=author)
    lease = _lease.first(item=item.pk, holder=author.pk)
    seen = _late(project, item) if lease is None and previous is None and not informed else None
    answer = Answer.objects.create(
        project=project, item=item, author=author, label=label, value=value, key=key, seconds=seconds, created_at=now,
        purpose=_purpose(project, item, lease, previous), **(seen or _seen(project, lease, previous)),
    )  # fmt: skip
    if lease:
        _end(lease=lease.pk)
    else:
        # A leased item has left the queue, and is never one that this person skipped.
        Candidate.objects.filter(item=item).delete()
        Mark.objects.filter(item=item, author=author, code=Mark.Code.SKIP).delete()
    if answer.purpose in SCORED:
        _pause_if_poor(project, author, now)
        return answer
    if project.overlap > 1:
        standing.restate(project.pk, [item.pk])
        _want_another(project, item, lease)
    else:
        standing.answered(project.pk, item.pk, label.pk)
    dispatch.start(project, Job.Kind.ADAPT)
    return answer


def _purpose(project: Project, item: Item, lease: Lease | None, previous: Answer | None) -> str:
    """What the answer is for: an item that is asked as gold, and as nothing else, scores and labels nothing."""
    if previous:
        return previous.purpose
    if lease is None or lease.reason.get("code") != asking.BLIND:
        return Purpose.LABEL
    asked = set(Ask.objects.filter(item=item).values_list("purpose", flat=True))
    if asked != {Purpose.GOLD}:
        return Purpose.LABEL
    return Purpose.TRAINING if lease.reason.get("training") else Purpose.GOLD


def _pause_if_poor(project: Project, author: User, now: datetime) -> None:
    """Pause an annotator whose accuracy on gold items lies below the project's threshold by more than chance."""
    if not project.gold_pause:
        return
    member = Member.objects.filter(project=project, user=author, role=Role.ANNOTATOR, paused_at=None).first()
    if member is None:
        return
    score = annotators.score(*auditors.gold_score(project, [author.pk], since=member.resumed_at))
    if score["high"] < project.gold_threshold:
        Member.objects.filter(pk=member.pk, paused_at=None).update(paused_at=now)


def _want_another(project: Project, item: Item, lease: Lease | None) -> None:
    """Put an item that still wants answers back into the queue, for whoever has not answered it yet.

    With what the model thought before anybody answered: what it thinks since would tell what was answered.
    """
    if project.overlap > 1 and Item.objects.filter(pk=item.pk, status=Status.OPEN).exists():
        top, snapshot_id = (lease.top, lease.snapshot_id) if lease else ([], None)
        # Spread by row: whoever looks for one that others have answered finds it wherever they begin to look.
        place = SECOND[item.row * 2_654_435_761 % len(SECOND)]
        known = {"project": project, "position": place, "reason": {"code": "second"}}
        Candidate.objects.update_or_create(item=item, defaults=known | {"top": top, "snapshot_id": snapshot_id})


def _decisions(item: Item) -> QuerySet[Answer]:
    return Answer.objects.filter(item=item, purpose=Purpose.DECISION, withdrawn_at=None)


def _seen(project: Project, lease: Lease | None, previous: Answer | None) -> dict[str, Any]:
    """What was suggested to the person who held this lease, what the model thought unseen, and why the item was asked.

    Who changes an answer has no newer lease: what the model thought stays as it was, and a slip that is put right stays
    blind.
    """
    if lease is None:
        return _seen_before(previous) if previous else {}
    told: dict[str, Any] = {"reason": lease.reason.get("code", ""), "snapshot_id": lease.snapshot_id}
    if lease.top:
        label_id, p = lease.top[0]
        shown = project.show_suggestions and told["reason"] != asking.BLIND
        told |= {"foreseen_id": label_id, "foreseen_p": p}
        told |= {"suggested_id": label_id, "confidence": p} if shown else {}
    return told


def _late(project: Project, item: Item) -> dict[str, Any]:
    """Why the item was asked, of an answer that came after its lease had run out: what a claim tests is asked blind."""
    return {"reason": asking.BLIND} if project.blind_share and item.pk in tested.item_ids(project.pk) else {}


def _seen_before(previous: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"foreseen_id": previous.foreseen_id, "foreseen_p": previous.foreseen_p}
    return told | ({"reason": asking.BLIND} if previous.reason == asking.BLIND else {})


def _withdraw(answer: Answer, by: User, now: datetime) -> None:
    Answer.objects.filter(pk=answer.pk, withdrawn_at=None).update(withdrawn_at=now, withdrawn_by=by)
    if answer.purpose in SCORED:
        return
    standing.restate(answer.project_id, [answer.item_id])
    if answer.project.overlap > 1:
        _want_another(answer.project, answer.item, None)
    dispatch.start(answer.project, Job.Kind.ADAPT)


def _before(author: User, key: uuid.UUID | None, item: Item) -> tuple[Answer | None, Answer | None]:
    """The answer that this key gave already, and this person's current answer to the item.

    Raises Conflict where the key was used for another item.
    """
    found = _said(item=item.pk, author=author.pk, key=key)
    known = next((answer for answer in found if key and answer.key == key), None)
    if known and known.item_id != item.pk:
        raise Conflict(_("This idempotency key was used for another item. Make a new one for each answer."))
    return known, next((answer for answer in found if answer.withdrawn_at is None), None)


@prepared.rows(item=prepared.ID, author=prepared.ID, key=prepared.KEY)
def _said(item: Any, author: Any, key: Any) -> QuerySet[Answer]:
    """The current answer, and the one with this key; no answer equals a key that is not there."""
    current = Q(item=item, author=author, withdrawn_at=None, origin=Origin.PERSON) & ~Q(purpose=Purpose.DECISION)
    return Answer.objects.filter(current | Q(author=author, key=key))


@prepared.rows(item=prepared.ID, holder=prepared.ID)
def _lease(item: Any, holder: Any) -> QuerySet[Lease]:
    return Lease.objects.filter(item=item, holder=holder).order_by("pk")


@prepared.deletion(lease=prepared.ID)
def _end(lease: Any) -> QuerySet[Lease]:
    return Lease.objects.filter(pk=lease)


def _event(code: str, at: datetime, who: User | None, label: str, **facts: Any) -> dict[str, Any]:
    return {"event": code, "at": at, "who": str(who) if who else "", "label": label, **facts}
