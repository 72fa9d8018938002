"""Overlap: several people answer an item, one after the other, and their answers become one label."""

from __future__ import annotations

import csv
import io
import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from labeling import standing, weighing
from labeling.flow import answering, exporting, judging, queueing
from labeling.models import Answer, Candidate, Item, Label, Lease, Project, Purpose, Role, Skills, Status, User
from labeling.models.lease import SECOND
from tests import factories, make

NOW = make.NOW
pytestmark = pytest.mark.django_db


def several(overlap: int = 2, items: int = 3, **facts: object) -> Project:
    return make.project(
        labels=["yes", "no", "maybe"], texts=[f"item {row}" for row in range(items)], overlap=overlap, **facts
    )


def people(project: Project, *names: str) -> list[User]:
    return [make.member(project, Role.ANNOTATOR, name) for name in names]


def claim(project: Project, user: User, count: int = 10) -> list[Lease]:
    return queueing.claim(project=project, user=user, tab=user.username, count=count, now=NOW, chance=random.Random(0))


def say(project: Project, item: Item, user: User, name: str, **facts: object) -> Answer:
    label = Label.objects.get(project=project, name=name)
    return answering.submit(project=project, item=item, author=user, label=label, now=NOW, **facts).answer


def item_of(project: Project, row: int = 0) -> Item:
    return Item.objects.get(project=project, row=row)


def stands(project: Project, row: int = 0) -> tuple[str, str | None]:
    item = Item.objects.select_related("label").get(project=project, row=row)
    return item.status, item.label.name if item.label else None


def test_an_item_is_open_until_it_has_the_answers_it_wants() -> None:
    project = several(2)
    anna, bo = people(project, "anna", "bo")
    say(project, item_of(project), anna, "yes")
    assert stands(project) == (Status.OPEN, None)
    say(project, item_of(project), bo, "yes")
    assert stands(project) == (Status.ANSWERED, "yes")
    assert standing.counted(project)["answered"] == Project.objects.get(pk=project.pk).tally.answered == 1


def test_nobody_is_asked_the_same_item_twice_and_others_come_to_it_first() -> None:
    project = several(2)
    anna, bo = people(project, "anna", "bo")
    [first, *_rest] = claim(project, anna, 1)
    say(project, first.item, anna, "yes")
    assert first.item_id not in {lease.item_id for lease in claim(project, anna)}
    queueing.release(project=project, user=anna, tab="anna")
    Candidate.objects.exclude(item=first.item).delete()  # what Anna gave back lies in front of it
    assert claim(project, bo, 1)[0].item == first.item


def test_who_answered_everything_gets_nothing_more_and_is_told_that_others_must() -> None:
    project = several(2)
    [anna] = people(project, "anna")
    for item in Item.objects.filter(project=project):
        say(project, item, anna, "yes")
    assert claim(project, anna) == []
    assert queueing.for_others(project=project, user=anna) == 3


def test_who_is_far_ahead_misses_nothing_though_few_of_their_own_answers_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queueing, "LOOKED_AT", 2)
    project = several(2, items=30)
    anna, bo = people(project, "anna", "bo")
    for row in range(25):
        say(project, item_of(project, row), anna, "yes")
    say(project, item_of(project, 29), bo, "no")
    assert all(SECOND.start <= at < SECOND.stop for at in Candidate.objects.values_list("position", flat=True))
    [lease] = claim(project, bo, 1)  # what others answered comes first
    assert lease.item.row < 25
    assert lease.reason["code"] == "second"
    assert {lease.item.row for lease in claim(project, anna, 30)} == set(range(25, 30))
    assert {lease.item.row for lease in claim(project, bo, 40)} == set(range(25))


def test_an_item_in_somebodys_hands_is_not_given_to_a_second_person_meanwhile() -> None:
    project = several(3)
    anna, bo = people(project, "anna", "bo")
    held = {lease.item_id for lease in claim(project, anna, 2)}
    assert held.isdisjoint(lease.item_id for lease in claim(project, bo))


