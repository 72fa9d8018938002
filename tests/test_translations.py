"""Translations: every text that people read is in the catalogue, in Chinese, and no page forgets to ask."""

from __future__ import annotations

import io
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import polib
import pytest
from django.contrib.humanize.templatetags.humanize import intcomma
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, trans_real

from deploy.translations import compile_catalogue
from labeling import dispatch, formats
from labeling import pages as page_modules
from labeling.errors import NotFound
from labeling.models import Checkpoint, Job, User
from tests import make
from tests.test_access import PATTERNS, World, world  # noqa: F401  # a fixture

ROOT = Path(__file__).parent.parent
CATALOGUE = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
TEMPLATES = sorted((ROOT / "templates").glob("**/*.html"))
SCRIPTS = sorted((ROOT / "static" / "src").glob("**/*.ts"))

CHINESE = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[A-Za-z]{2,}")
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd%]")
# Names stay what they are in every language.
NAMES = re.compile(
    r"Annotator|English|API|ID|CSV|TSV|TXT|ZIP|JSON Lines|JSON|Parquet|Hugging Face|Label Studio|MiniLM"
    r"|EfficientNet-lite0|Authorization: Token …"
)
READ_ALOUD = ("alt", "aria-label", "data-confirm", "data-copied", "data-title", "placeholder", "title")
SILENT = ("code", "kbd", "script", "style")
VOID = ("br", "hr", "img", "input", "link", "meta")


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """The catalogue as Django reads it; set-up makes it too."""
    product = CATALOGUE.with_suffix(".mo")
    if not product.exists() or product.stat().st_mtime < CATALOGUE.stat().st_mtime:
        compile_catalogue(CATALOGUE)
        trans_real._translations.clear()


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(CATALOGUE))


class Reader(HTMLParser):
    """What a page shows and reads aloud, but for keys, code and scripts; `lang` is the page's language."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.lang: str | None = None
        self._open: list[str] = []
        self._others: int | None = None  # how deep the part in another language lies
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "html":
            self.lang = values.get("lang")
        elif values.get("lang") and self._others is None:
            self._others = len(self._open)
        self.texts += [value for name in READ_ALOUD if (value := values.get(name))]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if self._others is not None and len(self._open) < self._others:
            self._others = None

    def handle_data(self, data: str) -> None:
        if self._others is None and not any(tag in SILENT for tag in self._open) and data.strip():
            self.texts.append(data.strip())


def bare(template: str) -> list[str]:
    """Words that a template shows without asking for their translation."""
    said = re.sub(r"{#.*?#}", "", template)
    said = re.sub(r"{%\s*blocktranslate.*?{%\s*endblocktranslate\s*%}", "", said, flags=re.DOTALL)
    said = re.sub(r"{% block \w+_class %}.*?{% endblock %}", "", said)
    said = re.sub(r"{%.*?%}|{{.*?}}", "", said)
    return [text for text in Reader(said).texts if WORD.search(NAMES.sub("", text))]


def placeholders(text: str) -> Counter[str]:
    return Counter(PLACEHOLDER.findall(text))


def test_the_catalogue_has_every_text_of_the_code(tmp_path: Path) -> None:
    """As `make messages` finds them, in a copy, so that the test changes nothing here."""
    if not shutil.which("xgettext"):
        pytest.skip("xgettext is not installed (apt install gettext)")
    for name in ("annotator", "labeling", "templates", "locale"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    subprocess.run([sys.executable, "manage.py", "messages"], cwd=tmp_path, check=True, capture_output=True)
    extracted = polib.pofile(str(tmp_path / CATALOGUE.relative_to(ROOT)))
    assert len(extracted) > 700
    missing = [entry.msgid for entry in extracted if not entry.translated() or entry.fuzzy]
    assert not missing, "Run `make messages` and translate these in locale/zh_Hans/LC_MESSAGES/django.po."


def test_every_entry_is_translated_and_none_is_a_guess(catalogue: polib.POFile) -> None:
    assert not [entry.msgid for entry in catalogue if not entry.translated() or entry.fuzzy]
    assert not catalogue.obsolete_entries()
    assert catalogue.metadata["Plural-Forms"] == "nplurals=1; plural=0;"
    assert all(set(entry.msgstr_plural) == {0} for entry in catalogue if entry.msgid_plural)


def test_placeholders_agree(catalogue: polib.POFile) -> None:
    for entry in catalogue:
        if "python-format" not in entry.flags:
            continue
        told = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        # A singular may leave its number out where the plural has it; a language with one form needs it.
        asked = placeholders(entry.msgid_plural or entry.msgid)
        assert placeholders(told) == asked, entry.msgid
        assert told % dict.fromkeys(re.findall(r"%\((\w+)\)", told), 1)


def test_markup_and_ends_of_sentences_agree(catalogue: polib.POFile) -> None:
    for entry in catalogue:
        told = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        assert re.findall(r"<[^>]+>", told) == re.findall(r"<[^>]+>", entry.msgid), entry.msgid
        assert told.endswith("。") == (entry.msgid.endswith(".") and entry.msgid != "No."), entry.msgid
        assert told.endswith("…") == entry.msgid.endswith("…"), entry.msgid


def test_the_catalogue_names_no_machine(catalogue: polib.POFile) -> None:
    assert not {"Report-Msgid-Bugs-To", "POT-Creation-Date"} & set(catalogue.metadata)
    assert not [where for entry in catalogue for where in entry.occurrences if where[0].startswith("/") or where[1]]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_shows_no_bare_text(path: Path) -> None:
    assert bare(path.read_text()) == []


def test_the_scanner_sees_bare_text() -> None:
    assert bare('<p>{% translate "Fine" %} {{ name }}</p>') == []
    assert bare("<p>{% if found %}Not asked for{% endif %}</p>") == ["Not asked for"]
    assert bare('<button aria-label="Close">✕</button>') == ["Close"]
    assert bare('<input placeholder="{% translate "Find" %}"><kbd>Esc</kbd>') == []


def pages(world: World) -> Iterator[tuple[str, str]]:  # noqa: F811
    """Every address that answers a signed-in admin's GET with a page of ours: its name and address."""
    for name, pattern in PATTERNS.items():
        if not name.startswith("api_") and name not in ("docs", "events", "schema", "signout", "set_language"):
            yield name, reverse(name, kwargs={key: world.ids[key] for key in pattern.pattern.regex.groupindex})


