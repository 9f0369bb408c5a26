"""Whatever strings come from anybody: nothing runs, all is shown as text, and no stream breaks.

That nothing runs and nothing is fetched is noticed by the window of every test: see browser.window.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.inspector.browser import expect_drawn, steps, window
from tests.inspector.shop import HOSTILE, LINK, SCRIPT, UNSEEN

if TYPE_CHECKING:
    from tests.inspector.conftest import Open, Shop

TEXTS = {"markup": HOSTILE, "script": SCRIPT, "link": LINK, "unseen": UNSEEN}
SEEN = {**TEXTS, "unseen": r"a\u202eb\u200bc\x1b[31md\u2028e\x00f"}
"""How they are shown: what cannot be seen, or would turn round what stands beside it, is named."""

VIEWS = ["now", "requests", "moments", "statements"]


def expect_text_alone(page: Page) -> None:
    """No element, link or attribute has been made of any text."""
    assert page.locator("img, iframe, object, embed, base, body script, body style").count() == 0
    found = page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((element) =>
          [...element.attributes]
            .filter(({ name, value }) => name.startsWith("on") || name === "srcdoc"
              || (["href", "src", "action", "formaction", "xlink:href"].includes(name)
                && !/^(#|[\\w.]+$)/.test(value)))
            .map(({ name, value }) => `${name}=${value}`))"""
    )
    assert found == []


@pytest.mark.parametrize("which", TEXTS)
def test_a_request_made_of_hostile_strings_is_shown_as_text(
    shop: Shop, page: Page, which: str
) -> None:
    text, seen = TEXTS[which], SEEN[which]
    number = shop.number(f"/strange/{quote(text)}", params={"which": which, "fail": True})
    shop.get(f"/strange/{quote(text)}", params={"which": which})
    recorded = shop.recorded(number)
    last = len(recorded["prologue"]) + len(recorded["steps"])

    page.goto("#requests")
    row = page.locator(f'[data-request="{number}"]')
    expect(row.locator(".path")).to_have_text(f"/strange/{seen}")
    expect(row.locator(".status")).to_have_text("500")
    expect(row.locator(".warnings")).to_contain_text("OperationalError")
    page.locator("#filter").fill(text.replace("\x00", ""))
    expect(page.locator("#request-count")).to_contain_text(" of 3 requests")
    expect_text_alone(page)
    page.locator("#filter").fill("")
    expect(page.locator("#request-count")).to_have_text("3 requests")

    row.click()
    expect(page.locator("#request-title")).to_have_text(f"GET /strange/{seen}")
    page.locator("#request-moments li[data-kind='error'] button").click()
    # Of its message numbers are left out, which may be values.
    said = re.split(r"\d\)|\\x1b", seen)[0]
    expect(page.locator(".step-detail .failure")).to_contain_text(f"no such table: {said}")
    detail = page.locator(".step-detail")
    chosen = page.locator('#execution [data-step][aria-selected="true"]')
    page.keyboard.press("Home")
    for position in range(1, last + 1):
        expect(chosen.locator(".step")).to_have_text(str(position))
        expect_text_alone(page)
        page.keyboard.press("ArrowRight")
    # The file, the name of the task and the SQL.
    steps(page, action="Query sent: SELECT").nth(2).click()
    expect(detail.locator(".file")).to_contain_text(f"shop/{seen}.py:3".replace(r"\x00", ""))
    expect(detail).to_contain_text(seen)
    steps(page, action="Query sent: SELECT").nth(0).click()
    expect(detail.locator("pre")).to_contain_text(seen.replace(r"\x00", ""))
    page.locator("#tracker").scroll_into_view_if_needed()

    for view in VIEWS:
        page.goto(f"#{view}")
        expect_drawn(page.locator(f"#view-{view}"))
        expect_text_alone(page)
    statements = page.locator("[data-statement]:visible")
    expect(statements).not_to_have_count(0)
    for row in statements.all():
        row.click()
        expect(row).to_have_attribute("aria-selected", "true")
        expect_text_alone(page)


def test_a_name_that_waits_or_holds_is_shown_as_text(shop: Shop, page: Page) -> None:
    page.goto("#now")
    holding = shop.call(f"/hold?key=one&name={quote(HOSTILE)}")
    held = page.locator('[data-lane][data-state="held"]')
    expect(held.locator(".task")).to_have_text(HOSTILE)
    writing = shop.call(f"/write?name={quote(SCRIPT)}")
    waiter = page.locator("[data-waiter]")
    expect(waiter.locator(".task")).to_have_text(SCRIPT)
    expect(waiter).to_have_attribute("data-waiter", SCRIPT)
    expect(waiter.locator(".blockers")).to_contain_text(HOSTILE)
    waiter.get_by_role("button", name="Cancel").click()
    expect(page.locator("#said")).to_contain_text("Cancelled: UPDATE orders")
    assert writing.result().text == '"cancelled"'
    expect_text_alone(page)
    shop.get("/let-go?key=one")
    holding.result()


