"""Auditing: frozen suggestions are labelled blind by people until a claim about them holds, or cannot be made."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling import asking, auditors, candidates, certificates, dispatch, live, outlook, pool, suggestions
from labeling.auditors import Said
from labeling.candidates import Frozen
from labeling.errors import BadField, Conflict
from labeling.locking import lock
from labeling.models import Ask, Audit, Certificate, Job, Member, Project, Snapshot, Status, User
from metalearning import certificate as betting
from metalearning import learning_curve
from metalearning.certificate_record import items_hash

AUDIT = "audit"  # the purpose of our questions
MIXED_IN = 0.25  # of all questions, while audits wait
BUDGET = 200  # audits at most, unless chosen otherwise
MOST = 5_000
LEAST_SAMPLE = 10
HOPELESS = 0.1  # with a smaller chance of success nobody's time is spent
DOUBLED = 0.2  # of the audits, answered by two people where there are two
FORECASTS = 100
SHRUNK = (0.8, 0.6, 0.45, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)  # parts of today's errors that are tried
FEW_IMAGINED, RUNS = 5_000, 20  # items and audits' runs by which they are tried
THINNED = 20_000  # of more candidates, as many evenly spread stand for all in a forecast
State, Kind = Certificate.State, Certificate.Kind


@dataclass(frozen=True)
class Proposal:
    """What a claim would need. `likely`, `chance` and `expected` come from simulating the model's own confidences."""

    eps: float
    delta: float
    budget: int
    attempt: int
    level: float  # what this attempt spends of delta
    snapshot: int | None
    auditors: int  # people who may audit
    self_audited: bool  # whoever asks is the only one there
    candidates: int = 0
    prefixes: tuple[int, ...] = ()
    at_best: int = 0  # audits if none finds an error
    likely: int = 0  # median audits until it is decided
    chance: float = 0.0  # of certifying anything within the budget, in [0, 1]
    expected: int = 0  # items certified, on average
    expected_wrong: float = 1.0  # share of the smallest prefix that the model itself expects to be wrong
    reason: str = ""  # why it cannot be certified yet, in words; empty where it can be tried
    answers_missing: dict[str, int] | None = None  # until it is as likely as not to pass, with the interval


# Claims


def propose(*, project: Project, asker: User, eps: float, delta: float = 0.05, budget: int = BUDGET) -> Proposal:
    """What certifying would take now, or why it cannot be done yet. Nothing is stored or drawn.

    Raises BadField for a number out of range, Conflict where a certificate is running.
    """
    return _proposal(project, asker, eps, delta, budget)[0]


def start(
    *,
    project: Project,
    asker: User,
    eps: float,
    delta: float = 0.05,
    budget: int = BUDGET,
    second_share: float = DOUBLED,
    now: datetime,
) -> Certificate:
    """Freeze the candidates, draw the seed and the first audits.

    `second_share` of the audits are answered by two people, if there are two. Raises as `propose`, and Conflict with
    the reason where it cannot be certified yet.
    """
    if not 0 <= second_share <= 1:
        raise BadField("second_share", _("Give a share between 0 and 1."))
    proposal, snapshot, frozen, claim = _proposal(project, asker, eps, delta, budget)
    if proposal.reason:
        raise Conflict(_("This cannot be certified yet. %(reason)s") % {"reason": proposal.reason})
    seed = secrets.token_hex(16)  # drawn after the candidates were fixed
    certificate = Certificate(
        project=project, kind=Kind.CLAIM, started_by=asker, started_at=now, snapshot=snapshot, seed=seed,
        eps=eps, delta=delta, attempt=claim.attempt, budget=budget, prefixes=list(proposal.prefixes),
        self_audited=proposal.self_audited, second_share=second_share if proposal.auditors > 1 else 0.0,
    )  # fmt: skip
    with transaction.atomic():
        _create(certificate, frozen)
        _draw(certificate, {}, now)
        _ask(certificate, {}, now)
    return certificate