@pytest.fixture
def reader(world: World) -> Client:  # noqa: F811
    """The project's admin, who may also make projects, in Chinese."""
    User.objects.filter(username="owner").update(is_staff=True, language="zh-hans")
    client = Client(headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.5"})
    client.force_login(User.objects.get(username="owner"))
    return client


@pytest.mark.django_db
def test_every_page_is_in_chinese(world: World, reader: Client) -> None:  # noqa: F811
    """No text of ours is left in English; what people named themselves may be anything."""
    theirs = _theirs(world)
    seen = set()
    for name, address in pages(world):
        response = reader.get(address)
        if response.headers["Content-Type"].startswith("text/html") and response.status_code == 200:
            seen.add(name)
            _is_chinese(name, response.content.decode(), theirs)
    assert {"projects", "label", "review", "import", "export", "settings", "overview", "data", "item"} <= seen
    assert {"models", "people", "account", "project_new", "invitation"} <= seen


@pytest.mark.django_db
def test_pages_without_a_person_are_in_the_browsers_language(world: World) -> None:  # noqa: F811
    client = Client(headers={"accept-language": "zh-CN"})
    for address in (reverse("signin"), reverse("invitation", args=[world.ids["token"]])):
        _is_chinese(address, client.get(address).content.decode(), _theirs(world))
    refused = client.get("/no/such/page")
    assert refused.status_code == 404
    _is_chinese("404", refused.content.decode(), _theirs(world))


@pytest.mark.django_db
def test_refusals_are_in_chinese(reader: Client) -> None:
    page = reader.get(reverse("overview", args=[10**6]))
    assert "这里没有这个项目。" in page.content.decode()
    told = reader.get(f"/api/projects/{10**6}/").json()
    assert told == {"code": "not_found", "detail": "这里没有这个项目。", "fields": {}}


def _theirs(world: World) -> re.Pattern[str]:  # noqa: F811
    """What people wrote themselves: names, labels, texts; and the columns of an exported file."""
    project = world.project
    words = {project.name, "owner", "anna", "rita", "other", "stranger", "a.csv", "t.csv"}
    words |= set(project.labels.values_list("name", flat=True)) | set(project.items.values_list("text", flat=True))
    words |= set(Checkpoint.objects.exclude(origin="fixed").values_list("name", flat=True))
    words |= set(project.items.values_list("name", flat=True)) | set(User.objects.values_list("username", flat=True))
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if word))


