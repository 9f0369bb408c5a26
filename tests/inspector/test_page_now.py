"""The view Now of the page: what runs, who holds what, who waits for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.inspector.shop import line_of
from tests.servers.processes import wait_until

if TYPE_CHECKING:
    from tests.inspector.conftest import Shop
    from tests.servers.postgresql import PostgreSQL

HOLDS = line_of("async with database.transaction():")
CONNECTS = line_of("async with database.connection():")
ENDLESS = line_of("return await database.fetch_val(ENDLESS)")


def lanes(page: Page, state: str) -> Locator:
    return page.locator(f'[data-lane][data-state="{state}"]')


def number_of(page: Page, tile: str) -> Locator:
    return page.locator(f"#tile-{tile} b")


def running(server: PostgreSQL) -> str:
    """How many queries that never end the server runs."""
    return server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
        "AND query LIKE 'WITH RECURSIVE%'"
    ).strip()


def test_lanes_show_what_runs_who_holds_and_who_waits(shop: Shop, page: Page) -> None:
    page.goto("#now")
    expect(page.locator("#nobody-waits")).to_be_visible()
    expect(number_of(page, "waiting")).to_have_text("0")
    expect(lanes(page, "idle").filter(has_text="writer")).to_be_visible()

    holding = shop.call("/hold?key=lanes")
    held = lanes(page, "held")
    expect(held).to_contain_text("GET /hold")
    expect(held).to_contain_text(f"shop.py:{HOLDS}")
    expect(held).to_contain_text("UPDATE orders SET total = 0")
    expect(number_of(page, "held")).to_have_text("1")

    writing = shop.call("/write")
    waiter = page.locator("[data-waiter]")
    expect(waiter).to_contain_text("GET /write")
    expect(waiter).to_contain_text("for the turn to write to SQLite")
    # For whom: the lane, its task, its request and its place.
    name = held.get_attribute("data-lane")
    assert name is not None
    expect(waiter.locator(".blockers")).to_contain_text(name)
    expect(waiter.locator(".blockers")).to_contain_text("GET /hold")
    expect(waiter.locator(".blockers")).to_contain_text(f"shop.py:{HOLDS}")
    expect(held).to_have_attribute("data-blocking", "")
    expect(page.locator("#nobody-waits")).to_be_hidden()
    expect(page.locator("#count-now")).to_have_text("1 waiting")
    expect(page.locator("#now-board > svg path")).to_have_count(1)

    reading = shop.call("/endless")
    runs = lanes(page, "in flight")
    expect(runs).to_contain_text("GET /endless")
    expect(runs).to_contain_text(f"shop.py:{ENDLESS}")
    expect(runs).to_contain_text("WITH RECURSIVE")
    expect(number_of(page, "in-flight")).to_have_text("1")

    shop.get("/let-go?key=lanes")
    assert holding.result().text == '"lanes"'
    assert writing.result().text == '"written"'
    expect(held).to_have_count(0)
    expect(waiter).to_have_count(0)
    expect(page.locator("[data-blocking]")).to_have_count(0)
    expect(page.locator("#count-now")).to_be_empty()

    runs.get_by_role("button", name="Cancel").click()
    expect(runs).to_have_count(0)
    assert reading.result().text == '"cancelled"'


def test_clocks_go_on_while_somebody_holds_something(shop: Shop, page: Page) -> None:
    page.goto("#now")
    holding = shop.call("/hold?key=clock&how=connection")
    clock = lanes(page, "held").locator(".clock")
    expect(clock).to_contain_text("held")
    before = clock.inner_text()
    expect(clock).not_to_have_text(before)
    shop.get("/let-go?key=clock")
    holding.result()


def test_a_lane_leads_to_its_request(shop: Shop, page: Page) -> None:
    page.goto("#now")
    holding = shop.call("/hold?key=link")
    lanes(page, "held").get_by_role("link", name="GET /hold").click()
    expect(page.locator("#request-title")).to_have_text("GET /hold")
    expect(page.locator("#request-facts")).to_contain_text("under way")
    shop.get("/let-go?key=link")
    holding.result()


def test_lanes_can_be_reached_by_keys(shop: Shop, page: Page) -> None:
    page.goto("#now")
    holding = shop.call("/hold?key=keys")
    held = lanes(page, "held")
    expect(held).to_be_visible()
    for _ in range(page.locator("[data-lane]").count()):
        page.keyboard.press("j")
        if held.evaluate("(lane) => lane === document.activeElement"):
            break
    expect(held).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#request-title")).to_have_text("GET /hold")
    shop.get("/let-go?key=keys")
    holding.result()


def test_a_pool_that_one_request_exhausts_is_seen_before_anybody_times_out(
    narrow_shop: Shop, narrow_page: Page
) -> None:
    page = narrow_page
    page.goto("#now")
    holding = narrow_shop.call("/hold?key=pool&how=connection")
    held = lanes(page, "held")
    expect(held).to_contain_text("GET /hold")
    expect(held).to_contain_text(f"shop.py:{CONNECTS}")
    waiting = [narrow_shop.call(f"/users/{number}") for number in range(1, 5)]
    waiters = page.locator("[data-waiter]")
    expect(waiters).to_have_count(4)
    for waiter in waiters.all():
        expect(waiter).to_contain_text("GET /users/")
        expect(waiter).to_contain_text("for one of 1 connections")
        expect(waiter.locator(".blockers")).to_contain_text("GET /hold")
        expect(waiter.locator(".blockers")).to_contain_text(f"shop.py:{CONNECTS}")
    expect(number_of(page, "waiting")).to_have_text("4")
    expect(held).to_have_attribute("data-blocking", "")
    expect(page.locator("#tile-idle")).to_contain_text("1 of 1 lent")
    assert not any(each.done() for each in waiting)

    # It is a key moment already, which names the holder.
    page.keyboard.press("3")
    card = page.locator('[data-moment][data-kind="waiting"]').first
    expect(card).to_contain_text("Waiting")
    expect(card.locator(".holder")).to_contain_text("GET /hold")
    expect(card.locator(".holder")).to_contain_text(f"shop.py:{CONNECTS}")
    page.keyboard.press("1")

    narrow_shop.get("/let-go?key=pool")
    assert holding.result().status_code == 200
    assert [each.result().status_code for each in waiting] == [200] * 4
    expect(page.locator("#nobody-waits")).to_be_visible()


@pytest.mark.parametrize(("handled", "status"), [("true", 200), ("false", 500)])
def test_cancel_stops_a_query_in_the_database(
    narrow_shop: Shop,
    narrow_page: Page,
    postgresql_server: PostgreSQL,
    handled: str,
    status: int,
) -> None:
    page = narrow_page
    page.goto("#now")
    reading = narrow_shop.call(f"/endless?handled={handled}")
    runs = lanes(page, "in flight")
    expect(runs).to_contain_text("GET /endless")
    wait_until(lambda: running(postgresql_server) == "1")
    runs.get_by_role("button", name="Cancel").click()
    answer = reading.result()
    assert answer.status_code == status
    expect(page.locator("#said")).to_contain_text("Cancelled: WITH RECURSIVE")
    expect(page.locator("#said")).to_contain_text("GET /endless")
    wait_until(lambda: running(postgresql_server) == "0")
    expect(runs).to_have_count(0)
    # Its connection is as good as new.
    assert narrow_shop.get("/users/1").json() == {"name": "user 1"}
    recorded = narrow_shop.recorded(int(answer.headers["inspector-request"]))
    (ended,) = [step for step in recorded["steps"] if step["kind"] == "rows"]
    assert ended["error"].startswith("QueryCancelledError: ")
    assert ("QueryCancelledError" in str(recorded["summary"]["error"])) is (status == 500)


def test_cancel_takes_somebody_who_waits_out_of_the_line(
    narrow_shop: Shop, narrow_page: Page
) -> None:
    page = narrow_page
    page.goto("#now")
    holding = narrow_shop.call("/hold?key=line")
    expect(lanes(page, "held")).to_be_visible()
    writing = narrow_shop.call("/write")
    waiter = page.locator("[data-waiter]")
    expect(waiter).to_contain_text("GET /write")
    waiter.get_by_role("button", name="Cancel").click()
    # At once, and while the connection is still held.
    assert writing.result().text == '"cancelled"'
    expect(page.locator("#said")).to_contain_text("Cancelled: UPDATE orders")
    expect(waiter).to_have_count(0)
    expect(lanes(page, "held")).to_be_visible()
    narrow_shop.get("/let-go?key=line")
    assert holding.result().status_code == 200


def test_the_focus_stays_on_its_row_when_the_row_above_goes(
    narrow_shop: Shop, narrow_page: Page
) -> None:
    page = narrow_page
    page.goto("#now")
    narrow_shop.call("/hold?key=focus")
    expect(lanes(page, "held")).to_be_visible()
    waiters = page.locator("[data-waiter]")
    for number in (1, 2):
        narrow_shop.call(f"/users/{number}")
        expect(waiters).to_have_count(number)
    cancel = waiters.get_by_role("button", name="Cancel")
    cancel.nth(1).focus()
    cancel.nth(0).dispatch_event("click")
    expect(waiters).to_have_count(1)
    expect(waiters).to_contain_text("GET /users/2")
    expect(cancel).to_be_focused()


def test_to_cancel_what_is_over_says_so(shop: Shop, page: Page) -> None:
    page.goto("#now")
    reading = shop.call("/endless")
    runs = lanes(page, "in flight")
    expect(runs).to_contain_text("GET /endless")
    # Paused, the page shows what has been.
    page.keyboard.press("p")
    cancel = runs.get_by_role("button", name="Cancel")
    cancel.click()
    expect(page.locator("#said")).to_contain_text("Cancelled: ")
    assert reading.result().text == '"cancelled"'
    cancel.click()
    expect(page.locator("#said")).to_have_text("Not cancelled: It is over already.")
    page.keyboard.press("p")
    expect(runs).to_have_count(0)


def test_a_database_that_is_not_connected_has_no_lanes(page: Page) -> None:
    """As the server tells it before the first connect()."""
    now = '{"time":1,"limit":null,"connections":[],"waiting":[]}'
    page.route(
        "**/events?*",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"event: now\ndata: {now}\n\n"
        ),
    )
    page.goto("#now")
    expect(page.get_by_text("No connections yet")).to_be_visible()
