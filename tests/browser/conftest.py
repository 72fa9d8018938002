"""Browsers that are signed in, on a site that the test session starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.site import NotBuilt, Site, site
from tests.services import Unavailable, redis_server

PATIENCE = 30_000  # milliseconds until what a page should show counts as missing; a busy machine takes seconds
expect.set_options(timeout=PATIENCE)
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
AXE = Path(__file__).parents[2] / "static/node_modules/axe-core/axe.min.js"
IN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .map(({id, nodes}) => [id, ...nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`)].join("; "))"""


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application, for all browser tests; each makes the rows it needs. With live events where Redis can be had."""
    folder = tmp_path_factory.mktemp("site")
    try:
        with redis_server() as redis, site(folder, redis) as running:
            yield running
    except Unavailable:
        with site(folder) as running:
            yield running
    except NotBuilt as reason:
        pytest.skip(str(reason))


@pytest.fixture
def open_as(running_site: Site, browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A browser of one person, by the session cookie that `running_site.run` made: open_as(cookie, narrow=True)."""
    contexts: list[BrowserContext] = []

    def enter(cookie: str, *, narrow: bool = False, dark: bool = False, **more: Any) -> BrowserContext:
        context = browser.new_context(
            base_url=running_site.url,
            viewport=NARROW if narrow else WIDE,
            has_touch=narrow,
            color_scheme="dark" if dark else "light",
            **more,
        )
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": running_site.url}])
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        return context

    yield enter
    for context in contexts:
        context.close()


@pytest.fixture
def serious() -> Callable[[Page], list[str]]:
    """What axe-core finds on a page that is serious or critical."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run npm ci in static/")

    def find(page: Page) -> list[str]:
        # As a file's text in an evaluated call: the page's security policy forbids a script element.
        page.evaluate(AXE.read_text())
        return page.evaluate(IN_AXE)

    return find
