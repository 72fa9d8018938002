"""Reviewing: suggestions that a person accepts, many at once or one by one, takes back or refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from labeling import asking, certificates, dispatch, standing, suggestions
from labeling.errors import BadField, Conflict
from labeling.locking import lock
from labeling.models import (
    Acceptance,
    Batch,
    Candidate,
    Certificate,
    Item,
    Job,
    Label,
    Mark,
    Project,
    Snapshot,
    Status,
    User,
)
from labeling.suggestions import Suggestions

IN_REQUEST = 5000  # as many are settled while the person waits; more become a job
CHUNK = 2000  # accepted or taken back in one transaction

Progress = Callable[..., None]


@dataclass(frozen=True)
class Choice:
    """What a reviewer chose to accept: all from a confidence on, these items, or what a certificate covers.

    Of one label, or of any.
    """

    snapshot: Snapshot
    threshold: float | None = None  # lowest confidence accepted, in [0, 1]
    label: Label | None = None
    item_ids: Sequence[int] | None = None
    certificate: Certificate | None = None  # a passed one


@dataclass(frozen=True)
class Preview:
    """What accepting a choice would settle."""

    count: int
    by_label: dict[int, int]  # label id -> items, most first
    expected_errors: float  # how many of them the model itself expects to be wrong; an estimate, never a bound


def preview(*, project: Project, choice: Choice) -> Preview:
    """What `accept` would settle now, without settling anything. Raises as `accept` does."""
    chosen = _chosen(project, choice)
    return Preview(len(chosen), suggestions.by_label(chosen), chosen.expected_errors())


def accept(*, project: Project, reviewer: User, choice: Choice, now: datetime) -> tuple[Batch, Job | None]:
    """Make the chosen suggestions their items' labels: at once, or more than 5,000 in a job that is returned too.

    Only items that are open when their turn comes are touched: what a person answers meanwhile stays as answered.
    `choice.snapshot` says which suggestions the reviewer saw: those are accepted, whatever the model has learned since.

    Raises BadField for a choice that names neither a threshold nor items, Conflict where nothing is left to accept or
    the certificate has not passed.
    """
    if choice.certificate is not None and choice.certificate.state != Certificate.State.PASSED:
        raise Conflict(_("This certificate has not passed, so there is nothing that it lets you accept."))
    chosen = _chosen(project, choice)
    if not len(chosen):
        raise Conflict(_("Nothing is left to accept here: others have settled these items, or none is that sure."))
    with transaction.atomic():
        batch = Batch.objects.create(
            project=project,
            accepted_by=reviewer,
            snapshot=choice.snapshot,
            threshold=choice.threshold if choice.item_ids is None else None,
            label=choice.label,
            certificate=choice.certificate,
            created_at=now,
        )
        # Chosen one by one there is nothing to find them by later, so they never become a job.
        if choice.item_ids is None and len(chosen) > IN_REQUEST:
            job = dispatch.start(project, Job.Kind.ACCEPT, {"batch": batch.pk, "total": len(chosen)}, by=reviewer)
            return batch, job
        for some in _chunks(chosen):
            _settle(batch, some)
    batch.refresh_from_db()
    return batch, None


def undo(
    *, project: Project, reviewer: User, batch: Batch, item_ids: Sequence[int] | None = None, now: datetime
) -> Job | None:
    """Take back a whole batch, or some of its items. The items are open again unless a person answered them meanwhile.

    More than 5,000 are taken back by a job, which is returned. Raises Conflict where it was undone already.
    """
    with transaction.atomic():
        if item_ids is None:
            return _undo_all(project, reviewer, batch, now)
        if not _withdraw(batch, _current(batch).filter(item__in=item_ids), now):
            raise Conflict(_("These items are not accepted any more."))
        if not _current(batch).exists():
            Batch.objects.filter(pk=batch.pk, undone_at=None).update(undone_at=now, undone_by=reviewer)
    return None


def reject(*, project: Project, reviewer: User, item: Item, snapshot: Snapshot, now: datetime) -> Mark:
    """Note that the suggestion is wrong: it is not accepted in bulk again, and a person is asked for the item first.

    An accepted item is opened again. Raises Conflict where a person has answered the item, or nothing is suggested.
    """
    with transaction.atomic():
        item = lock(Item.objects).get(pk=item.pk)
        if item.status in (Status.ANSWERED, Status.IMPORTED):
            raise Conflict(_("This item has an answer already; change the answer instead."))
        label_id, confidence = _suggested(item, snapshot)
        accepted = Acceptance.objects.filter(item=item, withdrawn_at=None).first()
        if accepted is not None:
            label_id, confidence = accepted.label_id, accepted.confidence
            _withdraw(accepted.batch, Acceptance.objects.filter(pk=accepted.pk), now)
        mark, _created = Mark.objects.update_or_create(
            item=item,
            author=reviewer,
            code=Mark.Code.REJECT,
            defaults={"project": project, "label_id": label_id, "created_at": now},
        )
        reason = {"code": "rejected", "labels": [label_id], "p": [round(confidence, 4)]}
        asking.first(item, reason=reason, snapshot=snapshot)
    return mark


def restore(*, project: Project, item: Item) -> None:
    """Take back every rejection of the item's suggestion. Raises Conflict where there is none."""
    with transaction.atomic():
        gone, _each = Mark.objects.filter(project=project, item=item, code=Mark.Code.REJECT).delete()
        if not gone:
            raise Conflict(_("This suggestion is not rejected."))
        Candidate.objects.filter(item=item, reason__code="rejected").delete()