def advance(certificate: Certificate, *, now: datetime) -> Certificate:
    """Look at what people said since: decide, or draw and ask what is still needed.

    May be called at any time and as often as one likes: the evidence holds whenever one looks.
    """
    with transaction.atomic():
        current = _running(certificate)
        if current is None:
            return Certificate.objects.get(pk=certificate.pk)
        found = certificates.said(current)
        if current.kind == Kind.SAMPLE:
            _advance_sample(current, found, now)
        else:
            _advance_claim(current, found, now)
    return current


def stop(*, certificate: Certificate, now: datetime) -> Certificate:
    """End the audits now. What passed by then stays certified; where nothing did, it is given up.

    A sample that is stopped says nothing: items that people are slow to answer may differ from the others. Raises
    Conflict where it had ended.
    """
    with transaction.atomic():
        current = _running(certificate)
        if current is None:
            raise Conflict(_("This has ended already."))
        found = certificates.said(current)
        accepted = 0
        if current.kind == Kind.CLAIM:
            current.budget = len(found)
            outcomes = certificates.wrong(current, found)
            accepted = betting.judge(certificates.plan(current), outcomes, current.budget).accepted
        _decide(current, State.PASSED if accepted else State.GIVEN_UP, accepted, found, now)
        # What was kept from the model can be learned from now.
        dispatch.start(current.project, Job.Kind.ADAPT)
    return current


def run(job: Job, progress: Any = None) -> None:
    """Bring the project's running certificates up to date; the job then adapts, to what they set free as well."""
    for certificate in Certificate.objects.filter(project=job.project_id, state=State.RUNNING):
        advance(certificate, now=timezone.now())


# Samples


def start_sample(*, project: Project, asker: User, audits: int, accepted_only: bool, now: datetime) -> Certificate:
    """Draw items at random, so many of each origin, to measure how right their labels are.

    Accepted labels only, or all: answered, imported, accepted, and what the newest snapshot suggests for open items.
    Raises BadField, or Conflict where there is nothing to sample or a sample is running.
    """
    if not LEAST_SAMPLE <= audits <= MOST:
        raise BadField("audits", _("Give a number from %(low)d to %(high)d.") % {"low": LEAST_SAMPLE, "high": MOST})
    _refuse_running(project, Kind.SAMPLE)
    people = _people(project, asker)
    snapshot = suggestions.latest(project)
    found = candidates.strata(project, _statuses(accepted_only, people), snapshot)
    if not found:
        raise Conflict(_("There are no such labels yet."))
    certificate = Certificate(
        project=project, kind=Kind.SAMPLE, started_by=asker, started_at=now, seed=secrets.token_hex(16),
        snapshot=snapshot if Status.OPEN in found else None, strata=[[name, len(one)] for name, one in found.items()],
        self_audited=people == {asker.pk},
    )  # fmt: skip
    drawn = candidates.drawn(found, audits, certificate.seed)
    frozen = candidates.together(list(drawn.values()))
    certificate.budget = len(frozen)
    with transaction.atomic():
        _create(certificate, frozen)
        of_item = {item_id: name for name, one in drawn.items() for item_id in one.item_ids.tolist()}
        mixed = frozen[list(betting.audit_order(frozen.keys(), certificate.seed))]
        _add(certificate, mixed.item_ids.tolist(), mixed.label_ids.tolist(), now, of_item)
        _ask(certificate, {}, now)
    return certificate


def _statuses(accepted_only: bool, people: Collection[int]) -> list[str]:
    if accepted_only:
        return [Status.ACCEPTED]
    # Whether an answer is right has to be said by somebody else.
    answered = [str(Status.ANSWERED)] if len(people) > 1 else []
    return [*answered, str(Status.ACCEPTED), str(Status.IMPORTED), str(Status.OPEN)]


def _advance_sample(certificate: Certificate, found: Mapping[int, Said], now: datetime) -> None:
    if len(found) < certificate.audits.count():
        _ask(certificate, found, now)
    else:
        _decide(certificate, State.MEASURED, 0, found, now)


