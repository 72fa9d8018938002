"""Auditing: who is asked, what counts, when it ends, and that no detour around a blind answer changes the claim."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db.models import F

from labeling import certificates, lessons, tasks
from labeling.errors import BadField, Conflict
from labeling.flow import answering, auditing, offering, queueing, reviewing
from labeling.models import (
    Acceptance,
    Answer,
    Ask,
    Audit,
    Candidate,
    Certificate,
    Gold,
    Item,
    Job,
    Label,
    Lease,
    Member,
    Project,
    Role,
    Status,
    User,
)
from metalearning import certificate as betting
from metalearning.certificate_record import recompute
from tests import factories, make

NOW = make.NOW
pytestmark = pytest.mark.django_db
ITEMS = 120
EPS = 0.2


@pytest.fixture
def project() -> Project:
    """120 items of which the model is 99 % sure of one half and less and less of the other."""
    made = factories.project(ITEMS)
    factories.snapshot(made, [0.99] * 60 + [0.98 - 0.005 * k for k in range(60)], [k % 3 for k in range(ITEMS)])
    return made


@pytest.fixture
def owner(project: Project) -> User:
    return make.user("owner")


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


@pytest.fixture
def ben(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "ben")


def fresh(project: Project) -> Project:
    return Project.objects.select_related("tally").get(pk=project.pk)


def start(project: Project, asker: User, **facts: object) -> Certificate:
    return auditing.start(project=project, asker=asker, **({"eps": EPS, "now": NOW} | facts))  # type: ignore[arg-type]


def suggested(item: Item) -> Label:
    return Label.objects.get(project=item.project_id, position=item.row % 3)


def label_all(
    project: Project, user: User, says: Callable[[Item], Label | None], rounds: int = 400, now: int = 1
) -> list[tuple[int, bool]]:
    """Let somebody label until nothing comes, or that often; returns (item id, whether it was asked blind)."""
    seen = []
    for step in range(rounds):
        at = NOW + timedelta(seconds=now + step)
        project = fresh(project)
        leases = queueing.claim(project=project, user=user, tab="t", count=1, now=at, chance=random.Random(step))
        if not leases:
            break
        item, blind = leases[0].item, leases[0].reason.get("code") == "blind"
        label = says(item)
        if label is None:
            answering.skip(project=project, item=item, author=user, now=at)
        else:
            answering.submit(project=project, item=item, author=user, label=label, now=at)
        seen.append((item.pk, blind))
        for certificate in Certificate.objects.filter(state="running"):
            auditing.advance(certificate, now=at)
        if not Certificate.objects.filter(state="running").exists():
            break
    return seen


def audit(project: Project, user: User, item: Item, label: Label, at: int = 1, since: datetime = NOW) -> Answer:
    """This person's blind answer to this item, whenever its turn would be."""
    Lease.objects.create(
        project=project, item=item, holder=user, reason={"code": "blind"}, created_at=since,
        expires_at=since + timedelta(hours=1),
    )  # fmt: skip
    given = answering.submit(project=project, item=item, author=user, label=label, now=since + timedelta(seconds=at))
    return given.answer


def settle(certificate: Certificate, user: User, says: Callable[[Item], Label] = suggested, most: int = 1000) -> int:
    """Answer what is asked for it, blind, without the queue, until it is decided; returns how many were answered."""
    done, since = 0, certificate.started_at
    while certificate.state == "running" and done < most:
        waiting = Ask.objects.filter(project=certificate.project_id).order_by("pk").select_related("item").first()
        if waiting is None:
            break
        done += 1
        audit(certificate.project, user, waiting.item, says(waiting.item), at=done, since=since)
        certificate = auditing.advance(certificate, now=since + timedelta(seconds=done + 1))
    return done


# Proposing


def test_a_proposal_says_what_it_takes_and_stores_nothing(project: Project, owner: User, anna: User) -> None:
    told = auditing.propose(project=project, asker=owner, eps=EPS)
    assert told.reason == ""
    assert told.candidates == told.prefixes[-1]
    assert told.prefixes == tuple(int(told.candidates * share) for share in (0.5, 0.75, 1))
    assert 0 < told.at_best <= told.likely <= told.budget
    assert told.chance > 0.5
    assert 0.004 < told.expected_wrong < 0.02
    assert (told.auditors, told.self_audited, told.attempt) == (1, False, 1)
    assert told.level == pytest.approx(0.04)
    assert not Certificate.objects.exists()


