"""The items' API and browsing: filters, pages by place, history, correcting; a search that takes long."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from labeling import browsing
from labeling.models import Answer, Item, Mark, Project, Role
from tests import factories, make


@pytest.fixture
def project(db: None) -> Project:
    return factories.project(7)


@pytest.fixture
def rita(project: Project) -> APIClient:
    return factories.api(make.member(project, Role.REVIEWER, "rita"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}/items"


def _rows(client: APIClient, address: str) -> list[int]:
    return [item["row"] for item in client.get(address).json()["results"]]


def test_pages_follow_one_another(rita: APIClient, base: str) -> None:
    first = rita.get(f"{base}?limit=3").json()
    second = rita.get(f"{base}?limit=3&cursor={first['next']}").json()
    third = rita.get(f"{base}?limit=3&cursor={second['next']}").json()
    assert [[item["row"] for item in page["results"]] for page in (first, second, third)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert third["next"] is None


def test_filters(rita: APIClient, base: str, project: Project) -> None:
    label = factories.label(project, 1)
    items = list(Item.objects.filter(project=project).order_by("row"))
    factories.answer(items[2], make.user("owner"), label)
    Mark.objects.create(project=project, item=items[4], author=make.user("owner"), code="flag", created_at=make.NOW)
    Item.objects.filter(pk=items[5].pk).update(external_id="ext-5")
    assert _rows(rita, f"{base}?status=answered") == [2]
    assert _rows(rita, f"{base}?status=open") == [0, 1, 3, 4, 5, 6]
    assert _rows(rita, f"{base}?label={label.pk}") == [2]
    assert _rows(rita, f"{base}?flagged=true") == [4]
    assert _rows(rita, f"{base}?flagged=true&status=answered") == []
    assert _rows(rita, f"{base}?q=NUMBER 3 take") == [3]
    assert _rows(rita, f"{base}?q=ext-5") == [5]
    assert _rows(rita, f"{base}?q=%25") == [], "a per cent sign stands for itself"


@pytest.mark.parametrize("query", ["status=done", "label=x", "cursor=x", "limit=0", "limit=1000", "flagged=perhaps"])
def test_queries_that_cannot_be_are_refused(rita: APIClient, base: str, query: str) -> None:
    assert rita.get(f"{base}?{query}").status_code == 422


def test_an_item_says_what_the_model_thinks_and_who_said_what(rita: APIClient, base: str, project: Project) -> None:
    factories.snapshot(project, [0.75] * 7, [1] * 7)
    item = Item.objects.get(project=project, row=0)
    factories.answer(item, make.user("owner"), factories.label(project, 0))
    shown = rita.get(f"{base}/{item.pk}").json()
    assert shown["suggestion"] == {"label": factories.label(project, 1).pk, "confidence": 0.75}
    assert (shown["status"], shown["label"]) == ("answered", factories.label(project, 0).pk)
    assert [(event["event"], event["who"], event["label"]) for event in shown["history"]] == [
        ("answer", "owner", "Card arrival")
    ]


def test_a_correction_takes_the_others_place_once(rita: APIClient, base: str, project: Project) -> None:
    item = Item.objects.get(project=project, row=0)
    factories.answer(item, make.user("owner"), factories.label(project, 0))
    body = {"label": "Exchange rate", "key": str(uuid.uuid4())}
    answers = [rita.post(f"{base}/{item.pk}/correct", body, format="json") for _twice in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    current = Answer.objects.filter(item=item, withdrawn_at=None)
    assert [(answer.author.username, answer.label.name) for answer in current if answer.author] == [
        ("rita", "Exchange rate")
    ]
    assert [event["event"] for event in answers[1].json()["history"]].count("answer") == 2
    assert rita.post(f"{base}/{item.pk}/correct", {"label": "nope"}, format="json").json()["code"] == "unknown_label"


def test_flags_are_taken_off_all_at_once(rita: APIClient, base: str, project: Project) -> None:
    item = Item.objects.get(project=project, row=1)
    for name in ("owner", "rita"):
        Mark.objects.create(project=project, item=item, author=make.user(name), code="flag", created_at=make.NOW)
    assert rita.get(f"{base}/{item.pk}").json()["flagged"] is True
    assert rita.delete(f"{base}/{item.pk}/flags").status_code == 204
    assert rita.get(f"{base}/{item.pk}").json()["flagged"] is False


def test_a_search_that_takes_long_says_how_far_it_came(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "WINDOW", 2)
    clock = itertools.count(0, 1.0).__next__  # a second passes at each look
    found = browsing.page(project, browsing.Filters(text="number 6"), clock=clock)
    assert (found.items, found.unfinished, found.after) == ([], True, 3)
    rest = browsing.page(project, browsing.Filters(text="number 6"), after=found.after, clock=clock)
    assert ([item.row for item in rest.items], rest.unfinished) == ([6], False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answered=st.sets(st.integers(0, 6)),
    flagged=st.sets(st.integers(0, 6)),
    window=st.integers(1, 9),
    limit=st.integers(1, 8),
    filters=st.builds(
        browsing.Filters,
        status=st.sampled_from(["", "open", "answered"]),
        flagged=st.booleans(),
        text=st.sampled_from(["", "number", "4", "6 take"]),
    ),
)
def test_walking_the_pages_finds_what_looking_at_every_item_does(
    project: Project, answered: set[int], flagged: set[int], window: int, limit: int, filters: browsing.Filters
) -> None:
    Mark.objects.all().delete()
    Item.objects.update(status="open")
    Item.objects.filter(row__in=answered).update(status="answered")
    items = list(Item.objects.order_by("row"))
    owner = make.user("owner")
    Mark.objects.bulk_create(
        Mark(project=project, item=items[row], author=owner, code="flag", created_at=make.NOW) for row in flagged
    )
    expected = [
        row
        for row, item in enumerate(items)
        if filters.text in item.text
        and (not filters.status or (row in answered) == (filters.status == "answered"))
        and (not filters.flagged or row in flagged)
    ]
    found: list[int] = []
    after: int | None = -1
    original, browsing.WINDOW = browsing.WINDOW, window
    try:
        while after is not None:
            page = browsing.page(project, filters, after=after, limit=limit)
            found += [item.row for item in page.items]
            assert len(page.items) == limit or page.after is None
            after = page.after
    finally:
        browsing.WINDOW = original
    assert found == expected
