"""Data cards: what goes out beside the data says what was measured, and only that; and it is harmless to open."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from django.utils import timezone
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from labeling import formats
from labeling.flow import auditing, exporting, importing, reviewing
from labeling.formats import document
from labeling.models import Certificate, Item, Label, Project, Reference, Role, Snapshot, User
from tests import factories, make
from tests.flow.test_auditing import settle
from tests.flow.test_importing import job_for

pytestmark = pytest.mark.django_db
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ACCURACY = re.compile(r"\d[\d.]* ?% right")


@pytest.fixture
def project() -> Project:
    made = factories.project(80, description="Letters to a bank.", guidelines="Say what they want.\n- One label each.")
    factories.snapshot(made, [0.99] * 80, [k % 3 for k in range(80)])
    return made


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


@pytest.fixture
def rita(project: Project) -> User:
    return make.member(project, Role.REVIEWER, "rita")


def packed(project: Project, format: str = "csv", **options: Any) -> dict[str, str]:
    """The files of an export with its card, as text."""
    out = io.BytesIO()
    exporting.write(project, exporting.Options(format, data_card=True, **options), out, now=WHEN)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}


def accept_all(project: Project, by: User) -> None:
    [snapshot] = Snapshot.objects.filter(project=project)
    reviewing.accept(project=project, reviewer=by, choice=reviewing.Choice(snapshot, threshold=0.0), now=WHEN)


def certified(project: Project, asker: User, auditor: User) -> Certificate:
    """A certificate that has passed."""
    started = auditing.start(project=project, asker=asker, eps=0.2, now=timezone.now())
    settle(started, auditor)
    return Certificate.objects.get(pk=started.pk)


def accept_certified(project: Project, by: User, one: Certificate) -> None:
    assert one.snapshot is not None
    reviewing.accept(project=project, reviewer=by, choice=reviewing.Choice(one.snapshot, certificate=one), now=WHEN)


def test_a_card_without_any_measurement_states_no_accuracy(project: Project, anna: User, rita: User) -> None:
    factories.answer(Item.objects.get(project=project, row=0), anna, factories.label(project, 0))
    accept_all(project, rita)
    files = packed(project)
    assert sorted(files) == ["data-card.html", "data-card.md", "labels.csv"]
    card = files["data-card.md"]
    for said in (
        "# Data card: ",
        "> Letters to a bank.",
        "| person | answered by a person | 1 | not measured |",
        "| accepted | suggested by the model and accepted by a person | 79 | not measured |",
        "How right these labels are was not measured",
        "Not measured: each item was asked of one person.",
        "None was decided when this file was written.",
        "> \\- One label each.",
        "2026-03-04 05:06 UTC",
        "| `certificate` |",
    ):
        assert said in card, said
    for text in (card, files["data-card.html"]):
        assert not ACCURACY.search(text)
    assert card.startswith("---\npretty_name: ")
    assert 'task_categories: ["text-classification"]\nsize_categories: ["n<1K"]\nconfigs: ' in card


def test_what_was_measured_is_told_with_its_interval_and_how(project: Project, anna: User, rita: User) -> None:
    label = factories.label(project, 0)
    for item in Item.objects.filter(project=project, row__lt=10):
        factories.answer(item, anna, label)
        right = label if item.row else factories.label(project, 1)
        Reference.objects.create(item=item, label=right)
    accept_all(project, rita)
    sample = auditing.start_sample(project=project, asker=rita, audits=20, accepted_only=True, now=timezone.now())
    settle(sample, anna)
    card = packed(project)["data-card.md"]
    assert "90.0% right (95 % interval 59.6% to 98.2%): compared with reference labels" in card
    assert re.search(
        r"100\.0% right \(95 % interval \d\d\.\d% to 100\.0%\): 20 of the 70 that there were on [\d-]+, drawn", card
    )
    assert "Over accepted suggestions together: 100.0% right" in card
    assert "not measured |" not in card


def test_labels_are_counted_by_origin_with_their_descriptions(project: Project, anna: User, rita: User) -> None:
    label = factories.label(project, 1)
    Label.objects.filter(pk=label.pk).update(description="Asks when | where")
    for item in Item.objects.filter(project=project, row__lt=4):
        factories.answer(item, anna, label)
    card = packed(project, include_suggestions=True)["data-card.md"]
    # Of 76 open items the snapshot says label 1 of rows 4, 7, ..., 79.
    assert f"| {label.name} | Asks when \\| where | 4 | 26 | 30 |" in card
    assert "76 labels are the model's alone" in card
    only = packed(project, origins=("person",), pseudonyms=True, min_confidence=0.5)["data-card.md"]
    assert "Labels of these origins were left out: accepted, imported." in only
    assert "below a confidence of 0.5 were left out" in only
    assert "anna" not in only


def test_certificates_are_told_in_words_and_as_records(project: Project, anna: User, rita: User) -> None:
    assert "certificate.json" not in packed(project, include_open=True)
    one = certified(project, rita, anna)
    held = packed(project, include_open=True)
    assert "No row of this file names it" in held["data-card.md"]
    accept_certified(project, rita, one)
    files = packed(project)
    told = json.loads(files["certificate.json"])
    assert [record["number"] for record in told["certificates"]] == [1]
    card = files["data-card.md"]
    for said in (
        "80 rows belong to the set of certificate 1",
        "Passed: at most 20.0% of 80 labels are wrong, with a confidence of at least 95%.",
        "Waudby-Smith & Ramdas 2024".replace("&", "\\&"),
        "How often the auditors err themselves is not known",
        "python -m metalearning verify",
    ):
        assert said in card, said


def test_a_certificate_that_failed_is_told_beside_one_that_passed(project: Project, anna: User, rita: User) -> None:
    started = auditing.start(project=project, asker=rita, eps=0.2, now=timezone.now())
    auditing.stop(certificate=started, now=timezone.now())
    accept_certified(project, rita, certified(project, rita, anna))
    files = packed(project)
    assert [(one["number"], one["state"]) for one in json.loads(files["certificate.json"])["certificates"]] == [
        (1, "given_up"),
        (2, "passed"),
    ]
    assert "Certificate 1. Given up: nothing is certified." in files["data-card.md"]


def test_agreement_is_told_where_several_answered(project: Project, anna: User, rita: User) -> None:
    Project.objects.filter(pk=project.pk).update(overlap=2)
    project.refresh_from_db()
    assert "Not measured: no item has answers of several people yet." in packed(project)["data-card.md"]
    for item in Item.objects.filter(project=project, row__lt=10):
        for person in (anna, rita):
            factories.answer(item, person, factories.label(project, item.row % 3))
    card = packed(project)["data-card.md"]
    assert "2 people gave answers; 10 items were answered by several." in card
    assert "| answers that are equal, of pairs | 100.0% | 100.0% to 100.0% |" in card


class Elements(HTMLParser):
    """The names of a page's elements, in order, and all addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def test_whatever_people_wrote_neither_card_runs_or_links_it(project: Project, rita: User) -> None:
    nasty = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) `a` | *b* &lt; <!-- \n# no heading\n1. no list"
    Project.objects.filter(pk=project.pk).update(name="</title><script>", description=nasty, guidelines=nasty)
    Label.objects.filter(pk=factories.label(project, 0).pk).update(name="<b>|</b>", description=nasty)
    project.refresh_from_db()
    files = packed(project)
    page = Elements()
    page.feed(files["data-card.html"])
    assert {"script", "img", "b", "a", "iframe"}.isdisjoint(page.names)
    assert not [name for name, _value in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in files["data-card.html"]
    front, _mark, body = files["data-card.md"].removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front)["pretty_name"] == "</title><script>"
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(body)
    inside = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inside]}
    assert {"html_block", "html_inline", "link_open", "image", "em_open", "s_open", "ordered_list_open"}.isdisjoint(
        kinds
    )
    assert sum(token.type == "heading_open" for token in tokens) == 11
    said = [token.content for token in inside if token.type == "text"]
    assert "<img src=x onerror=alert(1)> [x](javascript:alert(1)) `a` | *b* &lt; <!--" in "".join(said)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("a1 .)#-+=*_`~<>[]()|\\&$!\n:/"), max_size=30))
