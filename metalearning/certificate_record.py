"""A certificate's record: plain values from which anyone can recompute the claim, without a database."""

import hashlib
from collections.abc import Mapping, Sequence

from metalearning.certificate import Claim, Evidence, Plan, audit_order, judge

METHOD = (
    "Sequential test by betting without replacement (Waudby-Smith & Ramdas 2024) on nested prefixes in fixed order; "
    "audit order by SHA-256 of 'seed:item'; gambler's weights proportional to exp(-8 K / K0)"
)


class RecordDoesNotHold(ValueError):
    """A certificate's record does not support what it claims."""


def to_record(plan: Plan, wrong: Mapping[str, bool], budget: int | None = None) -> dict[str, object]:
    """Everything needed to recompute the claim, as plain values for JSON."""
    evidence = judge(plan, wrong, budget)
    candidates = set(plan.item_ids)
    return {
        "method": METHOD,
        "eps": plan.claim.eps,
        "delta": plan.claim.delta,
        "attempts": plan.claim.attempts,
        "seed": plan.seed,
        "items": list(plan.item_ids),
        "items_sha256": items_hash(plan.item_ids),
        "prefixes": list(plan.prefixes),
        "budget": budget,
        "audits": [{"item": i, "wrong": bool(is_wrong)} for i, is_wrong in sorted(wrong.items()) if i in candidates],
        "state": evidence.state,
        "accepted": evidence.accepted,
    }


def recompute(record: Mapping[str, object]) -> Evidence:
    """The evidence, from the record alone; RecordDoesNotHold if the record says anything else.

    Checked: the items' hash, the prefixes, that each audited item is a candidate, state and number accepted.
    """
    try:
        items, audits = _strings(record["items"]), _audits(record["audits"])
        claim = Claim(_number(record["eps"]), _number(record["delta"]), int(_number(record["attempts"])))
        budget = None if record["budget"] is None else int(_number(record["budget"]))
        prefixes, seed = tuple(int(_number(size)) for size in _list(record["prefixes"])), str(record["seed"])
        hashed, state, accepted = record["items_sha256"], record["state"], record["accepted"]
    except (KeyError, TypeError) as error:
        raise RecordDoesNotHold(f"the record is incomplete or malformed: {error}") from error
    _require(items_hash(items) == hashed, "the items are not those that were hashed")
    _require(len(set(items)) == len(items), "an item is listed twice")
    fitting = bool(prefixes) and prefixes[0] >= 1 and prefixes[-1] == len(items) and prefixes == tuple(sorted(prefixes))
    _require(fitting, f"the prefixes {prefixes} do not lead up to the {len(items)} items")
    _require(set(audits) <= set(items), "an audited item is no candidate")
    evidence = judge(Plan(claim, items, prefixes, seed, audit_order(items, seed)), audits, budget)
    _require(evidence.state == state, f"the record says {state}, the audits say {evidence.state}")
    _require(evidence.accepted == accepted, f"the record accepts {accepted} items, the audits {evidence.accepted}")
    return evidence


def items_hash(item_ids: Sequence[str]) -> str:
    """SHA-256 over the SHA-256 of each id, surest first."""
    return hashlib.sha256(b"".join(hashlib.sha256(item_id.encode()).digest() for item_id in item_ids)).hexdigest()


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


def _audits(value: object) -> dict[str, bool]:
    audits: dict[str, bool] = {}
    for row in _list(value):
        if not isinstance(row, dict) or not isinstance(row.get("wrong"), bool):
            raise TypeError(f"{row!r} is no audit")
        audits[str(row["item"])] = row["wrong"]
    return audits