def test_every_item_gets_all_its_answers_from_different_people() -> None:
    project = several(3, items=6)
    crowd = people(project, "anna", "bo", "cy", "di")
    chance = random.Random(1)
    for _round in range(60):
        user = chance.choice(crowd)
        for lease in claim(project, user, chance.randint(1, 3)):
            if chance.random() < 0.8:
                say(project, lease.item, user, chance.choice(["yes", "no"]))
        queueing.release(project=project, user=user, tab=user.username)
    assert standing.counted(project) == {"open": 0, "answered": 6, "imported": 0, "accepted": 0}
    for item in Item.objects.filter(project=project):
        authors = list(item.answers.values_list("author", flat=True))
        assert len(authors) == len(set(authors)) == 3


def test_only_the_share_wants_more_and_the_same_rows_after_a_restart() -> None:
    project = several(2, items=40, overlap_mode=Project.Overlap.SHARE, overlap_share=0.3)
    wanting = [row for row in range(40) if weighing.wanted(project, row) == 2]
    assert 4 <= len(wanting) <= 20
    assert wanting == [row for row in range(40) if weighing.wanted(Project.objects.get(pk=project.pk), row) == 2]
    [anna] = people(project, "anna")
    for row in (wanting[0], next(row for row in range(40) if row not in wanting)):
        say(project, item_of(project, row), anna, "no")
    assert stands(project, wanting[0])[0] == Status.OPEN
    assert standing.counted(project)["answered"] == 1


def with_foreseen(project: Project, row: int, name: str, p: float) -> None:
    """The item is first in the queue, and this is what the model thinks of it."""
    label = Label.objects.get(project=project, name=name)
    Candidate.objects.update_or_create(
        item=item_of(project, row), defaults={"project": project, "position": -(10**6), "top": [[label.pk, p]]}
    )


def test_adaptive_overlap_asks_a_second_person_only_where_the_first_and_the_model_disagree() -> None:
    project = several(3, overlap_mode=Project.Overlap.ADAPTIVE, sure_enough=0.85)
    anna, bo, cy = people(project, "anna", "bo", "cy")
    for row, said in ((0, "yes"), (1, "no")):
        with_foreseen(project, row, "yes", 0.9)
        [lease] = claim(project, anna, 1)
        say(project, lease.item, anna, said)
    assert stands(project, 0) == (Status.ANSWERED, "yes")
    assert stands(project, 1) == (Status.OPEN, None)
    say(project, item_of(project, 1), bo, "no")
    assert stands(project, 1) == (Status.ANSWERED, "no")
    # Three who all differ: at most three are asked.
    for user, said in ((anna, "yes"), (bo, "no"), (cy, "maybe")):
        assert stands(project, 2)[0] == Status.OPEN
        say(project, item_of(project, 2), user, said)
    assert stands(project, 2)[0] == Status.ANSWERED


def test_the_models_vote_counts_where_the_question_was_asked_blind_and_is_told_to_nobody() -> None:
    project = several(2, gold_share=0.5)
    anna, _bo = people(project, "anna", "bo")
    with_foreseen(project, 0, "yes", 0.9)
    # Nothing waits beside the queue, and the second draw of each question makes this one blind.
    chance = Draws([999, 0])
    [lease] = queueing.claim(project=project, user=anna, tab="anna", count=1, now=NOW, chance=chance)
    client, url = factories.api(anna), f"/api/projects/{project.pk}"
    Lease.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    [shown] = client.get(f"{url}/next?count=1&tab=anna").json()["items"]
    assert (shown["id"], shown["suggestion"]) == (lease.item_id, None)
    assert shown["reason"] == {"code": "blind", "text": shown["reason"]["text"], "labels": [], "p": []}
    assert "yes" not in shown["reason"]["text"]
    told = client.post(
        f"{url}/answers/", {"item": lease.item_id, "label": "no", "tab": "anna", "count": 0}, format="json"
    )
    assert "yes" not in told.content.decode()
    yes = Label.objects.get(project=project, name="yes")
    answer = Answer.objects.get(author=anna)
    assert (answer.foreseen_id, answer.foreseen_p, answer.suggested_id, answer.reason) == (yes.pk, 0.9, None, "blind")
    # It stays with the answer that takes its place, whether from the list or after taking it back.
    say(project, lease.item, anna, "maybe")
    client.post(f"{url}/undo", {"tab": "anna"}, format="json")
    changed = say(project, lease.item, anna, "no")
    assert (changed.foreseen_id, changed.foreseen_p, changed.suggested_id) == (yes.pk, 0.9, None)
    assert weighing.sheet(weighing.current(project)).votes[lease.item_id] == [
        weighing.Vote(anna.pk, changed.label_id, yes.pk, 0.9)
    ]


