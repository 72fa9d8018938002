"""Examining: gold items are mixed in unmarked, score who answers, label nothing; pauses and training follow."""

from __future__ import annotations

import random

import pytest
from django.utils import timezone

from labeling import annotators, auditors
from labeling.errors import BadField, Conflict, NotFound
from labeling.flow import answering, examining, queueing
from labeling.models import (
    Answer,
    Ask,
    Gold,
    Item,
    Label,
    Lease,
    Member,
    Project,
    Purpose,
    Reference,
    Role,
    Status,
    User,
)
from tests import factories, make

pytestmark = pytest.mark.django_db
NOW = make.NOW


@pytest.fixture
def project() -> Project:
    """Thirty items, all of them "no" by the file's hidden reference; ten of these are gold."""
    made = make.project(labels=["yes", "no"], texts=[f"item {row}" for row in range(30)])
    no = Label.objects.get(project=made, name="no")
    Reference.objects.bulk_create(Reference(item=item, label=no) for item in made.items.filter(row__lt=12))
    owner = User.objects.get(username="owner")
    examining.choose(project=made, source=Gold.Source.REFERENCE, count=10, by=owner, now=timezone.now())
    return Project.objects.select_related("tally").get(pk=made.pk)


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


def gold_of(project: Project) -> set[int]:
    return set(Gold.objects.filter(project=project).values_list("item", flat=True))


def claim(project: Project, user: User, count: int = 1, seed: int = 0) -> list[Lease]:
    chance = random.Random(seed)
    project.refresh_from_db()
    return queueing.claim(project=project, user=user, tab=user.username, count=count, now=timezone.now(), chance=chance)


def say(project: Project, item: Item, user: User, name: str) -> Answer:
    label = Label.objects.get(project=project, name=name)
    return answering.submit(project=project, item=item, author=user, label=label, now=timezone.now()).answer


def answer_all(project: Project, user: User, gold_says: str, most: int = 100) -> int:
    """This person answers what comes, gold items so; returns how many gold items came."""
    gold, seen = gold_of(project), 0
    for turn in range(most):
        leases = claim(project, user, seed=turn)
        if not leases:
            break
        seen += leases[0].item_id in gold
        say(project, leases[0].item, user, gold_says if leases[0].item_id in gold else "yes")
    return seen


def test_gold_items_have_a_label_and_are_asked_beside_the_queue(project: Project) -> None:
    assert len(gold_of(project)) == 10
    items = Item.objects.filter(pk__in=gold_of(project))
    assert set(items.values_list("status", "label__name")) == {(Status.ANSWERED, "no")}
    assert Ask.objects.filter(project=project, purpose="gold", lasting=True).count() == 10
    assert project.gold_share == examining.USUAL_SHARE


def test_they_come_at_the_set_rate_unmarked_and_to_nobody_twice(project: Project, anna: User) -> None:
    Project.objects.filter(pk=project.pk).update(gold_share=0.3)
    seen = answer_all(project, anna, "no")
    assert 2 <= seen <= 10
    given = Answer.objects.filter(author=anna)
    assert given.filter(purpose=Purpose.GOLD).count() == seen
    assert given.values("item").distinct().count() == given.count()
    # By its reason a gold item cannot be told from others that are asked without a suggestion.
    assert given.exclude(purpose=Purpose.GOLD).filter(reason="blind").exists()
    assert set(given.filter(purpose=Purpose.GOLD).values_list("reason", flat=True)) == {"blind"}