# Proposing


def _proposal(
    project: Project, asker: User, eps: float, delta: float, budget: int
) -> tuple[Proposal, Snapshot | None, Frozen, betting.Claim]:
    _check(eps, delta, budget)
    _refuse_running(project, Kind.CLAIM)
    people = _people(project, asker)
    snapshot, frozen, claim = candidates.claimed(project, people, eps, delta)
    told: dict[str, Any] = {"reason": _("The model suggests nothing for open items yet; give it a few answers.")}
    if snapshot is not None and len(frozen):
        told = _forecast(project, frozen, claim, budget)
        if told["reason"] and told["chance"] < HOPELESS and told["at_best"]:
            told |= _missing(snapshot, frozen, claim, budget, told["reason"])
    proposal = Proposal(
        eps, delta, budget, claim.attempt, claim.level, snapshot.number if snapshot else None,
        len(people), people == {asker.pk}, **told,
    )  # fmt: skip
    return proposal, snapshot, frozen, claim


def _check(eps: float, delta: float, budget: int) -> None:
    if not 0.001 <= eps <= 0.5:
        raise BadField("eps", _("The error that may remain lies between 0.1% and 50%."))
    if not 0.0001 <= delta <= 0.5:
        raise BadField("confidence", _("The confidence lies between 50% and 99.99%."))
    if not 1 <= budget <= MOST:
        raise BadField("budget", _("Give a number from %(low)d to %(high)d.") % {"low": 1, "high": MOST})


def _refuse_running(project: Project, kind: str) -> None:
    if Certificate.objects.filter(project=project, kind=kind, state=State.RUNNING).exists():
        raise Conflict(_("One is being audited already. Wait until it has ended, or stop it."))


def _people(project: Project, asker: User) -> set[int]:
    """Who may audit: all members but whoever asks, or only that one where there is nobody else."""
    others = Member.objects.filter(project=project).exclude(user=asker)
    return set(others.values_list("user_id", flat=True)) or {asker.pk}


