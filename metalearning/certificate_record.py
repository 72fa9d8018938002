"""A certificate's record: plain values from which anyone can recompute the claim, without a database."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metalearning.certificate import Claim, Evidence, Plan, audit_order, judge

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
    """What a record that holds says: the label frozen for each certified item, and the evidence."""

    number: int
    claim: Claim
    labels: Mapping[str, str]
    evidence: Evidence


def to_record(
    plan: Plan, labels: Sequence[str], answers: Mapping[str, str | None], budget: int | None = None, number: int = 0
) -> dict[str, object]:
    """Everything needed to recompute the claim, as plain values for JSON.

    labels: what was suggested for each of the plan's items, in their order; answers: by item id, what the auditor said
    (None: nobody could say, which counts as wrong).
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
            for i in sorted(answers, key=place.__getitem__)
        ],
        "state": evidence.state,
        "accepted": evidence.accepted,
    }


def recompute(record: Mapping[str, object]) -> Certified:
    """What is certified, from the record alone; RecordDoesNotHold if the record says anything else.

    Checked: the hash over items and labels, the prefixes, that each audited item is a candidate and its outcome what
    its labels say, state and number accepted. Giving up sets the budget to the audits answered by then: that fails.
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
    return Certified(number, claim, dict(zip(items[:size], labels[:size], strict=True)), evidence)


def items_hash(item_ids: Sequence[str], labels: Sequence[str]) -> str:
    """SHA-256 over the SHA-256 of each id and the SHA-256 of its label in turn, surest first."""
    whole = hashlib.sha256()
    for item_id, label in zip(item_ids, labels, strict=True):
        whole.update(hashlib.sha256(item_id.encode()).digest() + hashlib.sha256(label.encode()).digest())
    return whole.hexdigest()


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