def test_says_why_it_cannot_be_certified_yet(project: Project, owner: User, anna: User) -> None:
    few = auditing.propose(project=project, asker=owner, eps=EPS, budget=5)
    assert "audits would be needed" in few.reason
    hopeless = factories.project(120, name="Hopeless")
    assert "suggests nothing" in auditing.propose(project=hopeless, asker=owner, eps=EPS).reason
    factories.snapshot(hopeless, [0.5] * 120)
    told = auditing.propose(project=hopeless, asker=owner, eps=EPS)
    assert told.chance < 0.1
    assert "50.0% of even its" in told.reason
    with pytest.raises(Conflict, match="cannot be certified yet"):
        start(hopeless, owner)
    assert not Certificate.objects.exists()


def test_few_items_are_labelled_rather_than_certified(owner: User, anna: User) -> None:
    small = factories.project(20, name="Small")
    factories.snapshot(small, [0.95] * 20)
    assert "label them instead" in auditing.propose(project=small, asker=owner, eps=0.05).reason


@pytest.mark.parametrize("bad", [{"eps": 0.0}, {"eps": 0.9}, {"delta": 0.0}, {"budget": 0}, {"second_share": 2.0}])
def test_numbers_out_of_range_are_refused(project: Project, owner: User, bad: dict[str, float]) -> None:
    with pytest.raises(BadField):
        start(project, owner, **bad)


def test_only_one_claim_runs_at_a_time(project: Project, owner: User, anna: User) -> None:
    start(project, owner)
    with pytest.raises(Conflict, match="being audited"):
        start(project, owner)


# Asking