def test_markdown_says_what_was_written(text: str) -> None:
    """A Markdown reader other than the one in mind finds the text again, in a quote as in a cell."""
    made = document.markdown(
        document.Document("t", [document.Quote(f"x{text}"), document.Table(["h"], [[f"x{text}"]])], [])
    )
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(made)
    texts = [
        "".join("\n" if child.type == "softbreak" else child.content for child in token.children or ())
        for token in tokens
        if token.type == "inline"
    ]
    spaced = [" ".join(one.split()) for one in texts]
    wanted = " ".join(f"x{text}".split())
    assert " ".join(spaced[1:-2]).split() == wanted.split()
    assert spaced[-1] == wanted


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
def test_an_export_with_its_card_imports_again(project: Project, anna: User, rita: User, format: str) -> None:
    accept_certified(project, rita, certified(project, rita, anna))
    out = io.BytesIO()
    exporting.write(project, exporting.Options(format, data_card=True), out)
    other = make.project(labels=[label.name for label in project.labels.all()])
    importing.run(job_for(other, out.getvalue(), "again.zip"), lambda *told: None)  # type: ignore[arg-type]
    was = list(Item.objects.filter(project=project).order_by("row").values_list("text", "label__name"))
    assert list(Item.objects.filter(project=other).order_by("row").values_list("text", "label__name")) == was


def test_a_card_speaks_english_whoever_asks(project: Project, rita: User, anna: User) -> None:
    accept_certified(project, rita, certified(project, rita, anna))
    with override("zh-hans"):
        card = packed(project)["data-card.md"]
    assert re.findall("[\u4e00-\u9fff]", card) == []
