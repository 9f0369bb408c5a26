"""The page as a whole: what it says in every view, and what it can be told to do."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, expect

from tests.inspector.browser import (
    cards,
    expect_drawn,
    hard_to_read,
    hold_back,
    sideways,
    statement,
    until,
    window,
)
from tests.inspector.shop import SECRET

if TYPE_CHECKING:
    from tests.inspector.conftest import Open, Shop


def show_all_there_is(shop: Shop, page: Page) -> Iterator[str]:
    """Show one view after the other, with as much in it as there can be."""
    number = shop.number("/orders?n=12")
    for path in ("/taken", "/dropped", "/one-by-one", "/users/1", "/slow?rows=300000"):
        shop.get(path)
    shop.call("/hold?key=all")
    page.goto("#now")
    expect(page.locator('[data-lane][data-state="held"]')).to_be_visible()
    shop.call("/write")
    expect(page.locator("[data-waiter]")).to_be_visible()
    yield "now"
    page.goto("#requests")
    expect(page.locator("[data-request]:visible")).to_have_count(9)
    yield "requests"
    page.goto(f"#requests/{number}")
    expect_drawn(page.locator("#view-request"))
    yield "request"
    page.goto("#moments")
    card = cards(page, "n+1")
    card.locator("summary").click()
    card.locator(".explain").click()
    expect(card.locator(".plan pre")).to_be_visible()
    yield "moments"
    page.goto("#statements")
    statement(page, "SELECT name FROM users").click()
    page.locator("#statement-detail .explain").click()
    expect(page.locator("#statement-detail .plan pre")).to_be_visible()
    yield "statements"


def test_the_head_says_what_is_watched(shop: Shop, page: Page) -> None:
    page.goto("")
    expect(page.locator("#state")).to_have_text("connected")
    expect(page.locator("#url")).to_have_text(shop.database_url)
    expect(page.locator("body")).to_have_attribute("data-connection", "live")
    expect(page.locator("#connection")).to_have_text("live")
    before = page.locator("#steps").inner_text()
    shop.get("/users/1")
    expect(page.locator("#steps")).not_to_have_text(before)


def test_every_view_says_how_much_there_is_in_the_others(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    shop.call("/hold?key=counts")
    expect(page.locator("[data-request]:visible")).to_have_count(2)
    shop.call("/write")
    shop.get("/orders")
    expect(page.locator("#count-now")).to_have_text("1 waiting")
    expect(page.locator("#count-moments")).not_to_be_empty()
    expect(page.locator("#count-statements")).to_have_text("3")
    shop.get("/let-all-go")
    expect(page.locator("#count-now")).to_be_empty()


def test_what_is_known_can_be_taken_away_without_any_value(
    shop: Shop, page: Page, tmp_path: Path
) -> None:
    number = shop.number("/taken")
    shop.recorded(number)
    page.goto("#requests")
    with page.expect_download() as download:
        page.locator("#export").click()
    assert download.value.suggested_filename == "inspector.json"
    file = tmp_path / "inspector.json"
    download.value.save_as(file)
    text = file.read_text()
    exported = json.loads(text)
    assert exported.keys() == {"status", "requests", "moments", "statements"}
    (request,) = [each for each in exported["requests"] if each["summary"]["n"] == number]
    described = [step["values"] for step in request["steps"] if step["values"]]
    size = f"{len(SECRET)} characters"
    assert described == 2 * [
        [
            {"name": "1", "type": "int", "size": None, "value": None},
            {"name": "2", "type": "str", "size": size, "value": None},
        ]
    ]
    assert SECRET not in text


def test_a_value_in_the_message_of_an_error_is_nowhere(
    narrow_shop: Shop, narrow_page: Page
) -> None:
    page = narrow_page
    number = narrow_shop.number("/says")
    narrow_shop.recorded(number)
    page.goto(f"#requests/{number}")
    page.locator("#request-moments li[data-kind='error'] button").click()
    expect(page.locator(".step-detail .failure")).to_contain_text("invalid input")
    assert SECRET not in narrow_shop.get("/inspector/export").text
    assert SECRET not in page.content()


def test_everything_can_be_forgotten_after_a_second_thought(shop: Shop, page: Page) -> None:
    for path in ("/orders", "/dropped"):
        shop.get(path)
    page.goto("#requests")
    rows = page.locator("[data-request]:visible")
    expect(rows).to_have_count(3)
    page.locator("#clear").click()
    page.get_by_role("button", name="Keep").click()
    expect(rows).to_have_count(3)
    page.locator("#clear").click()
    page.locator("#clear-now").click()
    expect(page.locator("#said")).to_have_text("Forgot everything that was recorded.")
    expect(rows).to_have_count(1)
    page.keyboard.press("3")
    expect(page.locator("#no-moments")).to_be_visible()
    page.keyboard.press("4")
    expect(page.locator("#no-statements")).to_be_visible()
    # And begins anew.
    shop.get("/users/1")
    expect(page.locator("[data-statement]:visible")).to_have_count(1)


def test_the_list_may_be_emptied_before_the_page_hears_that_all_is_forgotten(
    shop: Shop, page: Page
) -> None:
    shop.get("/users/1")
    page.goto("#requests")
    rows = page.locator("[data-request]:visible")
    expect(rows).to_have_count(2)
    held = hold_back(page, "**/clear")
    page.locator("#clear").click()
    page.locator("#clear-now").click()
    until(page, lambda: held)
    answer = held[0].fetch()
    expect(rows).to_have_count(1)
    held[0].fulfill(response=answer)
    expect(page.locator("#said")).to_have_text("Forgot everything that was recorded.")
    shop.get("/users/2")
    expect(rows).to_have_count(2)


def test_paused_the_page_stays_as_it_is(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    shop.get("/users/1")
    rows = page.locator("[data-request]:visible")
    expect(rows).to_have_count(2)
    pause = page.locator("#pause")
    page.keyboard.press("p")
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(pause).to_have_text("Resume")
    told = page.locator("#count-requests")
    before = shop.get("/inspector/export").json()["status"]["requests"]
    expect(told).to_have_text(f"{before:,}")
    shop.get("/users/2")
    expect(told).to_have_text(f"{before + 1:,}")
    # The head goes on: when it speaks of the next, all news of the first have arrived.
    shop.get("/users/3")
    expect(told).to_have_text(f"{before + 2:,}")
    expect(rows).to_have_count(2)
    pause.click()
    expect(rows).to_have_count(4)
    expect(pause).to_have_attribute("aria-pressed", "false")


def test_a_server_that_comes_back_is_found_again(browser: Browser, open_shop: Open) -> None:
    shop = open_shop()
    with window(browser, shop.inspector) as context:
        page = context.new_page()
        page.goto("#requests")
        shop.get("/users/1")
        expect(page.locator("body")).to_have_attribute("data-connection", "live")
        expect(page.locator("[data-request]:visible")).to_have_count(3)
        shop.stop(signal.SIGKILL)
        expect(page.locator("body")).to_have_attribute("data-connection", "lost")
        expect(page.locator("#connection")).to_contain_text("connection lost")
        # What was known can be looked at meanwhile.
        expect(page.locator("[data-request]:visible")).to_have_count(3)
        page.locator("#clear").click()
        page.locator("#clear-now").click()
        expect(page.locator("#said")).to_contain_text("cannot be reached")
        shop.start()
        expect(page.locator("body")).to_have_attribute("data-connection", "live")
        shop.get("/users/2")
        expect(page.locator("[data-request]:visible").filter(has_text="/users/2")).to_be_visible()


def test_the_keys_are_told(page: Page) -> None:
    page.goto("#now")
    page.keyboard.press("?")
    help = page.get_by_role("dialog", name="Keys")
    expect(help).to_be_visible()
    # While it is open the keys do nothing else.
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    expect(help).to_be_hidden()
    expect(page.locator("#view-now")).to_be_visible()
    expect(page).to_have_url(re.compile("#now$"))
    page.locator("#help-button").click()
    help.get_by_role("button", name="Close").click()
    expect(help).to_be_hidden()
    for key, view in zip("1234", ("now", "requests", "moments", "statements"), strict=True):
        page.keyboard.press(key)
        expect(page.locator(f"#view-{view}")).to_be_visible()
        expect(page.locator('nav [aria-current="page"]')).to_have_attribute("href", f"#{view}")


def test_every_control_can_be_reached_by_tab_and_has_a_name(shop: Shop, page: Page) -> None:
    shop.recorded(shop.number("/orders"))
    for view in ("now", "requests", "moments", "statements"):
        page.goto(f"#{view}")
        expect_drawn(page.locator(f"#view-{view}"))
        nameless = page.evaluate(
            """[...document.querySelectorAll("button, a[href], input, [tabindex='0']")]
              .filter((each) => each.checkVisibility())
              .filter((each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length
                || each.getAttribute("aria-labelledby")))
              .map((each) => each.outerHTML)"""
        )
        assert nameless == []


def test_every_view_can_be_read_by_day_and_by_night(shop: Shop, page: Page) -> None:
    for view in show_all_there_is(shop, page):
        for scheme in ("light", "dark"):
            page.emulate_media(
                color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
            )
            assert hard_to_read(page, "body *") == [], view
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            light = sum(int(each) for each in re.findall(r"\d+", background)[:3]) > 3 * 128
            assert light is (scheme == "light")


def test_a_phone_needs_no_sideways_scrolling(shop: Shop, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    for view in show_all_there_is(shop, page):
        assert sideways(page) is True, view
        if view == "request":
            page.keyboard.press("End")
            chosen = page.locator('#execution [data-step][aria-selected="true"] .action')
            expect(chosen).to_have_text("Response sent")
            assert sideways(page) is True
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert sideways(page) is True