def _forecast(project: Project, frozen: Frozen, claim: betting.Claim, budget: int) -> dict[str, Any]:
    """What the plan would need, and why it is not worth trying where it is not."""
    plan = betting.plan(frozen.keys(), frozen.confidence.tolist(), claim, "forecast")
    thin = frozen[:: -(-len(frozen) // THINNED)]
    imagined = plan if len(thin) == len(frozen) else betting.plan(thin.keys(), thin.confidence.tolist(), claim, "f")
    doubts = 1 - thin.confidence.astype(np.float64)
    told = betting.forecast(imagined, doubts.tolist(), budget, np.random.default_rng(0), FORECASTS)
    wrong = float(np.mean(1 - frozen.confidence[: plan.prefixes[0]].astype(np.float64)))
    return {
        "candidates": len(frozen),
        "prefixes": plan.prefixes,
        "at_best": betting.audits_at_best(plan),
        "likely": told.median_audits,
        "chance": told.chance,
        "expected": round(told.expected_share * len(frozen)),
        "expected_wrong": wrong,
        "reason": _why_not(plan, told, budget, wrong),
    }


def _missing(snapshot: Snapshot, frozen: Frozen, claim: betting.Claim, budget: int, reason: str) -> dict[str, Any]:
    """How many more answers make it as likely as not to pass, in figures and added to the reason, or why none are told.

    If the errors of the surest suggestions shrink as those of all open ones do, by the fitted learning curve.
    """
    factor = _small_enough(frozen, claim, budget)
    if factor is None:
        return {}
    told = learning_curve.forecast_shrinking(outlook.curve(snapshot), factor)
    if told.reason:
        return {"reason": f"{reason} {outlook.in_words(told)}"}
    words = _("It may take %(answers)s, if the surest suggestions improve as all do.")
    return {
        "reason": f"{reason} {words % {'answers': outlook.in_words(told)}}",
        "answers_missing": {"likely": told.likely or 0, "low": told.low or 0, "high": told.high or 0},
    }


def _small_enough(frozen: Frozen, claim: betting.Claim, budget: int) -> float | None:
    """The factor, of those tried, by which errors must shrink to make passing as likely as not; None if none does."""
    thin = frozen[:: -(-len(frozen) // FEW_IMAGINED)]
    doubts = 1 - thin.confidence.astype(np.float64)
    for factor in SHRUNK:
        imagined = betting.plan(thin.keys(), (1 - factor * doubts).tolist(), claim, "f")
        chances = (factor * doubts)[: len(imagined.item_ids)].tolist()
        if betting.forecast(imagined, chances, budget, np.random.default_rng(0), RUNS).chance >= 0.5:
            return factor
    return None


def _why_not(plan: betting.Plan, told: betting.Forecast, budget: int, wrong: float) -> str:
    """Why it cannot be certified yet and what is missing, in words; empty where it is worth trying."""
    first = betting.judge(plan, {}).clean_to_next
    if first > budget:
        return _(
            "Even if no label were wrong, %(first)d audits would be needed, and you allow %(budget)d. Allow more, or "
            "let more error remain."
        ) % {"first": first, "budget": budget}
    if first > plan.prefixes[0] * 0.9:
        return _(
            "Only %(count)d suggestions are left to certify, and nearly all of them would have to be audited: label "
            "them instead."
        ) % {"count": len(plan.item_ids)}
    if told.chance >= HOPELESS:
        return ""
    return _(
        "The model expects %(wrong)s of even its %(count)d surest suggestions to be wrong, and %(eps)s may be. Give "
        "it more answers first, or let more error remain."
    ) % {"wrong": f"{wrong:.1%}", "count": plan.prefixes[0], "eps": f"{plan.claim.eps:.1%}"}


# Drawing, asking, deciding


def _running(certificate: Certificate) -> Certificate | None:
    """The certificate, locked if it is still running: two workers decide one after the other, and once."""
    locked = lock(Certificate.objects, of=("self",)).select_related("project", "started_by")
    return locked.filter(pk=certificate.pk, state=State.RUNNING).first()


def _create(certificate: Certificate, frozen: Frozen) -> None:
    """Store the row and its arrays. Raises Conflict where somebody started one at the same time."""
    project = certificate.project
    last = Certificate.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
    certificate.number = last + 1
    certificate.items = len(frozen) if certificate.kind == Kind.CLAIM else sum(size for _n, size in certificate.strata)
    certificate.items_sha256 = items_hash(frozen.keys(), frozen.names(project.pk))
    try:
        with transaction.atomic():
            certificate.save()
    except IntegrityError:
        raise Conflict(_("One is being audited already. Wait until it has ended, or stop it.")) from None
    arrays = {name: getattr(frozen, name) for name in ("item_ids", "rows", "label_ids", "confidence")}
    pool.write_frozen(project.pk, certificate.number, certificate.seed, arrays)
    asking.mix(project=project, share=MIXED_IN)


def _advance_claim(certificate: Certificate, found: Mapping[int, Said], now: datetime) -> None:
    """Judge, and draw on: what is drawn may have been answered already, blind as all that is tested."""
    plan = certificates.plan(certificate)
    evidence = betting.judge(plan, certificates.wrong(certificate, found), certificate.budget)
    while evidence.state == "open" and _draw(certificate, found, now):
        found = certificates.said(certificate)
        evidence = betting.judge(plan, certificates.wrong(certificate, found), certificate.budget)
    if evidence.state == "open":
        _ask(certificate, found, now)
    else:
        _decide(certificate, evidence.state, evidence.accepted, found, now)


def _draw(certificate: Certificate, found: Mapping[int, Said], now: datetime) -> bool:
    """Draw the audits that the set under test needs if they are all clean, within the budget; whether there were any.

    No more: what a larger set would need besides is in vain if this one fails, and counts against the budget.
    """
    plan = certificates.plan(certificate)
    outcomes = certificates.wrong(certificate, found)
    drawn = {str(item_id) for item_id in certificate.audits.values_list("item_id", flat=True)}
    wanted = [int(key) for key in betting.audits_to_pass(plan, outcomes) if key not in drawn]
    wanted = wanted[: max(certificate.budget - len(drawn), 0)]
    if wanted:
        frozen = certificates.frozen(certificate)
        label_of = dict(zip(frozen.item_ids.tolist(), frozen.label_ids.tolist(), strict=True))
        _add(certificate, wanted, [label_of[item_id] for item_id in wanted], now)
    return bool(wanted)


def _add(
    certificate: Certificate,
    item_ids: list[int],
    label_ids: list[int],
    now: datetime,
    strata: Mapping[int, str] | None = None,
) -> None:
    first = certificate.audits.count()
    Audit.objects.bulk_create(
        [
            Audit(
                certificate=certificate, item_id=item_id, place=first + place, suggested_id=label_id, drawn_at=now,
                stratum=strata[item_id] if strata else "", wants_second=_doubled(certificate, item_id),
            )
            for place, (item_id, label_id) in enumerate(zip(item_ids, label_ids, strict=True))
        ]
    )  # fmt: skip


def _doubled(certificate: Certificate, item_id: int) -> bool:
    """Whether two people are asked: a share of the items, settled by the seed."""
    drawn = hashlib.sha256(f"{certificate.seed}:second:{item_id}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") < certificate.second_share * 2**64


def _ask(certificate: Certificate, found: Mapping[int, Said], now: datetime) -> None:
    """Keep exactly the questions open that are: audits without an answer, and those that want a second one."""
    audits = certificate.audits.values_list("item_id", "wants_second")
    first = [item_id for item_id, _second in audits if item_id not in found]
    second = [
        item_id
        for item_id, wants in audits
        if wants and item_id in found and found[item_id].label and not found[item_id].second
    ]
    project = certificate.project
    asked = dict(
        Ask.objects.filter(project=project, purpose=_purpose(certificate)).values_list("item_id", "created_at")
    )
    # A question for a second answer is a new one: the first answer is older than it.
    answered = [item_id for item_id in asked if item_id in found and item_id not in second]
    renewed = [item_id for item_id in second if item_id in asked and asked[item_id] <= (found[item_id].at or now)]
    asking.withdraw(project=project, purpose=_purpose(certificate), item_ids=[*answered, *renewed])
    not_for = None if certificate.self_audited else certificate.started_by
    asking.ask(project=project, item_ids=[*first, *second], purpose=_purpose(certificate), not_for=not_for, now=now)


def _purpose(certificate: Certificate) -> str:
    return AUDIT if certificate.kind == Kind.CLAIM else "sample"


def _decide(certificate: Certificate, state: str, accepted: int, found: Mapping[int, Said], now: datetime) -> None:
    """Write down how it ended, what each auditor had said by then, and ask no more."""
    for audit in certificate.audits.all():
        if one := found.get(audit.item_id):
            audit.answer_id, audit.label_id, audit.second_label_id = one.answer, one.label, one.second
            audit.outcome = _outcome(one, audit.suggested_id)
            audit.save(update_fields=["answer", "label", "second_label", "outcome"])
    certificate.human_error = asdict(auditors.seen(certificate, found))
    certificate.state, certificate.accepted, certificate.decided_at = state, accepted, now
    certificate.save(update_fields=["state", "accepted", "decided_at", "budget", "human_error"])
    project = certificate.project
    asking.withdraw(project=project, purpose=_purpose(certificate))
    if not Certificate.objects.filter(project=project, state=State.RUNNING).exists():
        asking.mix(project=project, share=0.0)
    news = {"number": certificate.number, "state": certificate.state}
    transaction.on_commit(lambda: live.publish(project.pk, "certificate", news))


def _outcome(one: Said, suggested: int) -> str:
    if one.label is None:
        return Audit.Outcome.UNANSWERED
    return Audit.Outcome.WRONG if one.wrong(suggested) else Audit.Outcome.RIGHT
