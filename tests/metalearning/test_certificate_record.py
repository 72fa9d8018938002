"""A certificate's record gives back its claim, and nothing else does."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.certificate import Claim, Plan, judge, next_audits, plan
from metalearning.certificate_record import RecordDoesNotHold, recompute, to_record
from metalearning.human_error import Seen

LABELS = [f"label {k % 3}" for k in range(400)]


def audited(audits: int, bad_every: int = 0) -> tuple[Plan, dict[str, str | None]]:
    """A plan over 400 items and the auditors' answers; every so-manieth is another label, or none at all."""
    tested = plan([f"row {i}" for i in range(400)], [0.98] * 400, Claim(0.05, 0.05, 2), seed="2026-11-23")
    suggested = dict(zip(tested.item_ids, LABELS, strict=True))
    said: dict[str, str | None] = {}
    while len(said) < audits and (more := next_audits(tested, wrong(tested, said), 1)):
        bad = bool(bad_every) and len(said) % bad_every == 0
        said |= {i: (None if len(said) % 2 else "other") if bad else suggested[i] for i in more}
    return tested, said


def wrong(tested: Plan, said: dict[str, str | None]) -> dict[str, bool]:
    suggested = dict(zip(tested.item_ids, LABELS, strict=True))
    return {i: answer != suggested[i] for i, answer in said.items()}


@settings(max_examples=25, deadline=None)
@given(audits=st.integers(0, 200), bad_every=st.sampled_from([0, 2, 40]), budget=st.sampled_from([None, 50, 200]))
def test_a_record_through_json_gives_the_same_evidence(audits: int, bad_every: int, budget: int | None) -> None:
    tested, said = audited(audits, bad_every)
    record = json.loads(json.dumps(to_record(tested, LABELS, said, budget)))
    assert recompute(record).evidence == judge(tested, wrong(tested, said), budget)


def passing_record() -> dict[str, Any]:
    tested, said = audited(400)
    return json.loads(json.dumps(to_record(tested, LABELS, said, number=7)))


def test_a_passing_record_holds_and_says_which_labels_it_certifies() -> None:
    certified = recompute(passing_record())
    assert (certified.evidence.state, certified.evidence.accepted) == ("passed", 400)
    assert certified.number == 7
    assert certified.labels == {f"row {i}": LABELS[i] for i in range(400)}


def test_stopping_early_keeps_the_prefixes_that_had_passed_and_certifies_nothing_without_one() -> None:
    tested, said = audited(100)
    assert recompute(to_record(tested, LABELS, said)).evidence.state == "open"
    stopped = recompute(to_record(tested, LABELS, said, budget=100))
    assert (stopped.evidence.state, len(stopped.labels)) == ("passed", 200)
    tested, said = audited(10)
    given_up = recompute(to_record(tested, LABELS, said, budget=10) | {"state": "given_up"})
    assert given_up.labels == {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r["items"].reverse(), "not those that were hashed"),
        (lambda r: r["labels"].reverse(), "not those that were hashed"),
        (lambda r: r["labels"].pop(), "400 items, but 399 labels"),
        (lambda r: r.update(items_sha256="0"), "not those that were hashed"),
        (lambda r: r.update(accepted=399), "accepts 399 items, the audits 400"),
        (lambda r: r.update(state="failed"), "says failed, the audits say passed"),
        (lambda r: r.update(state="given_up"), "says given_up, the audits say passed"),
        (lambda r: r.update(eps=0.01), "the audits say open"),
        (lambda r: r.update(attempt=90), "the audits say open"),
        (lambda r: r.update(prefixes=[100, 300]), "do not lead up to the 400 items"),
        (lambda r: r["audits"].pop(), "the audits say open"),
        (lambda r: [audit.update(wrong=True, answer="other") for audit in r["audits"]], "the audits say failed"),
        (lambda r: r["audits"][0].update(wrong=True), "not what its labels say"),
        (lambda r: r["audits"][0].update(answer="other"), "not what its labels say"),
        (lambda r: r["audits"][0].update(suggested="other", answer="other"), "was audited for"),
        (lambda r: r["audits"].append(r["audits"][0]), "audited twice"),
        (lambda r: r["audits"].append({"item": "x", "suggested": "a", "answer": "a", "wrong": False}), "no candidate"),
        (lambda r: r["audits"].append({"item": "row 1", "wrong": 0}), "is no audit"),
        (lambda r: r.pop("seed"), "incomplete"),
        (lambda r: r.update(eps="0.05"), "malformed"),
        (lambda r: r.update(eps=2), "between 0 and 1"),
        (lambda r: r.update(seed="another"), "the audits say open"),
    ],
)
def test_a_changed_record_is_refused_with_the_reason(change: Any, complaint: str) -> None:
    record = passing_record()
    change(record)
    with pytest.raises(RecordDoesNotHold, match=complaint):
        recompute(record)


def record_with_auditors() -> dict[str, Any]:
    """A passing record: six audits were answered twice, once differently, by people who missed one of 20 gold items."""
    tested, said = audited(400)
    seconds = {i: str(answer) for i, answer in list(said.items())[:6]}
    seconds[next(iter(seconds))] = "other"
    seen = Seen(people=2, doubles=6, disagreements=1, gold=20, gold_wrong=1)
    return json.loads(json.dumps(to_record(tested, LABELS, said, number=7, seconds=seconds, seen=seen)))


def test_a_record_states_the_auditors_own_error_and_what_it_leaves_of_the_bound() -> None:
    human = recompute(record_with_auditors()).human
    assert human is not None
    assert (human.source, human.error.value) == ("gold", 0.05)
    assert human.most_wrong == pytest.approx(0.05 + human.error.high)
    assert human.confidence == pytest.approx(0.925)
    assert recompute(passing_record()).human is None  # an older record, which says nothing of it


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r["human_error"].update(gold_wrong=0), "does not follow from its counts: estimate"),
        (lambda r: r["human_error"].update(most_wrong=0.05), "does not follow from its counts: most_wrong"),
        (lambda r: r["human_error"].update(doubles=9), "two people answered 6 audits and differ on 1, not"),
        (lambda r: r["human_error"].update(gold_wrong=21), "malformed"),
        (lambda r: r["human_error"].pop("people"), "malformed"),
        (lambda r: r.update(human_error=3), "malformed"),
    ],
)
def test_a_changed_statement_of_the_auditors_error_is_refused(change: Any, complaint: str) -> None:
    record = record_with_auditors()
    change(record)
    with pytest.raises(RecordDoesNotHold, match=complaint):
        recompute(record)
