"""Queueing: which item is asked next, and in whose hands it is until it is answered."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from labeling import asking, pool, prepared, suggestions, tested
from labeling.locking import lock
from labeling.models import (
    Acceptance,
    Answer,
    Ask,
    Candidate,
    Item,
    Job,
    Lease,
    Mark,
    Member,
    Origin,
    Project,
    Purpose,
    Role,
    Snapshot,
    Status,
    User,
)
from labeling.models.lease import SECOND, SENT_BACK

PINNED_QUEUE = 200  # items ranked anew by a snapshot that an admin went back to
LOOKED_AT = 200  # candidates that want another answer, at each claim; most may be this person's own
FIRST, LAST = -(2**31), 2**31 - 1  # positions that there can be
FRONT = -1_000_000  # where items go that came back: before everything the model ranks


class Chance(Protocol):
    """What is asked of a generator of random numbers."""

    def randrange(self, stop: int, /) -> int:
        """A number in [0, stop)."""
        ...


def claim(
    *, project: Project, user: User, tab: str, count: int, now: datetime, chance: Chance | None = None
) -> list[Lease]:
    """Items for this person to answer, at most `count`, in the order to show them.

    First what this tab holds already (a reload loses nothing), then the queue, then any open item: the queue is
    never empty while work remains. Each is leased for the project's `lease_seconds`; nobody else gets it
    meanwhile. Fewer than `count` come back where no more are free. `chance` picks among items outside the queue, and
    among gold items.
    Where several people answer each item it goes from one to the next, and to nobody twice.
    Where the project has questions beside the queue (`Ask`), these are mixed in. What a running claim froze is asked
    blind whatever for, so that nothing of it is lost before it is drawn.
    """
    expires = now + timedelta(seconds=project.lease_seconds)
    chance = chance or random
    with transaction.atomic():
        kept = _kept(project, user, tab, count, now, expires)
        missing = count - len(kept)
        if missing <= 0:
            return kept
        share = max(project.blind_share, project.gold_share)
        if project.gold_pause and _is_paused(project, user):
            return []
        if project.training_items:
            lessons = _lessons(project, user, tab, missing, now, expires, chance)
            if lessons is not None:
                return kept + lessons
        if share:
            return kept + _mixed(project, user, tab, missing, now, expires, chance, share)
        taken = _from_queue(project, user, tab, missing, now, expires, chance)
        if len(taken) < missing:
            taken += _from_anywhere(project, user, tab, missing - len(taken), now, expires, chance)
    return kept + taken


def hold(*, item: Item, user: User, tab: str, now: datetime) -> Lease:
    """Give this item to this person (again), before all others; whoever else held it keeps no lease."""
    with transaction.atomic():
        Candidate.objects.filter(item=item).delete()
        mine = Lease.objects.filter(project=item.project_id, holder=user, tab=tab).order_by("created_at", "pk")
        oldest = mine.values_list("created_at", flat=True).first()
        reason, top = _returned(item, user)
        lease, _ = Lease.objects.update_or_create(
            item=item,
            slot=0,
            defaults={
                "project_id": item.project_id,
                "holder": user,
                "tab": tab,
                # Leases are shown in the order they were made, so it has to look older than the others.
                "created_at": min(now, oldest - timedelta(microseconds=1)) if oldest else now,
                "expires_at": now + timedelta(seconds=item.project.lease_seconds),
                "reason": {"code": reason},
                "top": top,
            },
        )
    return lease


def release(*, project: Project, user: User, tab: str) -> int:
    """Give back what this tab holds; returns how many items."""
    return _give_back(Lease.objects.filter(project=project, holder=user, tab=tab), timezone.now())


def sweep(*, now: datetime) -> int:
    """Put items whose lease ran out back at the front of their queues; returns how many."""
    return _give_back(Lease.objects.filter(expires_at__lte=now), now)


def waiting(*, project: Project, user: User, now: datetime, tab: str | None = None) -> int:
    """How many open items are in other people's hands; where `tab` is given, in this person's other tabs as well."""
    held = Lease.objects.filter(project=project, expires_at__gt=now, item__status=Status.OPEN)
    return held.exclude(Q(holder=user) if tab is None else Q(holder=user, tab=tab)).count()


def for_others(*, project: Project, user: User) -> int:
    """How many open items this person has answered already, and others must answer too."""
    if project.overlap == 1:
        return 0
    mine = Answer.objects.filter(project=project, author=user, withdrawn_at=None, origin=Origin.PERSON)
    return mine.filter(item__status=Status.OPEN).count()


def run(job: Job, progress: Any = None) -> None:
    """Refill the project's queue from the ranking of the snapshot that it goes by."""
    snapshot = suggestions.latest(job.project)
    if snapshot is not None:
        asked = pool.read_ranking(job.project_id, snapshot.number)
        if job.project.pinned_id:  # of what it once ranked much is answered by now
            asked = suggestions.least_sure(job.project, snapshot, PINNED_QUEUE)
        refill(project=job.project, snapshot=snapshot, asked=asked)


