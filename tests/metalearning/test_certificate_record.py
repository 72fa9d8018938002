"""A certificate's record gives back its claim, and nothing else does."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.certificate import Claim, judge, next_audits, plan
from metalearning.certificate_record import RecordDoesNotHold, recompute, to_record


def audited(audits: int, bad_every: int = 0) -> tuple[Any, dict[str, bool]]:
    tested = plan([f"row {i}" for i in range(400)], [0.98] * 400, Claim(0.05, 0.05, 2), seed="2026-11-23")
    known: dict[str, bool] = {}
    while len(known) < audits and (more := next_audits(tested, known, 1)):
        known |= {item_id: bool(bad_every) and len(known) % bad_every == 0 for item_id in more}
    return tested, known


@settings(max_examples=25, deadline=None)
@given(audits=st.integers(0, 200), bad_every=st.sampled_from([0, 2, 40]), budget=st.sampled_from([None, 50, 200]))
def test_a_record_through_json_gives_the_same_evidence(audits: int, bad_every: int, budget: int | None) -> None:
    tested, known = audited(audits, bad_every)
    record = json.loads(json.dumps(to_record(tested, known, budget)))
    assert recompute(record) == judge(tested, known, budget)


def passing_record() -> dict[str, Any]:
    tested, known = audited(400)
    return json.loads(json.dumps(to_record(tested, known)))


def test_a_passing_record_holds() -> None:
    evidence = recompute(passing_record())
    assert (evidence.state, evidence.accepted) == ("passed", 400)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r["items"].reverse(), "not those that were hashed"),
        (lambda r: r.update(items_sha256="0"), "not those that were hashed"),
        (lambda r: r.update(accepted=399), "accepts 399 items, the audits 400"),
        (lambda r: r.update(state="failed"), "says failed, the audits say passed"),
        (lambda r: r.update(eps=0.01), "the audits say open"),
        (lambda r: r.update(attempts=1000), "the audits say open"),
        (lambda r: r.update(prefixes=[100, 300]), "do not lead up to the 400 items"),
        (lambda r: r["audits"].pop(), "the audits say open"),
        (lambda r: [audit.update(wrong=True) for audit in r["audits"]], "the audits say failed"),
        (lambda r: r["audits"].append({"item": "no such row", "wrong": False}), "no candidate"),
        (lambda r: r["audits"].append({"item": "row 1", "wrong": 0}), "is no audit"),
        (lambda r: r.pop("seed"), "incomplete"),
        (lambda r: r.update(eps="0.05"), "malformed"),
        (lambda r: r.update(seed="another"), "the audits say open"),
    ],
)
def test_a_changed_record_is_refused_with_the_reason(change: Any, complaint: str) -> None:
    record = passing_record()
    change(record)
    with pytest.raises(RecordDoesNotHold, match=complaint):
        recompute(record)