def test_each_person_meets_the_gold_items_in_an_order_of_their_own(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(training_items=10)
    orders = set()
    for seed, name in enumerate(["anna", "bo", "cy"]):
        user = make.member(project, Role.ANNOTATOR, name)
        order = []
        for turn in range(10):
            [lease] = claim(project, user, seed=100 * seed + turn)
            say(project, lease.item, user, "no")
            order.append(lease.item_id)
        assert set(order) == gold_of(project)
        orders.add(tuple(order))
    assert len(orders) == 3


def test_when_the_open_items_are_done_nobody_is_kept_with_gold(project: Project, anna: User) -> None:
    answer_all(project, anna, "no")
    assert Item.objects.filter(project=project, status=Status.OPEN).count() == 0
    assert claim(project, anna) == []


def test_a_gold_answer_scores_and_labels_nothing(project: Project, anna: User) -> None:
    Project.objects.filter(pk=project.pk).update(gold_share=0.5)
    seen = answer_all(project, anna, "yes")
    assert auditors.gold_score(project, [anna.pk]) == (0, seen)
    labels = Item.objects.filter(pk__in=gold_of(project)).values_list("label__name", flat=True)
    assert set(labels) == {"no"}
    told = next(one for one in annotators.describe(project, timezone.now())["people"] if one["name"] == "anna")
    assert (told["gold"]["right"], told["gold"]["of"]) == (0, seen)
    assert told["state"] == ("below" if told["gold"]["high"] < project.gold_threshold else told["state"])


def test_the_first_answer_counts_not_the_one_put_right_later(project: Project, anna: User) -> None:
    item = Item.objects.get(pk=min(gold_of(project)))
    Lease.objects.create(
        project=project, item=item, holder=anna, reason={"code": "blind"}, created_at=NOW, expires_at=timezone.now()
    )
    assert say(project, item, anna, "yes").purpose == Purpose.GOLD
    assert say(project, item, anna, "no").purpose == Purpose.GOLD
    assert auditors.gold_score(project, [anna.pk]) == (0, 1)


def test_who_lies_below_the_threshold_by_more_than_chance_is_paused_until_an_admin_lifts_it(
    project: Project, anna: User
) -> None:
    Project.objects.filter(pk=project.pk).update(gold_share=0.5, gold_pause=True, gold_threshold=0.8)
    seen = answer_all(project, anna, "yes")
    member = Member.objects.get(project=project, user=anna)
    assert member.paused_at is not None
    assert annotators.score(0, seen)["high"] < 0.8 <= annotators.score(0, seen - 1)["high"]
    told = factories.api(anna).get(f"/api/projects/{project.pk}/next").json()
    assert (told["items"], told["paused"]) == ([], ["owner"])
    owner = factories.browser(User.objects.get(username="owner"))
    assert "paused" in owner.get(f"/projects/{project.pk}/people").content.decode()
    form = {"do": "resume", "member": member.pk}
    assert owner.post(f"/projects/{project.pk}/people", form).status_code == 302
    assert claim(project, anna) != []
    with pytest.raises(Conflict):
        examining.resume(member=Member.objects.get(pk=member.pk), now=NOW)


def test_newcomers_are_trained_on_gold_items_and_told_at_once(project: Project, anna: User) -> None:
    Project.objects.filter(pk=project.pk).update(training_items=3)
    client, url = factories.api(anna), f"/api/projects/{project.pk}"
    said = ["no", "yes", "no"]
    for name in said:
        [item] = client.get(f"{url}/next?count=1").json()["items"]
        assert item["id"] in gold_of(project)
        assert item["suggestion"] is None
        body = {"item": item["id"], "label": name, "count": 0}
        told = client.post(f"{url}/answers/", body, format="json").json()["feedback"]
        no = Label.objects.get(project=project, name="no").pk
        assert told == {"right": name == "no", "label": no}
    assert Answer.objects.filter(author=anna, purpose=Purpose.TRAINING).count() == 3
    assert auditors.gold_score(project, [anna.pk]) == (0, 0)
    Project.objects.filter(pk=project.pk).update(gold_share=0)
    [item] = client.get(f"{url}/next?count=1").json()["items"]
    assert item["id"] not in gold_of(project)
    answer = client.post(f"{url}/answers/", {"item": item["id"], "label": "no", "count": 0}, format="json").json()
    assert "feedback" not in answer


def test_undoing_a_gold_answer_gives_it_again_without_a_sign(project: Project, anna: User) -> None:
    Project.objects.filter(pk=project.pk).update(training_items=1)
    [lease] = claim(project, anna)
    say(project, lease.item, anna, "yes")
    client = factories.api(anna)
    told = client.post(f"/api/projects/{project.pk}/undo", {"tab": "anna"}, format="json").json()
    assert told["item"]["id"] == lease.item_id
    assert told["item"]["suggestion"] is None


def test_by_hand_and_no_more(project: Project) -> None:
    owner = User.objects.get(username="owner")
    item, yes = Item.objects.get(project=project, row=29), Label.objects.get(project=project, name="yes")
    examining.set_by_hand(project=project, item=item, label=yes, by=owner, now=NOW)
    item.refresh_from_db()
    assert (item.status, item.label, item.gold.label) == (Status.ANSWERED, yes, yes)
    examining.unset(project=project, item=item)
    assert not Ask.objects.filter(item=item).exists()
    with pytest.raises(NotFound):
        examining.unset(project=project, item=item)


def test_sources_that_know_nothing_are_refused(project: Project) -> None:
    owner = User.objects.get(username="owner")
    with pytest.raises(Conflict):
        examining.choose(project=project, source=Gold.Source.IMPORTED, count=5, by=owner, now=NOW)
    with pytest.raises(BadField):
        examining.choose(project=project, source="guess", count=5, by=owner, now=NOW)
    page = factories.browser(owner)
    form = {"do": "gold", "count": "2", "source": "reference"}
    assert page.post(f"/projects/{project.pk}/settings", form).status_code == 302
    assert Gold.objects.filter(project=project).count() == 12
    assert page.post(f"/projects/{project.pk}/settings", form | {"count": "0"}).status_code == 422
    tests = {"do": "tests", "gold_share": "20", "gold_threshold": "90", "gold_pause": "on", "training_items": "5"}
    assert page.post(f"/projects/{project.pk}/settings", tests).status_code == 302
    project.refresh_from_db()
    assert (project.gold_share, project.gold_threshold, project.training_items) == (0.2, 0.9, 5)


def test_a_reviewer_makes_an_item_gold_sees_how_people_did_and_takes_it_back(project: Project, anna: User) -> None:
    client, address = factories.browser(make.member(project, Role.REVIEWER, "rita")), f"/projects/{project.pk}/gold"
    yes = Label.objects.get(project=project, name="yes")
    item = Item.objects.get(project=project, row=20)
    answering.decide(project=project, item=item, reviewer=anna, label=yes, now=NOW)
    page = client.get(f"/projects/{project.pk}/items/{item.pk}").content.decode()
    assert 'id="use-as-gold"' in page
    sent = client.post(address, {"do": "use", "item": item.pk, "label": yes.pk, "back": "item"})
    assert sent.headers["Location"] == f"/projects/{project.pk}/items/{item.pk}"
    assert Gold.objects.get(item=item).source == Gold.Source.DECISION
    page = client.get(f"/projects/{project.pk}/items/{item.pk}").content.decode()
    assert 'id="use-as-gold"' not in page
    Project.objects.filter(pk=project.pk).update(gold_share=0.5)
    say_blind(project, item, anna, "no")
    [told] = [one for one in annotators.gold_items(project) if one["gold"].item_id == item.pk]
    assert (told["right"], told["of"], told["wrong"]) == (
        0, 1, [{"who": "anna", "label": Label.objects.get(project=project, name="no").pk}]
    )  # fmt: skip
    listed = factories.api(User.objects.get(username="rita")).get(f"/api/projects/{project.pk}/gold/").json()
    assert listed["count"] == 11
    assert {"item", "row", "label", "source", "right", "of", "wrong"} == set(listed["results"][0])
    page = client.get(address).content.decode()
    assert page.index(f'data-item="{item.pk}"') == page.index("data-item=")  # what went wrong comes first
    client.post(address, {"do": "unset", "item": item.pk})
    assert not Gold.objects.filter(item=item).exists()
    assert client.post(address, {"do": "use", "item": "x", "label": yes.pk}).status_code == 404


def say_blind(project: Project, item: Item, user: User, name: str) -> None:
    """The answer to the item asked as gold."""
    Lease.objects.create(
        project=project, item=item, holder=user, reason={"code": "blind"}, created_at=NOW, expires_at=timezone.now()
    )
    say(project, item, user, name)