class Draws:
    """Numbers in a fixed order, then nought."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def randrange(self, _stop: int, /) -> int:
        return self.numbers.pop(0) if self.numbers else 0


def test_the_majority_decides_and_what_the_model_foresaw_breaks_a_tie() -> None:
    project = several(2, consensus=Project.Consensus.MAJORITY)
    anna, bo = people(project, "anna", "bo")
    with_foreseen(project, 0, "no", 0.6)
    [lease] = claim(project, anna, 1)
    say(project, lease.item, anna, "yes")
    say(project, lease.item, bo, "no")
    assert stands(project, 0) == (Status.ANSWERED, "no")
    told = weighing.verdicts(project, [lease.item_id])[lease.item_id]
    assert (told.p, told.answers, told.equal, told.method) == (0.5, 2, 1, "majority")


def test_a_decision_outranks_all_and_can_be_taken_back() -> None:
    project = several(2)
    anna, bo = people(project, "anna", "bo")
    owner = User.objects.get(username="owner")
    for user in (anna, bo):
        say(project, item_of(project), user, "yes")
    maybe = Label.objects.get(project=project, name="maybe")
    answering.decide(project=project, item=item_of(project), reviewer=owner, label=maybe, now=NOW)
    assert stands(project) == (Status.ANSWERED, "maybe")
    assert Answer.objects.filter(withdrawn_at=None).count() == 3
    answering.undecide(project=project, item=item_of(project), reviewer=owner, now=NOW)
    assert stands(project) == (Status.ANSWERED, "yes")


def test_a_decision_stands_above_a_later_answer_where_one_is_wanted_too() -> None:
    project = several(1)
    [anna] = people(project, "anna")
    no = Label.objects.get(project=project, name="no")
    answering.decide(
        project=project, item=item_of(project), reviewer=User.objects.get(username="owner"), label=no, now=NOW
    )
    say(project, item_of(project), anna, "yes")
    assert stands(project) == (Status.ANSWERED, "no")
    assert weighing.labels(project) == [(0, no.pk)]


def test_a_deciders_own_answer_stays_beside_the_decision() -> None:
    project = several(2)
    owner = User.objects.get(username="owner")
    say(project, item_of(project), owner, "yes")
    no = Label.objects.get(project=project, name="no")
    answering.decide(project=project, item=item_of(project), reviewer=owner, label=no, now=NOW)
    current = Answer.objects.filter(item=item_of(project), withdrawn_at=None)
    assert set(current.values_list("purpose", "label__name")) == {
        (Purpose.LABEL, "yes"),
        (Purpose.DECISION, "no"),
    }
    # Undo on the labelling page takes back the answer, not the decision.
    answering.undo(project=project, author=owner, now=NOW)
    assert stands(project) == (Status.ANSWERED, "no")


def test_an_undone_answer_opens_the_item_again_for_others() -> None:
    project = several(2)
    anna, bo = people(project, "anna", "bo")
    for user in (anna, bo):
        say(project, item_of(project), user, "yes")
    answering.undo(project=project, author=bo, now=NOW)
    assert stands(project) == (Status.OPEN, None)
    assert Candidate.objects.get(item=item_of(project)).reason == {"code": "second"}


def test_skills_are_learned_and_labels_follow_them() -> None:
    project = several(3, items=30)
    anna, bo, cy = people(project, "anna", "bo", "cy")
    for row in range(30):
        right = ["yes", "no", "maybe"][row % 3]
        for user in (anna, bo):
            say(project, item_of(project, row), user, right)
        say(project, item_of(project, row), cy, "yes")
    # Anna is alone against Bo and Cy, who says the same whatever it is.
    lone = make.add_texts(project, ["torn"])[0]
    for user, said in ((anna, "no"), (bo, "maybe"), (cy, "yes")):
        say(project, lone, user, said)
    judging.judge(project)
    kept = Skills.objects.get(project=project)
    accuracy = dict(zip(kept.people, weighing.skill_of(kept).accuracy, strict=True))
    assert accuracy[cy.pk] < 0.5 < 0.85 < min(accuracy[anna.pk], accuracy[bo.pk])
    assert stands(project, 30)[1] in ("no", "maybe")
    number = kept.number
    judging.judge(project)
    assert Skills.objects.get(project=project).number == number  # nothing changed, nothing to weigh


def test_rebuilding_derives_the_same() -> None:
    project = several(2, items=8)
    crowd = people(project, "anna", "bo", "cy")
    chance = random.Random(2)
    for item in Item.objects.filter(project=project):
        for user in chance.sample(crowd, chance.randint(0, 2)):
            say(project, item, user, chance.choice(["yes", "no"]))
    judging.judge(project)
    before = list(Item.objects.filter(project=project).order_by("pk").values_list("pk", "status", "label"))
    tally = Project.objects.get(pk=project.pk).tally
    rebuilt = standing.rebuild(project)
    assert before == list(Item.objects.filter(project=project).order_by("pk").values_list("pk", "status", "label"))
    assert (rebuilt.answered, rebuilt.items) == (tally.answered, tally.items)


def test_more_overlap_opens_items_again_and_less_closes_them() -> None:
    project = several(1)
    [anna] = people(project, "anna")
    say(project, item_of(project), anna, "yes")
    for overlap, status in ((2, Status.OPEN), (1, Status.ANSWERED)):
        Project.objects.filter(pk=project.pk).update(overlap=overlap)
        judging.judge(Project.objects.get(pk=project.pk))
        assert stands(project)[0] == status


def test_what_was_answered_is_not_told_by_the_suggestion() -> None:
    project = several(2)
    anna, bo = people(project, "anna", "bo")
    with_foreseen(project, 0, "maybe", 0.4)
    [lease] = claim(project, anna, 1)
    say(project, lease.item, anna, "yes")
    Candidate.objects.exclude(item=lease.item).delete()
    [second] = claim(project, bo, 1)
    assert second.item == lease.item
    assert second.top[0][0] == Label.objects.get(project=project, name="maybe").pk


def test_a_lease_that_ran_out_goes_to_others_but_not_back_to_who_answered() -> None:
    project = several(2, items=1)
    anna, bo, cy = people(project, "anna", "bo", "cy")
    say(project, item_of(project), anna, "yes")
    claim(project, bo, 1)
    later = NOW + timedelta(hours=1)
    queueing.sweep(now=later)
    assert queueing.claim(project=project, user=anna, tab="", count=1, now=later) == []
    assert len(queueing.claim(project=project, user=cy, tab="", count=1, now=later)) == 1


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_an_export_tells_what_each_one_answered_and_how_that_became_the_label(pseudonyms: bool) -> None:
    project = several(3)
    for name, said in (("anna", "yes"), ("bo", "yes"), ("cy", "no")):
        say(project, item_of(project), *people(project, name), said)
    say(project, item_of(project, 1), *people(project, "anna"), "no")
    owner = User.objects.get(username="owner")
    maybe = Label.objects.get(project=project, name="maybe")
    answering.decide(project=project, item=item_of(project, 1), reviewer=owner, label=maybe, now=NOW)
    out = io.BytesIO()
    project.refresh_from_db()
    exporting.write(project, exporting.Options("csv", pseudonyms=pseudonyms), out)
    first, second = csv.DictReader(io.StringIO(out.getvalue().decode("utf-8-sig"), newline=""))
    assert (first["label"], first["answers"], first["agreement"]) == ("yes", "3", "0.6667")
    assert first["consensus"] == "dawid_skene"
    votes = json.loads(first["votes"])
    assert sorted(votes.values()) == ["no", "yes", "yes"]
    named = {"anna", "bo", "cy"}
    assert all(one.startswith("annotator-") for one in votes) if pseudonyms else set(votes) == named
    assert (second["label"], second["agreement"], second["consensus"]) == ("maybe", "0.0", "decision")