def run(job: Job, progress: Progress) -> None:
    """Accept, or take back, the batch of a job, chunk by chunk.

    How far it came is written with each chunk, so that after a kill it goes on behind the last one.
    """
    batches = Batch.objects.select_related("project", "project__tally", "snapshot", "label", "certificate")
    batch = batches.get(pk=job.arguments["batch"])
    if "undo" in job.arguments:
        _run_undo(job, batch, progress)
    else:
        _run_accept(job, batch, progress)


def _run_accept(job: Job, batch: Batch, progress: Progress) -> None:
    done, position = job.result.get("accepted", 0), job.result.get("position", -1)
    chosen = _chosen(batch.project, Choice(batch.snapshot, batch.threshold, batch.label, None, batch.certificate))
    # Behind the position only: what was accepted before a kill and taken back since is not accepted again.
    chosen = chosen[chosen.rows > position]
    total = done + len(chosen)
    for some in _chunks(chosen):
        progress(done, total, "items")
        with transaction.atomic():
            settled = _settle(batch, some)
            if settled is None:
                return
            done += settled
            result = {"accepted": done, "position": int(some.rows[-1]), "batch": batch.pk}
            Job.objects.filter(pk=job.pk).update(result=result, done=done, total=total, unit="items")


def _run_undo(job: Job, batch: Batch, progress: Progress) -> None:
    undone, when = job.result.get("undone", 0), datetime.fromisoformat(job.arguments["undo"])
    total = undone + _current(batch).count()
    while True:
        progress(undone, total, "items")
        with transaction.atomic():
            some = list(_current(batch).order_by("pk").values_list("pk", flat=True)[:CHUNK])
            undone += _withdraw(batch, Acceptance.objects.filter(pk__in=some, withdrawn_at=None), when)
            result = {"undone": undone, "batch": batch.pk}
            Job.objects.filter(pk=job.pk).update(result=result, done=undone, total=total, unit="items")
        if not some:
            return


def _chosen(project: Project, choice: Choice) -> Suggestions:
    """The open suggestions that a choice means, by row."""
    if choice.certificate is not None:
        return certificates.to_accept(project, choice.certificate)
    found = suggestions.of(project, choice.snapshot, label=choice.label)
    if choice.item_ids is not None:
        items = Item.objects.filter(project=project, pk__in=choice.item_ids).values_list("row", flat=True)
        return found[np.isin(found.rows, np.fromiter(items, dtype=np.int64))]
    if choice.threshold is None:
        raise BadField("threshold", _("Give a threshold between 0 and 1, or the items to accept."))
    return found.between(choice.threshold)


def _chunks(chosen: Suggestions) -> Iterator[Suggestions]:
    for start in range(0, len(chosen), CHUNK):
        yield chosen[start : start + CHUNK]


def _settle(batch: Batch, some: Suggestions) -> int | None:
    """Accept those of the suggestions whose items are still open; None if the batch was undone meanwhile.

    Call it in a transaction.
    """
    # The row's lock makes an undo wait for this chunk, and then take it back too.
    if lock(Batch.objects).filter(pk=batch.pk, undone_at=None).first() is None:
        return None
    suggested = dict(
        zip(some.rows.tolist(), zip(some.label_ids.tolist(), some.confidence.tolist(), strict=True), strict=True)
    )
    open_items = lock(Item.objects).filter(project=batch.project_id, row__in=list(suggested), status=Status.OPEN)
    ids = dict(open_items.order_by("pk").values_list("pk", "row"))
    refused = set(Mark.objects.filter(item__in=list(ids), code=Mark.Code.REJECT).values_list("item_id", "label_id"))
    accepted = [
        Acceptance(project_id=batch.project_id, batch=batch, item_id=item_id, label_id=label_id, confidence=confidence)
        for item_id, row in ids.items()
        for label_id, confidence in [suggested[row]]
        if (item_id, label_id) not in refused
    ]
    Acceptance.objects.bulk_create(accepted)
    item_ids = [acceptance.item_id for acceptance in accepted]
    standing.restate(batch.project_id, item_ids)
    Candidate.objects.filter(item__in=item_ids).delete()
    Batch.objects.filter(pk=batch.pk).update(count=F("count") + len(accepted))
    return len(accepted)


def _undo_all(project: Project, reviewer: User, batch: Batch, now: datetime) -> Job | None:
    if not Batch.objects.filter(pk=batch.pk, undone_at=None).update(undone_at=now, undone_by=reviewer):
        raise Conflict(_("This was undone already."))
    if _current(batch).count() > IN_REQUEST:
        return dispatch.start(project, Job.Kind.ACCEPT, {"batch": batch.pk, "undo": now.isoformat()}, by=reviewer)
    _withdraw(batch, _current(batch), now)
    return None


def _current(batch: Batch) -> QuerySet[Acceptance]:
    return Acceptance.objects.filter(batch=batch, withdrawn_at=None)


def _withdraw(batch: Batch, acceptances: QuerySet[Acceptance], now: datetime) -> int:
    """Withdraw these and say anew where their items stand; returns how many there were."""
    item_ids = list(lock(acceptances).values_list("item_id", flat=True))
    acceptances.update(withdrawn_at=now)
    standing.restate(batch.project_id, item_ids)
    return len(item_ids)


def _suggested(item: Item, snapshot: Snapshot) -> tuple[int, float]:
    """The label id and confidence that the snapshot gives the item."""
    found = suggestions.of_rows(snapshot, [item.row])
    if not len(found):
        raise Conflict(_("The model suggests nothing for this item yet."))
    return int(found.label_ids[0]), float(found.confidence[0])