def refill(*, project: Project, snapshot: Snapshot, asked: list[dict[str, Any]]) -> int:
    """Replace the queue by these items, first asked first; returns how many were queued.

    Each of `asked` is {"row", "code", "labels", "p", "top"} as the learner ranked them. What was answered or
    leased meanwhile is left out; what came back or was rejected stays in front. So is what a running claim froze, as
    long as there is anything else: its answers teach nothing yet.
    """
    with transaction.atomic():
        Candidate.objects.filter(project=project, position__gte=0).delete()
        free = _items_by_row(project, [ask["row"] for ask in asked])
        under_test = set(tested.item_ids(project.pk).tolist())
        free = {row: item_id for row, item_id in free.items() if item_id not in under_test} or free
        fresh = [
            Candidate(
                project=project,
                item_id=free[ask["row"]],
                position=position,
                snapshot=snapshot,
                reason={"code": ask["code"], "labels": ask["labels"], "p": ask["p"]},
                top=ask["top"],
            )
            for position, ask in enumerate(asked)
            if ask["row"] in free
        ]
        Candidate.objects.bulk_create(fresh, ignore_conflicts=True)
    return len(fresh)


def _kept(project: Project, user: User, tab: str, count: int, now: datetime, expires: datetime) -> list[Lease]:
    """What the tab holds already, its time begun anew once half of it is gone."""
    mine: dict[str, Any] = {"project": project.pk, "holder": user.pk, "tab": tab, "now": now}
    kept = _held(**mine, count=count)
    sent_back = [lease.pk for lease in kept if lease.tab == SENT_BACK]
    if sent_back:
        # They waited for this person, whichever tab comes first. Shown before what the tab holds already.
        Lease.objects.filter(pk__in=sent_back).update(tab=tab, created_at=now - timedelta(days=1))
    if any(lease.expires_at - now < (expires - now) / 2 for lease in kept):
        _held_longer(**mine, expires=expires)
        for lease in kept:
            lease.expires_at = expires
    return kept


def _mixed(
    project: Project, user: User, tab: str, count: int, now: datetime, expires: datetime, chance: Chance, share: float
) -> list[Lease]:
    """Questions from beside the queue among those from it, as many as this share of all.

    The same share of the others is asked without a suggestion too, so that none tells by that what it is for.
    """
    taken: list[Lease] = []
    under_test = tested.item_ids(project.pk)
    for _place in range(count):
        apart, blind = (chance.randrange(1000) < 1000 * share for _ in range(2))
        one = _from_asks(project, user, tab, now, expires, chance) if apart else []
        if not one:
            one = _from_queue(project, user, tab, 1, now, expires, chance)
            one = one or _from_anywhere(project, user, tab, 1, now, expires, chance)
            if one and (blind or one[0].item_id in under_test):
                _blind(one[0])
        # Where nothing else is left, they are all that is asked.
        taken += one or _from_asks(project, user, tab, now, expires, chance, lasting=False)
    return taken


def _lessons(
    project: Project, user: User, tab: str, count: int, now: datetime, expires: datetime, chance: Chance
) -> list[Lease] | None:
    """What a newcomer is trained on: gold items, with feedback; None for whoever is trained, or where none is left."""
    learned = Answer.objects.filter(project=project, author=user, purpose=Purpose.TRAINING)
    left = project.training_items - learned.values("item").distinct().count()
    if left <= 0 or not Member.objects.filter(project=project, user=user, role=Role.ANNOTATOR).exists():
        return None
    held = Lease.objects.filter(project=project, holder=user, tab=tab, reason__training=True).count()
    lessons: list[Lease] = []
    for _place in range(min(count, left - held)):
        lessons += _from_asks(project, user, tab, now, expires, chance, lasting=True, training=True)
    return lessons if lessons or held else None


