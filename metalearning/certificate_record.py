"""A certificate's record: plain values from which anyone can recompute the claim, without a database."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from metalearning import human_error
from metalearning.certificate import Claim, Evidence, Plan, audit_order, judge
from metalearning.human_error import Bounded, Seen

FORMAT = "certificate/1"
METHOD = (
    "Sequential test by betting without replacement (Waudby-Smith & Ramdas 2024, Estimating means of bounded random "
    "variables by betting) on nested prefixes in fixed order. Items are sorted surest first; the audit order is that "
    "of SHA-256('seed:item id'), the seed drawn at random once the items were fixed. With K0 = floor(eps M) + 1, the "
    "evidence after t audits with s wrong ones is sum over K < K0 of w_K P(audits | K) / P(audits | K0), w_K "
    "proportional to exp(-8 K / K0), P hypergeometric; a prefix of M items passes when it reaches 1 / level, at "
    "whichever audit. level = .8 delta for the first attempt of a project, .2 delta / (k (k - 1)) for attempt k after "
    "it (delta itself for attempt 0, one that stands alone). If the share of wrong labels were above eps, that would "
    "happen with a probability of at most level (Ville's inequality). 'Wrong' means: a person who labelled the item "
    "without seeing the suggestion said something else, or nobody could say."
)


class RecordDoesNotHold(ValueError):
    """A certificate's record does not support what it claims."""


@dataclass(frozen=True)
class Certified:
    """What a record that holds says: the label frozen for each certified item, and the evidence.

    `human`: the bound with the auditors' own mistakes included, None where nothing is certified or known of them.
    """

    number: int
    claim: Claim
    labels: Mapping[str, str]
    evidence: Evidence
    human: Bounded | None = None


def to_record(
    plan: Plan,
    labels: Sequence[str],
    answers: Mapping[str, str | None],
    budget: int | None = None,
    number: int = 0,
    *,
    seconds: Mapping[str, str] | None = None,
    seen: Seen | None = None,
) -> dict[str, object]:
    """Everything needed to recompute the claim, as plain values for JSON.

    labels: what was suggested for each of the plan's items, in their order; answers: by item id, what the auditor said
    (None: nobody could say, which counts as wrong); seconds: what a second auditor said of some of these, which decides
    nothing; seen: what is known of the auditors, whose doubles are those of `seconds`.
    """
    suggested = dict(zip(plan.item_ids, labels, strict=True))
    answers = {item_id: answer for item_id, answer in answers.items() if item_id in suggested}
    evidence = judge(plan, {item_id: answer != suggested[item_id] for item_id, answer in answers.items()}, budget)
    place = {plan.item_ids[rank]: place for place, rank in enumerate(plan.order)}
    return {
        "format": FORMAT,
        "number": number,
        "method": METHOD,
        "eps": plan.claim.eps,
        "delta": plan.claim.delta,
        "attempt": plan.claim.attempt,
        "level": plan.claim.level,
        "seed": plan.seed,
        "items": list(plan.item_ids),
        "labels": list(labels),
        "items_sha256": items_hash(plan.item_ids, labels),
        "prefixes": list(plan.prefixes),
        "budget": budget,
        "audits": [
            {"item": i, "suggested": suggested[i], "answer": answers[i], "wrong": answers[i] != suggested[i]}
            | ({"second": seconds[i]} if seconds and i in seconds else {})
            for i in sorted(answers, key=place.__getitem__)
        ],
        "state": evidence.state,
        "accepted": evidence.accepted,
    } | ({"human_error": _human_error(seen, plan.claim, evidence.accepted)} if seen else {})