def test_a_megabyte_of_sql_is_shown_in_part(shop: Shop, page: Page) -> None:
    number = shop.number("/long")
    shop.recorded(number)
    page.goto(f"#requests/{number}")
    steps(page, action="Query sent: SELECT").click()
    code = page.locator(".step-detail pre")
    expect(code).to_contain_text(f"SELECT 1 AS one /* {HOSTILE}xxx")
    assert page.evaluate("document.body.innerText.length") < 100_000
    page.goto("#statements")
    page.locator("[data-statement]:visible").click()
    expect(page.locator("#statement-detail pre")).to_be_visible()
    assert page.evaluate("document.documentElement.outerHTML.length") < 300_000
    expect_text_alone(page)


@pytest.mark.parametrize(
    "route",
    [
        *("#<img src=x onerror=alert(1)>", "#requests/<b>/2", "#moments/%3Cb%3E", "#javascript:1"),
        *("#requests/1e9", "#requests/-1", "#requests/" + "9" * 400, "#moments/999"),
        *("#/", "#now/x"),
        *("#__proto__", "#constructor/1", "#requests/1/../../x", "#requests/0x10/1"),
    ],
    ids=lambda route: route[:20],
)
def test_an_address_from_anybody_opens_some_view(page: Page, route: str) -> None:
    page.goto(route)
    expect_drawn(page.locator("main > section:visible"))
    expect(page.locator("body")).to_have_attribute("data-connection", "live")
    expect_text_alone(page)


# The streams.


def events(shop: Shop, asked: str, until: str) -> dict[str, Any]:
    """The first events of a stream, read as a browser reads them, until one of a name has come."""
    found: dict[str, Any] = {}
    unread = ""
    with shop.client.stream("GET", f"/inspector/events?{asked}") as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_text():
            # Each of these ends a line to a browser.
            unread += chunk.replace("\r\n", "\n").replace("\r", "\n")
            *blocks, unread = unread.split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                assert fields.keys() <= {"id", "event", "data", "retry"}
                if "event" in fields:
                    found[fields["event"]] = json.loads(fields["data"])
            if until in found:
                return found
    raise AssertionError(f"The stream ended without {until}.")


@pytest.mark.parametrize("which", [*TEXTS, "lone"])
def test_no_string_breaks_the_frame_of_an_event(shop: Shop, which: str) -> None:
    lines = "a\r\n\r\ndata: x"
    number = shop.number(f"/strange/{quote(lines)}", params={"which": which})
    shop.recorded(number)
    for view in VIEWS:
        events(shop, f"view={view}", until=view)
    told = events(shop, f"view=requests&request={number}", until="request")["request"]
    assert told["summary"]["path"] == f"/strange/{lines}"


@pytest.mark.parametrize("which", TEXTS)
def test_no_string_breaks_the_export(shop: Shop, which: str) -> None:
    number = shop.number("/strange/x", params={"which": which, "fail": True})
    shop.recorded(number)
    exported = shop.get("/inspector/export")
    assert exported.status_code == 200
    (request,) = [each for each in exported.json()["requests"] if each["summary"]["n"] == number]
    assert request["summary"]["error"]


def test_half_a_character_breaks_nothing(browser: Browser, open_shop: Open) -> None:
    # A shop of its own: an inspector that it breaks is of no use to other tests.
    shop = open_shop()
    with window(browser, shop.inspector) as context:
        page = context.new_page()
        page.goto("#requests")
        broken = shop.number("/strange/x", params={"which": "lone", "fail": True})
        number = shop.number("/users/1")
        row = page.locator(f'[data-request="{number}"]')
        expect(row.locator(".queries")).to_have_text("1")
        row = page.locator(f'[data-request="{broken}"]')
        expect(row.locator(".status")).to_have_text("500")
        row.click()
        expect(page.locator("#execution [data-error]")).not_to_have_count(0)
        page.keyboard.press("4")
        expect(
            page.locator("[data-statement]:visible").filter(has_text="SELECT * FROM users")
        ).to_be_visible()
    assert shop.get("/inspector/export").status_code == 200