def _is_paused(project: Project, user: User) -> bool:
    return Member.objects.filter(project=project, user=user, paused_at__isnull=False).exists()


def _from_asks(
    project: Project, user: User, tab: str, now: datetime, expires: datetime, chance: Chance, *,
    lasting: bool | None = None, training: bool = False,
) -> list[Lease]:  # fmt: skip
    """A question that this person may be asked: of an item of which they have not seen what is suggested.

    Those that are needed once come first, in their order; then those that are asked of everybody, each person in an
    order of their own, so that nobody learns from a neighbour what comes next. `lasting` picks one of both.
    """
    item = OuterRef("item")
    mine = Answer.objects.filter(item=item, author=user).exclude(reason=asking.BLIND, withdrawn_at__isnull=False)
    refused = Mark.objects.filter(item=item, author=user, code__in=[Mark.Code.SKIP, Mark.Code.REJECT])
    accepted = Acceptance.objects.filter(item=item, batch__accepted_by=user)
    said = Answer.objects.filter(
        item=item, reason=asking.BLIND, withdrawn_at=None, created_at__gte=OuterRef("created_at")
    )
    held = Lease.objects.filter(item=item, expires_at__gt=now)
    asks = Ask.objects.filter(
        Q(not_for=None) | (~Q(not_for=user) & ~Exists(accepted)),
        Q(only_for=None) | Q(only_for=user),
        Q(lasting=True) | ~Exists(said),
        ~Exists(held), ~Exists(mine), ~Exists(refused),
        project=project,
    )  # fmt: skip
    ask = None if lasting else asks.filter(lasting=False).select_related("item").order_by("pk").first()
    if ask is None and lasting is not False:
        ask = _any(asks.filter(lasting=True), chance)
    if ask is None:
        return []
    lease = Lease(project=project, item=ask.item, holder=user, tab=tab, created_at=now, expires_at=expires)
    lease.reason = {"code": asking.BLIND} | ({"training": True} if training else {})
    return _lease([lease], now)


def _any(asks: QuerySet[Ask], chance: Chance) -> Ask | None:
    """One of these at random; a thousand gold items are a few kilobytes of numbers."""
    ids = list(asks.order_by("pk").values_list("pk", flat=True))
    return asks.select_related("item").filter(pk=ids[chance.randrange(len(ids))]).first() if ids else None


def _blind(lease: Lease) -> None:
    """Ask it without a suggestion. What the model thinks stays with it unseen, as its vote among people's."""
    lease.reason = {"code": asking.BLIND}
    lease.save(update_fields=["reason"])


def _returned(item: Item, user: User) -> tuple[str, list[list[Any]]]:
    """Why an item comes back to this person, and what the model had thought of it, if it was asked blind.

    Blind it stays: taking an answer back is no way to the suggestion.
    """
    last = Answer.objects.filter(item=item, author=user).order_by("-pk").first()
    was_blind = last is not None and last.reason == asking.BLIND
    asked = Ask.objects.filter(item=item).exclude(not_for=user).exists()
    if not was_blind and not asked and item.pk not in tested.item_ids(item.project_id):
        return "returned", []
    return asking.BLIND, [[last.foreseen_id, last.foreseen_p]] if last and last.foreseen_id else []


def _from_queue(
    project: Project, user: User, tab: str, count: int, now: datetime, expires: datetime, chance: Chance
) -> list[Lease]:
    if project.overlap > 1:
        found = _first_of_several(project, user, count, now, chance)
    else:
        found = _first_in_queue(project=project.pk, user=user.pk, now=now, count=count)
    leases = _lease(
        [
            Lease(
                project=project, item=c.item, holder=user, tab=tab, snapshot=c.snapshot, reason=c.reason, top=c.top,
                created_at=now, expires_at=expires,
            )
            for c in found
        ],
        now,
    )  # fmt: skip
    got = {lease.item_id for lease in leases}
    _out_of_queue(candidates=[candidate.pk for candidate in found if candidate.item_id in got])
    return leases