def test_audits_are_mixed_in_unmarked_and_asked_of_others_only(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    audited = set(certificate.audits.values_list("item_id", flat=True))
    assert Ask.objects.count() == len(audited) > 10
    mine = {item for item, _blind in label_all(project, owner, suggested, rounds=60)}
    assert not mine & audited
    seen = label_all(project, anna, suggested, rounds=40, now=100)
    blind = {item for item, is_blind in seen if is_blind}
    asked = {item for item, _ in seen} & audited
    assert asked
    assert asked <= blind
    # As many others are asked without a suggestion, so that this tells nothing.
    assert len(blind - audited) >= 3
    reasons = set(Answer.objects.filter(item__in=blind, author=anna).values_list("reason", "suggested"))
    assert reasons == {("blind", None)}


def test_everybody_is_asked_what_is_left_when_nothing_else_is(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    audited = set(certificate.audits.values_list("item_id", flat=True))
    others = Item.objects.filter(project=project).exclude(pk__in=audited)
    for item in others:
        factories.answer(item, owner, suggested(item))
    seen = {item for item, _blind in label_all(project, anna, suggested, rounds=1)}
    assert seen <= audited
    assert label_all(project, owner, suggested, rounds=5) == []


def test_a_lease_that_runs_out_comes_back_as_an_audit_and_not_as_a_question(
    project: Project, owner: User, anna: User
) -> None:
    certificate = start(project, owner)
    item = certificate.audits.first().item  # type: ignore[union-attr]
    lease = Lease.objects.create(
        project=project, item=item, holder=anna, reason={"code": "blind"}, created_at=NOW, expires_at=NOW
    )
    queueing.sweep(now=NOW + timedelta(hours=1))
    assert not Lease.objects.filter(pk=lease.pk).exists()
    assert not Candidate.objects.filter(item=item).exists()
    assert Ask.objects.filter(item=item).exists()


def test_the_queue_leaves_audits_out(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    snapshot = project.snapshots.get()
    rows = list(Item.objects.filter(project=project).order_by("row").values_list("row", flat=True))
    asked = [{"row": row, "code": "margin", "labels": [], "p": [], "top": []} for row in rows]
    queueing.refill(project=project, snapshot=snapshot, asked=asked)
    audited = certificate.audits.values("item")
    assert not Candidate.objects.filter(item__in=audited).exists()
    assert Candidate.objects.count() == ITEMS - certificate.audits.count()


# Outcomes


def test_clean_audits_pass_and_accept_the_set_in_one_step_that_can_be_undone(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner)
    settle(certificate, anna)
    certificate.refresh_from_db()
    assert certificate.state == Certificate.State.PASSED
    assert certificate.accepted == certificate.items
    assert not Ask.objects.exists()
    assert fresh(project).blind_share == 0
    told = certificates.describe(certificate)
    assert told["audits"]["wrong"] == 0
    assert {audit["outcome"] for audit in certificates.describe_audits(certificate)} == {"right"}

    choice = reviewing.Choice(certificate.snapshot, certificate=certificate)  # type: ignore[arg-type]
    batch, job = reviewing.accept(project=fresh(project), reviewer=owner, choice=choice, now=NOW)
    assert job is None
    inside = set(certificates.frozen(certificate).item_ids.tolist())
    accepted = set(Acceptance.objects.filter(withdrawn_at=None).values_list("item_id", flat=True))
    answered = set(Answer.objects.values_list("item_id", flat=True))
    assert accepted == inside - answered
    assert certificates.marks_of_batches(project) == {1: certificate}
    reviewing.undo(project=project, reviewer=owner, batch=batch, now=NOW)
    assert not Acceptance.objects.filter(withdrawn_at=None).exists()
    assert certificates.marks_of_batches(project) == {}
    assert recompute(certificates.record(certificate)).evidence.accepted == certificate.items


def test_wrong_suggestions_fail_and_nothing_is_accepted(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    other = factories.label(project, 0)
    settle(certificate, anna, lambda item: other)
    certificate.refresh_from_db()
    assert (certificate.state, certificate.accepted) == (Certificate.State.FAILED, 0)
    with pytest.raises(Conflict, match="has not passed"):
        reviewing.accept(
            project=project, reviewer=owner, now=NOW,
            choice=reviewing.Choice(certificate.snapshot, certificate=certificate),  # type: ignore[arg-type]
        )  # fmt: skip
    assert recompute(certificates.record(certificate)).labels == {}
    # It has spent its part of delta: the next attempt has less.
    again = auditing.propose(project=fresh(project), asker=owner, eps=EPS)
    assert (again.attempt, again.level) == (2, pytest.approx(0.005))


def test_the_state_is_live_and_says_how_many_clean_audits_are_missing(
    project: Project, owner: User, anna: User
) -> None:
    certificate = start(project, owner)
    before = certificates.describe(certificate)
    settle(certificate, anna, most=4)
    after = certificates.describe(Certificate.objects.get())
    done = after["audits"]["answered"]
    assert after["state"] == "running"
    assert done == 4
    assert after["clean_to_next"] == before["clean_to_next"] - done
    assert after["tests"][0]["evidence"] > 1
    assert certificates.describe_audits(certificate) == []  # which ones they are stays unmarked


def test_what_is_tested_is_not_learned_from_before_it_is_decided(project: Project, owner: User, anna: User) -> None:
    for item in Item.objects.filter(project=project, row__lt=20):
        factories.answer(item, anna, suggested(item))
    known = set(Answer.objects.values_list("item__row", flat=True))
    certificate = start(project, owner)
    label_all(project, anna, suggested, rounds=20)
    labels = list(project.labels.all())
    audited = set(certificate.audits.values_list("item__row", flat=True))
    answered = set(Answer.objects.values_list("item__row", flat=True))
    learned, _columns = lessons.answers(project, labels, ITEMS)
    # Nor from what may yet be drawn: it is asked blind as well, and counts when its turn comes.
    assert set(learned.tolist()) == known
    assert answered & audited
    assert answered - audited - known
    auditing.stop(certificate=certificate, now=NOW)
    learned, _columns = lessons.answers(project, labels, ITEMS)
    assert set(learned.tolist()) == answered
    assert Job.objects.filter(kind=Job.Kind.ADAPT, state=Job.State.QUEUED).exists()


def test_stopping_keeps_what_passed_and_gives_up_what_did_not(project: Project, owner: User, anna: User) -> None:
    certificate = auditing.stop(certificate=start(project, owner), now=NOW)
    assert (certificate.state, certificate.accepted) == (Certificate.State.GIVEN_UP, 0)
    # Nobody had answered: nothing was looked at, so nothing is spent.
    assert auditing.propose(project=project, asker=owner, eps=EPS).attempt == 1
    with pytest.raises(Conflict, match="ended"):
        auditing.stop(certificate=certificate, now=NOW)

    second = start(fresh(project), owner)
    while not certificates.describe(second)["accepted"]:
        settle(second, anna, most=1)
    assert second.state == "running"
    stopped = auditing.stop(certificate=second, now=NOW)
    assert (stopped.state, stopped.accepted) == (Certificate.State.PASSED, second.prefixes[0])
    assert recompute(certificates.record(stopped)).evidence.accepted == second.prefixes[0]
    assert auditing.propose(project=fresh(project), asker=owner, eps=EPS).attempt == 2


# Detours


def first(certificate: Certificate) -> Item:
    return certificate.audits.order_by("place").first().item  # type: ignore[union-attr]


def outcomes(certificate: Certificate) -> dict[int, bool]:
    found = certificates.said(certificate)
    return {int(key): bad for key, bad in certificates.wrong(certificate, found).items()}


def test_an_answer_given_with_a_suggestion_or_by_who_asked_is_no_audit(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner)
    item = first(certificate)
    factories.answer(item, anna, suggested(item), at=NOW + timedelta(seconds=1), reason="margin")
    audit(project, owner, item, suggested(item))
    assert outcomes(certificate) == {}
    auditing.advance(certificate, now=NOW)
    assert Ask.objects.filter(item=item).exists()  # it is still asked, of somebody who has not seen it
    assert item.pk not in {found for found, _blind in label_all(project, anna, suggested, rounds=30)}
    audit(project, ben, item, factories.label(project, (item.row + 1) % 3))
    assert outcomes(certificate)[item.pk] is True


def test_an_answer_taken_back_by_its_author_does_not_count_and_one_corrected_by_another_does(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner)
    item = first(certificate)
    wrong = factories.label(project, (item.row + 1) % 3)
    audit(project, anna, item, wrong)
    assert outcomes(certificate) == {item.pk: True}
    answering.undo(project=project, author=anna, now=NOW + timedelta(seconds=2))
    assert outcomes(certificate) == {}
    # Held again it is still blind, and the answer counts again.
    lease = queueing.hold(item=item, user=anna, tab="t", now=NOW + timedelta(seconds=3))
    assert lease.reason == {"code": "blind"}
    answering.submit(project=project, item=item, author=anna, label=wrong, now=NOW + timedelta(seconds=4))
    assert outcomes(certificate) == {item.pk: True}
    # A reviewer who knows the suggestion corrects the label, not the audit.
    answering.correct(project=project, item=item, reviewer=ben, label=suggested(item), now=NOW + timedelta(seconds=5))
    assert outcomes(certificate) == {item.pk: True}


def test_one_annotator_loses_nothing_of_what_is_tested(project: Project, owner: User, anna: User) -> None:
    """Whatever is asked first, and for whatever: the claim's figures are those of the audits in their order alone."""

    def says(item: Item) -> Label:
        return factories.label(project, (item.row + (item.row % 17 == 5)) % 3)  # one suggestion in 17 is wrong

    certificate = start(project, owner, budget=110)
    inside = set(certificates.frozen(certificate).item_ids.tolist())
    seen = label_all(project, anna, says)
    certificate.refresh_from_db()
    told = certificates.describe(certificate)
    assert told["audits"]["unanswered"] == 0
    assert all(blind for item, blind in seen if item in inside)
    asked_early = {item for item, _ in seen} - set(Ask.objects.values_list("item_id", flat=True))
    assert len(asked_early) > told["audits"]["answered"]  # some of the set was answered that was never drawn

    plan, known = certificates.plan(certificate), {}
    truth = {str(item.pk): says(item) != suggested(item) for item in Item.objects.filter(project=project)}
    while wanted := betting.next_audits(plan, known, 1):
        known[wanted[0]] = truth[wanted[0]]
    expected = betting.judge(plan, known, certificate.budget)
    assert (certificate.state, certificate.accepted) == ("passed", expected.accepted)
    assert [(one["audits"], one["wrong"]) for one in told["tests"]] == [(t.draws, t.errors) for t in expected.tests]
    assert recompute(certificates.record(certificate)).evidence.tests == expected.tests


def test_what_was_answered_before_it_is_drawn_counts_at_once(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    for place, item_id in enumerate(certificates.frozen(certificate).item_ids.tolist()):
        item = Item.objects.get(pk=item_id)
        audit(project, anna, item, suggested(item), at=place)
    # Nobody is asked anything more, so nothing would bring it up to date again.
    auditing.advance(certificate, now=NOW + timedelta(hours=1))
    certificate.refresh_from_db()
    assert (certificate.state, certificate.accepted) == ("passed", certificate.items)


def test_what_the_only_annotator_has_skipped_is_no_candidate(project: Project, owner: User, anna: User) -> None:
    skipped, undone = Item.objects.filter(project=project, row__lt=2).order_by("row")
    answering.skip(project=project, item=skipped, author=anna, now=NOW)
    answering.submit(project=project, item=undone, author=anna, label=suggested(undone), now=NOW)
    answering.undo(project=project, author=anna, now=NOW)
    assert not {skipped.pk, undone.pk} & set(certificates.frozen(start(project, owner)).item_ids.tolist())


def test_what_one_of_two_has_skipped_stays_a_candidate(project: Project, owner: User, anna: User, ben: User) -> None:
    item = Item.objects.get(project=project, row=0)
    answering.skip(project=project, item=item, author=anna, now=NOW)
    assert item.pk in certificates.frozen(start(project, owner)).item_ids.tolist()


def test_a_skip_taken_back_and_an_answer_after_a_long_break_are_blind(
    project: Project, owner: User, anna: User
) -> None:
    certificate = start(project, owner)
    not_drawn = Item.objects.filter(project=project).exclude(audits__isnull=False).order_by("row")
    returned, late = (item for item in not_drawn[:2])
    answering.skip(project=project, item=returned, author=anna, now=NOW)
    answering.undo(project=project, author=anna, now=NOW)
    assert queueing.hold(item=returned, user=anna, tab="t", now=NOW).reason == {"code": "blind"}
    answering.submit(project=fresh(project), item=late, author=anna, label=suggested(late), now=NOW)
    assert Answer.objects.get(item=late).reason == "blind"  # its lease had run out
    drawn = first(certificate)
    queueing.hold(item=drawn, user=anna, tab="t", now=NOW)
    queueing.sweep(now=NOW + timedelta(hours=1))
    answering.submit(project=fresh(project), item=drawn, author=anna, label=suggested(drawn), now=NOW)
    assert outcomes(certificate) == {drawn.pk: False}


def test_a_reviewer_who_corrects_with_the_suggestion_before_them_does_not_audit(project: Project, owner: User) -> None:
    rita = make.member(project, Role.REVIEWER, "rita")
    certificate = start(project, owner)
    item = first(certificate)
    answering.correct(project=fresh(project), item=item, reviewer=rita, label=suggested(item), now=NOW)
    auditing.advance(certificate, now=NOW)
    assert certificates.describe(certificate)["audits"]["unanswered"] == 1


def test_the_queue_leaves_out_what_is_tested_while_there_is_anything_else(
    project: Project, owner: User, anna: User
) -> None:
    factories.snapshot(project, [0.99] * 70 + [0.05] * 50, [k % 3 for k in range(ITEMS)], number=2)
    certificate = start(project, owner, eps=0.1)
    inside = set(certificates.frozen(certificate).rows.tolist())
    assert 60 < len(inside) < ITEMS
    snapshot = project.snapshots.latest("number")

    def queued(rows: range) -> set[int]:
        asked = [{"row": row, "code": "margin", "labels": [], "p": [], "top": []} for row in rows]
        queueing.refill(project=project, snapshot=snapshot, asked=asked)
        return set(Candidate.objects.values_list("item__row", flat=True))

    assert queued(range(ITEMS)) == set(range(ITEMS)) - inside
    drawn = set(certificate.audits.values_list("item__row", flat=True))
    assert queued(range(40)) == set(range(40)) - drawn  # else it is asked all the same


def test_a_slip_put_right_by_its_author_counts_as_put_right(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    item = first(certificate)
    audit(project, anna, item, factories.label(project, (item.row + 1) % 3))
    answering.submit(project=project, item=item, author=anna, label=suggested(item), now=NOW + timedelta(seconds=9))
    assert outcomes(certificate) == {item.pk: False}


def test_a_skipped_audit_goes_to_somebody_else_and_counts_as_wrong_when_nobody_is_left(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner)
    item = first(certificate)
    answering.skip(project=project, item=item, author=anna, now=NOW)
    auditing.advance(certificate, now=NOW)
    assert outcomes(certificate) == {}
    assert item.pk not in {found for found, _blind in label_all(project, anna, suggested, rounds=30)}
    answering.skip(project=project, item=item, author=ben, now=NOW)
    assert outcomes(certificate)[item.pk] is True
    assert certificates.describe(certificate)["audits"]["unanswered"] == 1
    make.member(project, Role.ANNOTATOR, "carl")
    assert item.pk not in outcomes(certificate)  # somebody is there again who may say


def test_whoever_accepts_or_refuses_the_suggestion_meanwhile_does_not_audit_it(
    project: Project, owner: User, ben: User
) -> None:
    certificate = start(project, owner)
    rita = make.member(project, Role.REVIEWER, "rita")
    one, other = (audit.item for audit in certificate.audits.order_by("place")[:2])
    choice = reviewing.Choice(certificate.snapshot, item_ids=[one.pk])  # type: ignore[arg-type]
    reviewing.accept(project=fresh(project), reviewer=rita, choice=choice, now=NOW)
    reviewing.reject(project=project, reviewer=rita, item=other, snapshot=certificate.snapshot, now=NOW)  # type: ignore[arg-type]
    for item in (one, other):
        audit(project, rita, item, suggested(item))
    assert outcomes(certificate) == {}
    for item in (one, other):
        audit(project, ben, item, suggested(item))
    assert outcomes(certificate) == {one.pk: False, other.pk: False}


def test_an_accepted_item_under_audit_is_still_asked(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    choice = reviewing.Choice(certificate.snapshot, threshold=0.0)  # type: ignore[arg-type]
    reviewing.accept(project=fresh(project), reviewer=owner, choice=choice, now=NOW)
    assert fresh(project).tally.open == 0
    label_all(project, anna, suggested)  # through the queue, which has nothing else left
    certificate.refresh_from_db()
    assert certificate.state == Certificate.State.PASSED
    # The auditors' answers stand above what was accepted.
    assert Item.objects.filter(project=project, status=Status.ANSWERED).count() == certificate.audits.count()


def test_a_lone_member_audits_blind_and_the_record_says_so(project: Project, owner: User) -> None:
    told = auditing.propose(project=project, asker=owner, eps=EPS)
    assert (told.auditors, told.self_audited) == (1, True)
    certificate = start(project, owner)
    seen = label_all(project, owner, suggested)
    certificate.refresh_from_db()
    assert certificate.state == Certificate.State.PASSED
    asked = dict(seen)
    assert all(asked[item] for item in certificate.audits.values_list("item_id", flat=True))
    assert certificates.record(certificate)["auditor_is_who_asked"] is True


def test_an_archived_label_makes_its_audits_wrong_and_leaves_its_items_open(
    project: Project, owner: User, anna: User
) -> None:
    certificate = start(project, owner, eps=0.5)
    gone = suggested(certificate.audits.select_related("item")[0].item)
    offering.change(label=gone, values={"archived": True}, now=NOW)
    left = factories.label(project, (gone.position + 1) % 3)
    settle(certificate, anna, lambda item: left if item.row % 3 == gone.position else suggested(item))
    certificate.refresh_from_db()
    assert certificates.describe(certificate)["audits"]["wrong"] > 0
    if certificate.state == Certificate.State.PASSED:
        found = certificates.to_accept(fresh(project), certificate)
        assert gone.pk not in set(found.label_ids.tolist())


def test_when_all_who_may_audit_have_left_the_page_says_so(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    Member.objects.filter(user=anna).delete()
    assert "Nobody is left" in certificates.describe(certificate)["problem"]
    assert outcomes(certificate) == {}


def test_what_somebody_looks_at_with_its_suggestion_is_no_candidate(project: Project, owner: User, anna: User) -> None:
    sure = Item.objects.get(project=project, row=0)
    Lease.objects.create(project=project, item=sure, holder=anna, created_at=NOW, expires_at=NOW)
    certificate = start(project, owner)
    assert sure.pk not in certificates.frozen(certificate).item_ids.tolist()


def test_some_audits_are_answered_twice_and_the_auditors_error_is_estimated(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner, second_share=1.0)
    doubled = list(certificate.audits.order_by("place")[:6])
    assert all(audit.wants_second for audit in doubled)
    for place, one in enumerate(doubled):
        audit(project, anna, one.item, suggested(one.item), at=place + 1)
    auditing.advance(certificate, now=NOW + timedelta(seconds=20))
    assert Ask.objects.filter(item__in=[one.item_id for one in doubled]).count() == 6  # asked again, of ben
    for place, one in enumerate(doubled):
        label = suggested(one.item) if place else factories.label(project, (one.item.row + 1) % 3)
        audit(project, ben, one.item, label, at=place + 30)
    auditing.advance(certificate, now=NOW + timedelta(seconds=60))
    assert not Ask.objects.filter(item__in=[one.item_id for one in doubled]).exists()
    told = certificates.describe(certificate)
    assert (told["audits"]["doubles"], told["audits"]["disagreements"]) == (6, 1)
    assert told["audits"]["wrong"] == 0  # the first answer decides
    error = told["auditors_error"]
    assert error["low"] < error["estimate"] < error["high"]
    assert error["estimate"] == pytest.approx(1 - (1 - 1 / 6) ** 0.5, abs=1e-4)


def test_one_share_of_audits_is_doubled_and_none_where_one_person_audits(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    certificate = start(project, owner, second_share=0.5)
    assert 0 < certificate.audits.filter(wants_second=True).count() < certificate.audits.count()
    auditing.stop(certificate=certificate, now=NOW)
    Member.objects.filter(user=ben).delete()
    assert not start(fresh(project), owner, second_share=1.0).audits.filter(wants_second=True).exists()


def test_the_adaptation_job_decides_before_it_learns(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    for one in list(certificate.audits.all()):
        audit(project, anna, one.item, suggested(one.item))
    job = Job.objects.filter(kind=Job.Kind.ADAPT, state=Job.State.QUEUED).get()
    for _ in range(4):
        tasks.run(job.pk)
        for one in Audit.objects.filter(certificate=certificate, outcome="").select_related("item"):
            if one.item_id not in outcomes(certificate):
                audit(project, anna, one.item, suggested(one.item))
        job = Job.objects.filter(kind=Job.Kind.ADAPT, state=Job.State.QUEUED).first() or job
    certificate.refresh_from_db()
    assert certificate.state == Certificate.State.PASSED


def test_the_record_stays_as_it_was_decided(project: Project, owner: User, anna: User) -> None:
    certificate = start(project, owner)
    settle(certificate, anna)
    certificate.refresh_from_db()
    before = certificates.record(certificate)
    Answer.objects.filter(author=anna).update(withdrawn_at=NOW, withdrawn_by=F("author"))
    assert certificates.record(certificate) == before
    assert recompute(before).evidence.state == "passed"


def test_what_gold_says_of_the_auditors_is_written_down_when_it_is_decided(
    project: Project, owner: User, anna: User
) -> None:
    certificate = start(project, owner)
    items = list(Item.objects.filter(project=project).exclude(audits__isnull=False).order_by("-row")[:12])
    for place, item in enumerate(items):
        right = suggested(item)
        Gold.objects.create(project=project, item=item, label=right, source="hand", set_by=owner, created_at=NOW)
        said = right if place else factories.label(project, (item.row + 1) % 3)
        factories.answer(item, anna, said, purpose="gold")
    assert "not known" in certificates.describe(certificate)["human_error"]["words"]  # she has audited nothing yet
    settle(certificate, anna)
    certificate.refresh_from_db()
    told = certificates.describe(certificate)["human_error"]
    assert (told["people"], told["gold"], told["gold_wrong"], told["from"]) == (1, 12, 1, "gold")
    assert told["most_wrong"] == pytest.approx(EPS + told["error"]["high"], abs=1e-3)
    assert "12 gold items" in told["words"]
    before = certificates.record(certificate)
    assert before["human_error"]["statement"] == told["words"]
    Gold.objects.all().delete()
    assert certificates.record(certificate) == before
    human = recompute(before).human
    assert human is not None
    assert human.confidence == pytest.approx(0.925)


# Samples


def test_a_sample_of_what_was_accepted_measures_it(project: Project, owner: User, anna: User) -> None:
    choice = reviewing.Choice(project.snapshots.get(), threshold=0.9)
    reviewing.accept(project=fresh(project), reviewer=owner, choice=choice, now=NOW)
    sample = auditing.start_sample(project=fresh(project), asker=owner, audits=30, accepted_only=True, now=NOW)
    assert sample.audits.count() == 30
    assert set(sample.audits.values_list("item__status", flat=True)) == {Status.ACCEPTED}
    drawn = list(sample.audits.values_list("item_id", flat=True))
    other = factories.label(project, 0)
    settle(sample, anna, lambda item: other if item.pk in drawn[:4] else suggested(item))
    sample.refresh_from_db()
    assert sample.state == Certificate.State.MEASURED
    told = certificates.measured(sample)
    missed = sum(Item.objects.get(pk=pk).row % 3 != 0 for pk in drawn[:4])
    assert told["strata"]["accepted"]["wrong"] == missed
    assert told["right"]["estimate"] == pytest.approx(1 - missed / 30, abs=1e-4)
    assert told["right"]["low"] < told["right"]["estimate"] < 1


def test_a_sample_of_everything_weighs_each_origin_by_its_size(
    project: Project, owner: User, anna: User, ben: User
) -> None:
    for item in Item.objects.filter(project=project, row__gte=100):
        factories.answer(item, anna, suggested(item))
    sample = auditing.start_sample(project=fresh(project), asker=owner, audits=60, accepted_only=False, now=NOW)
    assert sample.strata == [["answered", 20], ["open", 100]]
    assert sample.audits.filter(stratum="answered").count() == 10
    for one in sample.audits.select_related("item"):
        audit(project, ben, one.item, suggested(one.item))
    auditing.advance(sample, now=NOW)
    sample.refresh_from_db()
    told = certificates.measured(sample)
    assert told["right"]["estimate"] == 1
    assert told["right"]["low"] > 0.8
    assert {name: one["size"] for name, one in told["strata"].items()} == {"answered": 20, "open": 100}


def test_a_sample_that_is_stopped_says_nothing(project: Project, owner: User, anna: User) -> None:
    sample = auditing.start_sample(project=project, asker=owner, audits=30, accepted_only=False, now=NOW)
    auditing.stop(certificate=sample, now=NOW)
    assert certificates.describe(sample)["right"] is None
    assert not Ask.objects.exists()
    with pytest.raises(Conflict, match="no such labels"):
        auditing.start_sample(project=project, asker=owner, audits=30, accepted_only=True, now=NOW)
    with pytest.raises(BadField):
        auditing.start_sample(project=project, asker=owner, audits=1, accepted_only=True, now=NOW)


def test_a_claim_and_a_sample_can_run_side_by_side(project: Project, owner: User, anna: User) -> None:
    sample = auditing.start_sample(project=project, asker=owner, audits=20, accepted_only=False, now=NOW)
    certificate = start(project, owner)
    assert not set(sample.audits.values_list("item_id", flat=True)) & set(
        certificate.audits.values_list("item_id", flat=True)
    )
    auditing.stop(certificate=certificate, now=NOW)
    assert fresh(project).blind_share > 0
    assert Ask.objects.count() == 20