def _is_chinese(name: str, html: str, theirs: re.Pattern[str]) -> None:
    page = Reader(html)
    assert page.lang == "zh-Hans", name
    assert CHINESE.search(" ".join(page.texts)), name
    english = [
        text for text in page.texts if not CHINESE.search(text) and WORD.search(NAMES.sub("", theirs.sub("", text)))
    ]
    assert english == [], name


def _strings() -> dict[str, str]:
    """Every string of every script, in the language of now."""
    known: dict[str, str] = {}
    for found in pkgutil.iter_modules(page_modules.__path__):
        page = import_module(f"{page_modules.__name__}.{found.name}")
        known |= getattr(page, "_strings", dict)()
    return known


def test_scripts_get_their_strings_in_chinese() -> None:
    with translation.override("zh-hans"):
        told = _strings()
    english = [text for text in told.values() if WORD.search(NAMES.sub("", re.sub(r"%\(\w+\)s", "", text)))]
    assert english == []


def test_scripts_ask_for_strings_that_pages_give() -> None:
    asked = {key for path in SCRIPTS for key in re.findall(r"\bt\(\s*\"([^\"]+)\"", path.read_text())}
    assert len(asked) > 80
    assert asked - set(_strings()) == {"Copied"}  # its page says it in the button itself, as data-copied


def test_scripts_show_no_bare_text() -> None:
    shown = re.compile(r"(?:textContent|title|placeholder|ariaLabel) = \"[^\"]*[a-z]{2}|\btoast\(\"|\"aria-label\": \"")
    assert [path.name for path in SCRIPTS if shown.search(path.read_text())] == []


@pytest.mark.django_db
@pytest.mark.usefixtures("on_the_spot")
def test_a_job_reports_in_the_language_of_whoever_asked(django_capture_on_commit_callbacks: Any) -> None:
    project = make.project()
    with translation.override("zh-hans"), django_capture_on_commit_callbacks(execute=True):
        job = dispatch.start(project, Job.Kind.IMPORT, {"upload": 0})
        translation.activate("en")  # as in a worker, which has no language of its own
    job.refresh_from_db()
    assert job.error == "上传的文件已不存在；请重新上传。"


@pytest.mark.django_db
def test_a_job_given_up_says_so_in_the_language_of_whoever_asked() -> None:
    project = make.project()
    facts = {"state": Job.State.RUNNING, "heartbeat_at": make.NOW, "attempt": dispatch.MOST_ATTEMPTS}
    for language in ("zh-hans", ""):
        Job.objects.create(project=project, kind=Job.Kind.EXPORT, created_at=make.NOW, language=language, **facts)
    dispatch.resend()
    chinese, english = Job.objects.order_by("pk")
    assert CHINESE.search(chinese.error)
    assert english.error.startswith("The worker ended")


def test_columns_without_a_name_are_called_alike_in_every_language() -> None:
    """The page names the column in its reader's language, the worker looks for it in another."""
    with translation.override("zh-hans"):
        found = formats.sniff(io.BytesIO("好,坏\n左,右\n".encode()), "a.csv", formats.Given(header=False))
    assert found.columns == ["column 1", "column 2"]


def test_numbers_are_grouped_alike_in_every_language() -> None:
    """Django would write 12345 in Chinese, and the scripts 12,345 beside it."""
    with translation.override("zh-hans"):
        assert intcomma(12345) == "12,345"


def test_words_with_two_meanings_are_two_words() -> None:
    with translation.override("zh-hans"):
        assert gettext("Label") == "标签"
        assert translation.pgettext("to give labels", "Label") == "标注"
        assert str(NotFound("label")) == "这里没有这个标签。"
