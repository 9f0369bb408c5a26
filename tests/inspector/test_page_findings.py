"""Key moments, and statements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from tests.inspector.browser import cards, statement
from tests.inspector.shop import line_of

if TYPE_CHECKING:
    from tests.inspector.conftest import Shop

READS_NAME = line_of(
    'names.append(await database.fetch_val("SELECT name FROM users WHERE id = :id", user_id))'
)
DROPS = line_of('database.execute("DELETE FROM orders")')
ADDS = line_of('await database.execute("INSERT INTO users (id, name) VALUES (:id, :name)", values)')


# Key moments.


def test_without_moments_the_page_says_so(page: Page) -> None:
    page.goto("#moments")
    expect(page.locator("#no-moments")).to_be_visible()


def test_a_query_in_a_loop_is_shown_with_the_query_to_write_instead(shop: Shop, page: Page) -> None:
    number = shop.number("/orders?n=12")
    page.goto("#moments")
    card = cards(page, "n+1")
    expect(card.get_by_role("heading")).to_have_text("The same query ran 12 times")
    expect(card.locator(".file")).to_contain_text(f"shop.py:{READS_NAME}")
    expect(card.locator(".cost")).to_have_text(re.compile(r"^[\d.]+ (ms|s)$"))
    expect(card.locator("figure.wrong pre")).to_contain_text(
        "names.append(await database.fetch_val"
    )
    expect(card.locator("figure.right pre")).to_contain_text("IN (:id_1, :id_2, ...)")
    card.locator("summary").click()
    expect(card.locator("details pre")).to_have_text("SELECT name FROM users WHERE id = ?")
    card.locator(".explain").click()
    plan = card.locator(".plan pre")
    expect(plan).to_contain_text("SEARCH users USING INTEGER PRIMARY KEY")
    expect(card.locator(".reads-all")).to_have_count(0)
    # What comes later does not take the plan away.
    shop.get("/dropped")
    expect(cards(page, "dropped")).to_be_visible()
    expect(plan).to_be_visible()
    card.locator("a.request").click()
    expect(page.locator("#request-title")).to_have_text("GET /orders")
    expect(page).to_have_url(re.compile(f"#requests/{number}/"))
    expect(page.locator('[data-step][aria-selected="true"] .action')).to_have_text(
        "Query sent: SELECT users"
    )


def test_on_postgresql_the_plan_is_that_of_postgresql(narrow_shop: Shop, narrow_page: Page) -> None:
    page = narrow_page
    narrow_shop.get("/orders?n=12")
    page.goto("#moments")
    card = cards(page, "n+1")
    card.locator("summary").click()
    expect(card.locator("details pre")).to_have_text("SELECT name FROM users WHERE id = $1")
    card.locator(".explain").click()
    expect(card.locator(".plan pre")).to_contain_text(re.compile(r"(Scan|Index).* on users"))
    expect(card.locator(".plan pre")).to_contain_text("cost=")


def test_a_plan_that_reads_a_whole_table_is_marked(shop: Shop, page: Page) -> None:
    shop.get("/grow-at-once")
    page.goto("#statements")
    statement(page, "SELECT count(*) FROM orders WHERE total > ?").click()
    page.locator("#statement-detail .explain").click()
    expect(page.locator("#statement-detail .reads-all")).to_contain_text("SCAN orders")
    expect(page.locator("#statement-detail .plan")).to_contain_text("Is there an index missing?")


def test_a_slow_query_is_a_moment_with_its_figures(shop: Shop, page: Page) -> None:
    shop.get("/slow?rows=1000000")
    page.goto("#moments")
    card = cards(page, "slow")
    expect(card.get_by_role("heading")).to_have_text(re.compile(r"^A query took [\d.]+ (ms|s)$"))
    expect(card).to_contain_text("in the database")
    card.locator(".explain").click()
    expect(card.locator(".plan pre")).to_contain_text("RECURSIVE STEP")


def test_a_query_that_was_never_awaited_is_shown_with_the_await(shop: Shop, page: Page) -> None:
    shop.get("/dropped")
    page.goto("#moments")
    card = cards(page, "dropped")
    expect(card.locator(".file")).to_contain_text(f"shop.py:{DROPS}")
    expect(card.locator("figure.wrong pre")).to_have_text('database.execute("DELETE FROM orders")')
    expect(card.locator("figure.right pre")).to_have_text(
        'await database.execute("DELETE FROM orders")'
    )


def test_queries_one_by_one_are_shown_as_they_would_run_at_once(shop: Shop, page: Page) -> None:
    shop.get("/at-once")
    shop.get("/one-by-one")
    page.goto("#moments")
    card = cards(page, "sequential")
    expect(card).to_have_count(1)
    expect(card.locator("a.request")).to_have_text("GET /one-by-one")
    expect(card.get_by_role("heading")).to_contain_text("2 queries were awaited one by one")
    right = card.locator("figure.right pre")
    expect(right).to_contain_text("await asyncio.gather(")
    expect(right).to_contain_text("database.fetch_val(COUNTED, {'rows': rows}),")


def test_moments_of_one_kind_can_be_looked_at_alone(shop: Shop, page: Page) -> None:
    for path in ("/dropped", "/orders"):
        shop.get(path)
    page.goto("#moments")
    expect(cards(page, "dropped")).to_have_count(1)
    # The newest first; on a slow machine there may be others.
    in_order = page.locator('[data-kind="n+1"] ~ [data-kind="dropped"]')
    expect(in_order).to_have_count(1)
    page.locator("#moment-kinds button").filter(has_text="n+1").click()
    expect(page.locator("[data-moment]")).to_have_count(1)
    expect(cards(page, "n+1")).to_be_visible()
    expect(page.locator("#count-moments")).not_to_have_text("1")
    page.locator("#moment-kinds button").filter(has_text="All").click()
    expect(in_order).to_have_count(1)
    for key, place in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        expect(page.locator("[data-moment]").nth(place)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#request-title")).to_have_text("GET /orders")


def test_a_moment_that_is_counted_on_keeps_what_was_opened_in_it(shop: Shop, page: Page) -> None:
    holding = shop.call("/hold?key=moment&how=connection")
    page.goto("#moments")
    card = cards(page, "held")
    expect(card.locator("a.request")).to_have_text("GET /hold")
    card.locator("a.request").focus()
    cost = card.locator(".cost").inner_text()
    expect(card.locator(".cost")).not_to_have_text(cost)
    expect(card.locator("a.request")).to_be_focused()
    # What comes above it does not take the keys away from it.
    shop.get("/dropped")
    expect(page.locator("[data-moment]").first).to_have_attribute("data-kind", "dropped")
    card.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#request-title")).to_have_text("GET /hold")
    shop.get("/let-go?key=moment")
    holding.result()


# Statements.


def test_statements_are_counted_by_their_shape(shop: Shop, page: Page) -> None:
    page.goto("#statements")
    for user in range(1, 21):
        number = shop.number(f"/users/{user}")
    row = statement(page, "SELECT * FROM users WHERE id = ?")
    expect(row).to_have_count(1)
    expect(row.locator(".count")).to_have_text("20")
    expect(row.locator(".rows")).to_have_text("20")
    expect(row.locator(".errors")).to_be_empty()
    # All of its figures are drawn at once.
    milliseconds = []
    for name in ("p50", "p95", "p99", "max"):
        text = row.locator(f".{name}").inner_text()
        match = re.fullmatch(r"<?([\d.]+) (ms|s)", text)
        assert match is not None, text
        milliseconds.append(float(match[1]) * (1000 if match[2] == "s" else 1))
    assert milliseconds == sorted(milliseconds)
    row.click()
    detail = page.locator("#statement-detail")
    expect(detail).to_contain_text("20 times")
    expect(detail.locator(".places li")).to_have_count(1)
    expect(detail.locator(".places li b")).to_have_text("20")
    expect(detail.locator(".places code")).to_contain_text("user = await database.fetch_one(")
    expect(detail.locator("a.request")).to_contain_text("GET /users/")
    # It goes on.
    shop.get("/users/1")
    expect(row.locator(".count")).to_have_text("21")
    expect(detail).to_contain_text("21 times")
    assert number


def test_errors_of_a_statement_are_counted(shop: Shop, page: Page) -> None:
    shop.get("/taken")
    page.goto("#statements")
    row = statement(page, "INSERT INTO users")
    expect(row.locator(".errors")).not_to_be_empty()
    expect(row).to_have_attribute("data-failed", "")
    row.click()
    expect(page.locator("#statement-detail .places")).to_contain_text(f"shop.py:{ADDS}")


def test_statements_can_be_sorted_and_gone_through_by_keys(shop: Shop, page: Page) -> None:
    shop.get("/orders?n=12")
    shop.get("/users/1")
    page.goto("#statements")
    counts = page.locator("[data-statement]:visible .count")
    page.locator('[data-sort="count"]').click()
    expect(counts).to_have_text(["12", "1", "1"])
    page.locator('[data-sort="count"]').click()
    expect(counts).to_have_text(["1", "1", "12"])
    page.keyboard.press("End")
    expect(page.locator("#statement-detail pre")).to_have_text(
        "SELECT name FROM users WHERE id = ?"
    )
    page.locator("#statement-detail a.request").click()
    expect(page.locator("#request-title")).to_have_text("GET /orders")