def _first_of_several(project: Project, user: User, count: int, now: datetime, chance: Chance) -> list[Candidate]:
    """The first candidates that this person has not answered: what came back, what others answered, what is ranked.

    Of those that others answered only `LOOKED_AT` from a random place on are looked at: whoever is far ahead of the
    others would look through all their own answers each time. What is missed so comes at the next claim.
    """
    mine: dict[str, Any] = {"project": project.pk, "user": user.pk, "now": now}
    start = SECOND[chance.randrange(len(SECOND))]
    found = _first_between(**mine, first=FIRST, last=SECOND.start - 1, looked_at=None, count=count)
    for first, last in ((start, SECOND.stop - 1), (SECOND.start, start - 1)):
        if len(found) < count:
            found += _first_between(**mine, first=first, last=last, looked_at=LOOKED_AT, count=count - len(found))
    if len(found) < count:
        found += _first_between(**mine, first=SECOND.stop, last=LAST, looked_at=None, count=count - len(found))
    return found


def _from_anywhere(
    project: Project, user: User, tab: str, count: int, now: datetime, expires: datetime, chance: Chance
) -> list[Lease]:
    """Open items from random places, so that a file sorted by label is not asked label by label."""
    several = project.overlap > 1
    items = _free(Item.objects.filter(project=project, status=Status.OPEN), "pk", user, now, several)
    if project.blind_share:
        items = items.filter(~Exists(Ask.objects.filter(item=OuterRef("pk"))))
    size = max(project.tally.items, 1)
    found: dict[int, Item] = {}
    while len(found) < count:
        start = chance.randrange(size)
        rest = lock(items.exclude(pk__in=list(found)).order_by("row"), skip_locked=True, of=("self",))
        item = rest.filter(row__gte=start).first() or rest.filter(row__lt=start).first()
        if item is None:
            break
        found[item.pk] = item
    answered = set(_answered(list(found))) if several else set()
    return _lease(
        [
            Lease(
                project=project, item=item, holder=user, tab=tab, created_at=now, expires_at=expires,
                reason={"code": "second" if item.pk in answered else "open"},
            )
            for item in found.values()
        ],
        now,
    )  # fmt: skip


def _free(rows: QuerySet[Any], item: str, user: Any, now: Any, several: bool) -> QuerySet[Any]:
    """Those whose item nobody holds and this person has not skipped. `item` names the column with the item's id.

    `several`: nor answered; where one answer is wanted, an open item has none.
    """
    leased = Lease.objects.filter(item=OuterRef(item), expires_at__gt=now)
    skipped = Mark.objects.filter(item=OuterRef(item), author=user, code=Mark.Code.SKIP)
    free = rows.filter(~Exists(leased), ~Exists(skipped))
    mine = Answer.objects.filter(item=OuterRef(item), author=user, withdrawn_at=None, origin=Origin.PERSON)
    return free.filter(~Exists(mine)) if several else free


def _answered(item_ids: list[int]) -> QuerySet[Any]:
    """The ids of those of these items that somebody has answered."""
    current = Answer.objects.filter(item__in=item_ids, withdrawn_at=None, origin=Origin.PERSON)
    return current.values_list("item_id", flat=True)


def _lease(wanted: list[Lease], now: datetime) -> list[Lease]:
    """Store these leases; where someone was faster with an item, only theirs counts."""
    if not wanted:
        return []
    try:
        with transaction.atomic():
            return Lease.objects.bulk_create(wanted)
    except IntegrityError:
        return _lease_what_is_free(wanted, now)


def _lease_what_is_free(wanted: list[Lease], now: datetime) -> list[Lease]:
    """The slower way, where a lease that ran out, or somebody faster, is in the way of one of them."""
    ids = [lease.item_id for lease in wanted]
    Lease.objects.filter(item__in=ids, expires_at__lte=now).delete()
    Lease.objects.bulk_create(wanted, ignore_conflicts=True)
    mine = Q(item__in=ids, holder=wanted[0].holder, tab=wanted[0].tab, created_at=now)
    got = {lease.item_id: lease for lease in _shown(Lease.objects.filter(mine))}
    return [got[item_id] for item_id in ids if item_id in got]


@prepared.rows(project=prepared.ID, holder=prepared.ID, tab=prepared.TEXT, now=prepared.TIME)
def _held(project: Any, holder: Any, tab: Any, now: Any, count: int) -> QuerySet[Lease]:
    held = Lease.objects.filter(project=project, holder=holder, tab__in=[tab, SENT_BACK], expires_at__gt=now)
    # What is asked beside the queue may have a label already.
    asked = Exists(Ask.objects.filter(item=OuterRef("item")))
    return _shown(held).filter(Q(item__status=Status.OPEN) | Q(asked))[:count]


