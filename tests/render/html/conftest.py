"""A real Chromium: tests are skipped if none is installed, unless HF_SALIENCY_REQUIRE_BROWSER=1 requires it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None or importlib.util.find_spec("playwright") is None:
        reason = "no Chromium is installed (apt-get install chromium), or no Playwright to drive it"
        if os.environ.get("HF_SALIENCY_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Playwright creates a new profile folder for each launch and deletes it.
        running = driver.chromium.launch(executable_path=found, headless=False, args=FLAGS)
        yield running
        running.close()


class Visit:
    """A page in the browser, with everything that it logs and requests."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 800, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.logged: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.logged.append("a dialog"), dialog.dismiss()))
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.context.on("page", lambda _: self.logged.append("a new page"))

    def open(self, path: os.PathLike[str]) -> Visit:
        address = Path(path).as_uri()
        self.page.goto(address)
        assert self.requested == [address]
        return self

    def colors(self, facet: int = 0) -> list[str]:
        """Return the colours in which the browser paints the words of a facet."""
        found = self.page.evaluate(
            """facet => [...document.querySelectorAll('.facet .token-content')[facet].children]
            .filter(span => span.className).map(span => getComputedStyle(span).backgroundColor)""",
            facet,
        )
        return ["#" + "".join(f"{int(c):02x}" for c in rgb[4:-1].split(", ")) for rgb in found]

    def word(self, unit: int, facet: int = 0) -> Any:
        contents = self.page.locator(".facet .token-content").nth(facet)
        return contents.locator('span[class*="p"], span[class*="n"], span.missing').nth(unit)

    def quiet(self) -> None:
        """Check that nothing was logged and that only the file was requested."""
        assert self.logged == []
        assert len(self.requested) == 1
        assert self.requested[0].startswith("file:")


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    opened: list[Visit] = []

    def new(**options: Any) -> Visit:
        opened.append(Visit(browser, **options))
        return opened[-1]

    yield new
    for one in opened:
        one.context.close()