def recompute(record: Mapping[str, object]) -> Certified:
    """What is certified, from the record alone; RecordDoesNotHold if the record says anything else.

    Checked: the hash over items and labels, the prefixes, that each audited item is a candidate and its outcome what
    its labels say, state and number accepted; where the auditors' own error is stated, that it follows from its counts
    and that audits answered twice are as many as are listed (the gold answers themselves are not in the record). Giving
    up sets the budget to the audits answered by then: that fails.
    """
    try:
        items, labels = _strings(record["items"]), _strings(record["labels"])
        audits = [_audit(row) for row in _list(record["audits"])]
        claim = Claim(_number(record["eps"]), _number(record["delta"]), int(_number(record["attempt"])))
        budget = None if record["budget"] is None else int(_number(record["budget"]))
        prefixes, seed = tuple(int(_number(size)) for size in _list(record["prefixes"])), str(record["seed"])
        hashed, state, accepted = record["items_sha256"], record["state"], record["accepted"]
        number = int(_number(record.get("number", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordDoesNotHold(f"the record is incomplete or malformed: {error}") from error
    _require(len(labels) == len(items), f"there are {len(items)} items, but {len(labels)} labels")
    _require(items_hash(items, labels) == hashed, "the items or their labels are not those that were hashed")
    _require(len(set(items)) == len(items), "an item is listed twice")
    fitting = bool(prefixes) and prefixes[0] >= 1 and prefixes[-1] == len(items) and prefixes == tuple(sorted(prefixes))
    _require(fitting, f"the prefixes {prefixes} do not lead up to the {len(items)} items")
    wrong = _outcomes(audits, dict(zip(items, labels, strict=True)))
    evidence = judge(Plan(claim, items, prefixes, seed, audit_order(items, seed)), wrong, budget)
    said = "failed" if state == "given_up" else state
    _require(evidence.state == said, f"the record says {state}, the audits say {evidence.state}")
    _require(evidence.accepted == accepted, f"the record accepts {accepted} items, the audits {evidence.accepted}")
    size = evidence.accepted
    human = _recomputed(record, claim, size) if record.get("human_error") is not None else None
    return Certified(number, claim, dict(zip(items[:size], labels[:size], strict=True)), evidence, human)


def items_hash(item_ids: Sequence[str], labels: Sequence[str]) -> str:
    """SHA-256 over the SHA-256 of each id and the SHA-256 of its label in turn, surest first."""
    whole = hashlib.sha256()
    for item_id, label in zip(item_ids, labels, strict=True):
        whole.update(hashlib.sha256(item_id.encode()).digest() + hashlib.sha256(label.encode()).digest())
    return whole.hexdigest()


def _human_error(seen: Seen, claim: Claim, accepted: int) -> dict[str, object]:
    """What is known of the auditors' own error, and what it leaves of the bound; None for what is not known."""
    known = human_error.auditors_err(seen)
    told = human_error.bounded(seen, claim.eps, claim.delta) if accepted else None
    error = {"from": known[1] if known else None} | {
        name: round(getattr(known[0], field), 6) if known else None
        for name, field in (("estimate", "value"), ("low", "low"), ("high", "high"))
    }
    bound = {
        "most_wrong": round(told.most_wrong, 6) if told else None,
        "confidence": round(told.confidence, 6) if told else None,
    }
    return asdict(seen) | error | bound


def _recomputed(record: Mapping[str, object], claim: Claim, accepted: int) -> Bounded | None:
    """The auditors' error as its counts give it, once it is sure that the record says the same."""
    told = record["human_error"]
    try:
        if not isinstance(told, dict):
            raise TypeError(f"{told!r} is no table")
        seen = Seen(**{field.name: int(_number(told[field.name])) for field in fields(Seen)})
        rows = [row for row in _list(record["audits"]) if isinstance(row, dict)]
        pairs = [(row["answer"], row["second"]) for row in rows if row.get("second") is not None]
        expected = _human_error(seen, claim, accepted)
        differing = [name for name, value in expected.items() if not _same(told[name], value)]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordDoesNotHold(f"what is said of the auditors' error is malformed: {error}") from error
    found = (len(pairs), sum(first != second for first, second in pairs))
    stated = (seen.doubles, seen.disagreements)
    _require(found == stated, f"two people answered {found[0]} audits and differ on {found[1]}, not {stated}")
    _require(not differing, f"the auditors' error does not follow from its counts: {', '.join(differing)}")
    return human_error.bounded(seen, claim.eps, claim.delta) if accepted else None


def _same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 2e-6
    return one == other


def _outcomes(audits: Sequence[tuple[str, str, str | None, bool]], labels: Mapping[str, str]) -> dict[str, bool]:
    """Whether each audited label was wrong, once it is sure that the record's words agree with one another."""
    wrong: dict[str, bool] = {}
    for item, suggested, answer, is_wrong in audits:
        _require(item in labels, f"the audited item {item} is no candidate")
        _require(item not in wrong, f"item {item} is audited twice")
        _require(
            labels[item] == suggested, f"item {item} was audited for “{suggested}”, but “{labels[item]}” is listed"
        )
        _require((answer != suggested) == is_wrong, f"the outcome of item {item} is not what its labels say")
        wrong[item] = is_wrong
    return wrong


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecordDoesNotHold(message)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in _list(value))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def _audit(row: object) -> tuple[str, str, str | None, bool]:
    if not isinstance(row, dict) or not isinstance(row.get("wrong"), bool):
        raise TypeError(f"{row!r} is no audit")
    answer = row["answer"]
    return str(row["item"]), str(row["suggested"]), None if answer is None else str(answer), row["wrong"]