@prepared.update(project=prepared.ID, holder=prepared.ID, tab=prepared.TEXT, now=prepared.TIME, expires=prepared.TIME)
def _held_longer(project: Any, holder: Any, tab: Any, now: Any, expires: Any) -> tuple[QuerySet[Lease], dict[str, Any]]:
    held = Lease.objects.filter(project=project, holder=holder, tab=tab, expires_at__gt=now)
    return held, {"expires_at": expires}


@prepared.rows(project=prepared.ID, user=prepared.ID, now=prepared.TIME)
def _first_in_queue(project: Any, user: Any, now: Any, count: int) -> QuerySet[Candidate]:
    return _open(Candidate.objects.filter(project=project), user, now, several=False)[:count]


@prepared.rows(project=prepared.ID, user=prepared.ID, now=prepared.TIME, first=prepared.ID, last=prepared.ID)
def _first_between(
    project: Any, user: Any, now: Any, first: Any, last: Any, looked_at: int | None, count: int
) -> QuerySet[Candidate]:
    """The same for items of several people, of those in these positions; only the first `looked_at` are looked at."""
    queue = Candidate.objects.filter(project=project, position__gte=first, position__lte=last)
    if looked_at:
        queue = Candidate.objects.filter(pk__in=queue.order_by("position").values("pk")[:looked_at])
    return _open(queue, user, now, several=True)[:count]


def _open(queue: QuerySet[Candidate], user: Any, now: Any, *, several: bool) -> QuerySet[Candidate]:
    """Candidates that nobody else is taking at this moment, locked until the transaction ends, in order."""
    free = _free(queue.filter(item__status=Status.OPEN), "item_id", user, now, several)
    locked = lock(free, skip_locked=True, of=("self",)).select_related("item", "snapshot")
    return locked.order_by("position")


@prepared.deletion(candidates=prepared.ID)
def _out_of_queue(candidates: Any) -> QuerySet[Candidate]:
    return Candidate.objects.filter(pk__in=candidates)


def _shown(leases: QuerySet[Lease]) -> QuerySet[Lease]:
    return leases.select_related("item", "snapshot").order_by("created_at", "pk")


def _give_back(leases: QuerySet[Lease], now: datetime) -> int:
    with transaction.atomic():
        held = list(lock(leases, skip_locked=True).select_related("item"))
        gone = [lease for lease in held if not _waits_on(lease, now)]
        asked = set(Ask.objects.filter(item__in=[lease.item_id for lease in gone]).values_list("item_id", flat=True))
        Candidate.objects.bulk_create(
            [
                Candidate(
                    project_id=lease.project_id, item_id=lease.item_id, position=FRONT, snapshot_id=lease.snapshot_id,
                    reason=lease.reason, top=lease.top,
                )
                for lease in gone
                if lease.item.status == Status.OPEN and lease.item_id not in asked
            ],
            ignore_conflicts=True,
        )  # fmt: skip
        Lease.objects.filter(pk__in=[lease.pk for lease in gone]).delete()
    return len(gone)


def _waits_on(lease: Lease, now: datetime) -> bool:
    """Whether it was sent back to its holder and goes on waiting for that person, whatever became of the tab."""
    until = datetime.fromisoformat(lease.reason["until"]) if lease.reason.get("code") == SENT_BACK else now
    if until > now:
        Lease.objects.filter(pk=lease.pk).update(tab=SENT_BACK, expires_at=until)
    return until > now


def _items_by_row(project: Project, rows: Iterable[int]) -> dict[int, int]:
    free = Item.objects.filter(project=project, row__in=list(rows), status=Status.OPEN)
    elsewhere = Exists(Lease.objects.filter(item=OuterRef("pk"))), Exists(Ask.objects.filter(item=OuterRef("pk")))
    found = dict(free.filter(*(~place for place in elsewhere)).values_list("row", "pk"))
    if project.overlap > 1:
        # What the model thinks of these tells what was answered; they wait in front already, without that.
        answered = set(_answered(list(found.values())))
        return {row: item_id for row, item_id in found.items() if item_id not in answered}
    return found
