"""Review page: the model's suggestions by confidence, accepted above a threshold or one by one."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from labeling import certificates, reviewed, suggestions
from labeling.models import Certificate, Member, Project, Role, Snapshot
from labeling.pages.gate import context, members
from labeling.suggestions import Order, State

CERTIFICATES = 20  # newest ones listed


@members(Role.REVIEWER)
@require_safe
def review(request: HttpRequest, member: Member) -> HttpResponse:
    """The page; its script fetches the suggestions themselves."""
    project = member.project
    snapshot = suggestions.latest(project)
    data = _data(member, snapshot)
    shown = context(
        member,
        snapshot=snapshot,
        labels=project.labels.filter(archived_at=None),
        states=State.choices,
        orders=Order.choices,
        data=data,
        certifying=any(_waits(one) for one in data["certificates"]) or "measure" in request.GET,
        measuring="measure" in request.GET,
        strings=_strings(),
        keys=_keys(images=member.project.modality == "image"),
    )
    return render(request, "review.html", shown)


def _waits(certificate: dict[str, Any]) -> bool:
    """Whether something is to be seen to: audits are under way, or what passed has not been accepted."""
    passed = certificate["state"] == Certificate.State.PASSED and not certificate["batch"]
    return certificate["state"] == Certificate.State.RUNNING or passed


def _data(member: Member, snapshot: Snapshot | None) -> dict[str, Any]:
    project = member.project
    return {
        "project": project.pk,
        "api": f"/api/projects/{project.pk}",
        "events": reverse("events", args=[project.pk]),
        "snapshot": snapshot.number if snapshot else None,
        "image": project.modality == Project.Modality.IMAGE,
        "me": member.user_id,
        "may_stop": Role(member.role).reaches(Role.ADMIN),
        "labels": [
            {"id": label.pk, "name": label.name, "description": label.description, "archived": bool(label.archived_at)}
            for label in project.labels.all()
        ],
        "batches": reviewed.describe_batches(project),
        "certificates": [certificates.describe(one) for one in certificates.of(project)[:CERTIFICATES]],
    }


def _keys(*, images: bool) -> list[tuple[str, str]]:
    return [
        ("J ↓", _("next suggestion")),
        ("K ↑", _("previous suggestion")),
        ("A", _("accept")),
        ("⇧ A", _("accept all that are still open down to the selected one")),
        ("E", _("change the label")),
        ("X", _("reject: a person is asked")),
        ("U", _("undo")),
        ("H", _("history")),
        ("O", _("use as a gold item, with the label it has")),
        ("Home End", _("first, last loaded")),
        *([("V", _("tiles or rows"))] if images else []),
    ]


def _strings() -> dict[str, str]:
    """Every string of the script, in the reader's language."""
    return {
        "Accept": _("Accept"),
        "Change": _("Change"),
        "Reject": _("Reject"),
        "Undo": _("Undo"),
        "History": _("History"),
        "Accept %(count)s": _("Accept %(count)s"),
        "items settled": _("items"),
        "one item settled": _("item"),
        "nothing settled": _("No suggestion is that sure. Lower the threshold to settle items."),
        "expected": _("The model expects about %(count)s of them to be wrong (%(share)s)."),
        "expected none": _("The model expects none of them to be wrong."),
        "accept passed": _("Accept the %(count)s down to here"),
        "cannot accept": _("Nothing is open down to here."),
        "accepted": _("Accepted %(count)s suggestions."),
        "accepting": _("Accepting %(count)s suggestions…"),
        "taken back": _("Taken back: %(count)s items are open again."),
        "taking back": _("Taking %(count)s back…"),
        "accepted by": _("accepted by %(who)s, %(when)s"),
        "answered by": _("answered by %(who)s, %(when)s"),
        "imported": _("came with the file"),
        "rejected": _("rejected; a person is asked"),
        "you": _("you"),
        "saving": _("saving…"),
        "new model": _("Model %(number)s is ready. You are looking at model %(shown)s."),
        "nothing left": _("Nothing is left to review here."),
        "nothing matches": _("No suggestion matches these filters."),
        "shown of": _("%(shown)s of %(count)s"),
        "could not load": _("The suggestions could not be loaded."),
        "try again": _("Try again"),
        "away": _("The server cannot be reached. Nothing was changed."),
        "threshold": _("%(count)s suggestions from %(threshold)s on"),
        "batch threshold": _("from %(threshold)s on"),
        "batch chosen": _("chosen one by one"),
        "batch undone": _("taken back by %(who)s"),
        "batch running": _("%(done)s of %(total)s"),
        "batch failed": _("stopped: %(error)s"),
        "stop": _("Stop"),
        "stopped": _("stopped"),
        "model": _("model %(number)s"),
        "no history": _("Nobody has said anything of this item yet."),
        "answer": _("%(who)s answered %(label)s"),
        "answer imported": _("%(label)s came with the file"),
        "withdrawn": _("%(who)s took back %(label)s"),
        "event accepted": _("%(who)s accepted %(label)s (%(confidence)s, model %(snapshot)s)"),
        "acceptance_withdrawn": _("the acceptance of %(label)s was taken back"),
        "skip": _("%(who)s skipped it"),
        "flag": _("%(who)s flagged it: %(note)s"),
        "reject": _("%(who)s rejected %(label)s"),
        "no label matches": _("No label matches."),
        "rule": _("rule: %(says)s"),
        "rule against": _("rule: %(says)s → %(label)s"),
        "gold needs a label": _("Decide first: a gold item’s label must be known."),
        "gold made": _("It is a gold item now: whoever is asked it is scored by “%(label)s”."),
        "pending": _("Wait until the last change is saved."),
        "cannot undo": _("There is nothing to take back here."),
        "image": _("Image %(name)s"),
        "otherwise": _("the model: %(label)s %(confidence)s"),
        "bins": _("%(low)s to %(high)s: %(count)s"),
        "certificate": _("Certificate %(number)s"),
        "sample": _("Audit sample %(number)s"),
        "thinking": _("Working it out"),
        "not yet": _("Cannot be certified yet."),
        "candidates": _("Suggestions to certify"),
        "at best": _("Audits at best"),
        "allowed": _("Audits allowed"),
        "likely": _("Audits, likely"),
        "chance": _("Chance that some are certified"),
        "expected items": _("Certified items, expected"),
        "expected wrong": _("Wrong in the surest half, as the model sees it"),
        "auditors": _("People who may audit"),
        "attempt": _("Attempt"),
        "forecast": _("A forecast from the model's own confidences; the audits decide."),
        "alone": _("You are the only one here, so you audit yourself, blind. The certificate will say so."),
        "started": _("Started. The audits are among everybody's next questions."),
        "audited": _("%(count)s audits, %(wrong)s wrong."),
        "waiting": _("%(count)s waiting"),
        "clean": _("At least %(count)s more audits without an error to the next step, %(all)s to the whole set."),
        "test open": _("%(size)s surest: evidence %(evidence)s of %(needed)s after %(count)s audits, %(wrong)s wrong"),
        "test passed": _("%(size)s surest: passed with %(count)s audits, %(wrong)s wrong"),
        "test failed": _("%(size)s surest: failed with %(count)s audits, %(wrong)s wrong"),
        "right": _("%(share)s right (%(low)s to %(high)s)."),
        "stop audits": _("Stop"),
        "accept certified": _("Accept %(count)s certified"),
        "selected": _("%(position)s: %(text)s. Suggested: %(label)s, %(confidence)s."),
    }


urlpatterns = [path("projects/<int:project_id>/review", review, name="review")]
