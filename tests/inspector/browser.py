"""A real browser, and windows in it that notice whatever is wrong with what they show."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    Route,
    expect,
    sync_playwright,
)

PATIENCE = 60_000
"""Milliseconds that anything on a page may take, and that a test waits for what it expects."""

expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; where there is none the tests that need it are skipped, except in CI.

    While it runs there is an event loop in this thread, so it is closed at the end of a module.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        reason = "no chromium to be found"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    quiet = "gpu quic background-networking component-update sync"
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{each}" for each in quiet.split())]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@contextmanager
def window(browser: Browser, address: str, **options: Any) -> Iterator[BrowserContext]:
    """A window; whatever was wrong with what it showed makes the test fail.

    That is an error in a script, anything that the browser refused, a dialog, an answer that is
    missing, and a request to anywhere else.
    """
    context = browser.new_context(base_url=address, locale="en", **options)
    context.set_default_timeout(PATIENCE)
    trouble: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        # The browser itself mentions every answer that is an error; see note_response().
        if message.type in ("error", "warning") and "Failed to load" not in message.text:
            trouble.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith(address):
            trouble.append(request.url)

    def note_response(response: Response) -> None:
        if response.status == 404 and response.request.method == "GET":
            trouble.append(response.url)

    context.on("weberror", lambda error: trouble.append(str(error.error)))
    context.on("dialog", lambda dialog: trouble.append(dialog.message))
    context.on("console", note_message)
    context.on("request", note_request)
    context.on("response", note_response)
    try:
        yield context
    finally:
        context.close()
    assert trouble == []


def requests(page: Page) -> Locator:
    """The rows of the list of requests."""
    return page.locator("[data-request]:visible")


def open_request(page: Page, number: int) -> None:
    """Go to a request, and wait until it is shown."""
    page.goto(f"#requests/{number}")
    expect(page.locator("#request-detail")).to_be_visible()


def chosen(page: Page) -> Locator:
    """The step that is chosen."""
    return page.locator('[data-step][aria-selected="true"]')


def cards(page: Page, kind: str) -> Locator:
    """The key moments of a kind."""
    return page.locator(f'[data-moment][data-kind="{kind}"]')


def statement(page: Page, sql: str) -> Locator:
    """The rows of the statements that have these words."""
    return page.locator("[data-statement]:visible").filter(has_text=sql)


def steps(page: Page, **having: str) -> Locator:
    """The rows of the execution table that have these words in these columns."""
    rows = page.locator("#execution [data-step]:visible")
    for column, words in having.items():
        rows = rows.filter(has=page.locator(f".{column}", has_text=words))
    return rows


def column(page: Page, name: str) -> Locator:
    """What stands in a column of the execution table."""
    return page.locator(f"#execution [data-step]:visible .{name}")


def expect_drawn(view: Locator) -> None:
    """Wait until a view shows what the server knows, so that it can be read at once."""
    expect(view).to_be_visible()
    expect(view).not_to_have_attribute("aria-busy", "true")


def hold_back(page: Page, address: str) -> list[Route]:
    """Keep the next request to such an address from being answered; the list has it then."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(address, hold, times=1)
    return held


def until(page: Page, condition: Callable[[], object]) -> None:
    """Wait for something outside of the page, while what the page asks for is looked after."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        page.wait_for_timeout(20)


def hard_to_read(page: Page, seen: str, most: float = 4.5) -> list[tuple[str, float]]:
    """The elements whose text has too little contrast to what is behind it, and the contrast."""
    found: list[tuple[str, float]] = page.evaluate(_CONTRASTS, seen)
    assert len(found) > 8
    return [(text, contrast) for text, contrast in found if contrast < most]


_CONTRASTS = """(seen) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color, under = "white") => {
    for (const each of [under, color]) {
      canvas.fillStyle = each;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const css = (rgb) => `rgb(${rgb.join(" ")})`;
  const light = (rgb) => rgb
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  // What is behind may shine through.
  const behind = (element) => element
    ? channels(getComputedStyle(element).backgroundColor, css(behind(element.parentElement)))
    : channels("white");
  const contrast = (element) => {
    const back = behind(element);
    const pair = [channels(getComputedStyle(element).color, css(back)), back].map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const text = (element) => [...element.childNodes]
    .some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.querySelectorAll(seen)]
    .filter((each) => text(each) && each.checkVisibility() && !each.closest(":disabled"))
    .map((each) => [each.outerHTML.slice(0, 80), contrast(each)]);
}"""


def sideways(page: Page) -> Literal[True] | list[str]:
    """True if nothing has to be scrolled sideways; else what sticks out."""
    if page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
        return True
    found: list[str] = page.evaluate(
        """[...document.body.querySelectorAll("*")]
          .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
          .map((each) => each.outerHTML.slice(0, 80))"""
    )
    return found
