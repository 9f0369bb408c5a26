"""One request, step by step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.inspector.browser import chosen, column, open_request, requests, steps
from tests.inspector.shop import line_of

if TYPE_CHECKING:
    from tests.inspector.conftest import Shop

READS_USER = line_of(
    'user = await database.fetch_one("SELECT * FROM users WHERE id = :id", {"id": user_id})'
)
READS_NAME = line_of(
    'names.append(await database.fetch_val("SELECT name FROM users WHERE id = :id", user_id))'
)
HEADINGS = [
    *("Step", "Action", "Async operation", "State before", "State after", "Output/result"),
    *("Place", "Duration", "Waterfall"),
]
FLOW = [
    *("Start app", "Create database", "Connect", "Handle request", "Run query", "Return result"),
    "Disconnect",
]


def test_the_execution_table_has_the_columns_of_the_lesson(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    shop.recorded(number)
    open_request(page, number)
    headings = page.locator("#execution").get_by_role("columnheader")
    expect(headings).to_have_text(HEADINGS)
    expect(page.locator("#step-progress")).to_have_text("Step 4 of 7")
    expect(column(page, "step")).to_have_text(["1", "2", "3", "4", "5", "6", "7"])
    expect(column(page, "action")).to_have_text(
        [
            *("Create the FastAPI instance", "Create the Database instance"),
            *("Connect to the database", "Request received: GET /users/1"),
            *("Query sent: SELECT users", "Rows of SELECT users", "Response sent"),
        ]
    )
    expect(column(page, "async")).to_have_text(["No", "No", "Yes", "No", "Yes", "Yes", "No"])
    expect(column(page, "before")).to_have_text(
        [
            *("no app", "no database", "not connected", "listening"),
            *("idle", "in flight", "answering"),
        ]
    )
    expect(column(page, "after")).to_have_text(
        [
            *("FastAPI instance created", "database object created", "connected", "answering"),
            *("in flight", "idle", "answered 200"),
        ]
    )
    expect(column(page, "result")).to_have_text(
        [
            *("ready", "URL set", "connected", "answering"),
            *(re.compile("^on "), "1 row", "answered 200"),
        ]
    )
    for row in (4, 5):
        expect(column(page, "place").nth(row)).to_have_text(f"shop.py:{READS_USER}")
    expect(column(page, "took").nth(5)).to_have_text(re.compile(r"^[\d.<]+ (ms|s)$"))


def test_a_step_says_all_that_is_known_of_it(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    shop.recorded(number)
    open_request(page, number)
    steps(page, action="Rows of SELECT users").click()
    detail = page.locator(".step-detail")
    expect(detail.get_by_role("heading")).to_have_text("Step 6 Rows of SELECT users")
    expect(detail).to_contain_text("in flight → idle")
    expect(detail).to_contain_text(f"shop.py:{READS_USER} in create_app.<locals>.read_user")
    expect(detail.locator("code.source")).to_contain_text("user = await database.fetch_one(")
    expect(detail.locator("pre")).to_have_text("SELECT * FROM users WHERE id = ?")
    expect(detail).to_contain_text("Rows1 row")
    steps(page, action="Query sent").click()
    # Its values are told by type and size.
    expect(detail.locator("table.values tr").nth(1)).to_have_text("1int")
    expect(detail.locator("table.values th")).to_have_text(["Name", "Type", "Size"])


def test_the_concept_flow_is_lit_step_by_step(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    shop.recorded(number)
    open_request(page, number)
    expect(page.locator("#flow li b")).to_have_text(FLOW)
    page.locator("#step-first").click()
    lit = page.locator('#flow [aria-current="step"]')
    for name in (*FLOW[:5], "Return result", "Return result"):
        expect(lit).to_have_count(1)
        expect(lit.locator("b")).to_have_text(name)
        page.keyboard.press("ArrowRight")
    # What has not been is no way to go.
    expect(page.locator("#flow button").filter(has_text="Disconnect")).to_be_disabled()
    page.locator("#flow button").filter(has_text="Run query").click()
    expect(chosen(page).locator(".action")).to_have_text("Query sent: SELECT users")
    expect(page.locator("#flow [data-done] b")).to_have_text(FLOW[:4])


def test_the_variables_of_the_lesson_are_tracked(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    shop.recorded(number)
    open_request(page, number)
    tracker = page.locator("#tracker")
    cells = tracker.locator("td.present")
    page.locator("#step-first").click()
    expect(cells.first).to_contain_text("FastAPI instance")
    expect(tracker.locator("tbody th")).to_have_text(["app", "database", "query_result"])
    changed = " (changed)"
    after = [
        [f"FastAPI instance{changed}", "None", "None"],
        ["FastAPI instance", f"Database instance (not connected){changed}", "None"],
        ["FastAPI instance", f"connected{changed}", "None"],
        ["FastAPI instance", "connected", "None"],
        ["FastAPI instance", "connected", f"awaiting SELECT users{changed}"],
        ["FastAPI instance", "connected", f"1 row of users{changed}"],
        ["FastAPI instance", "connected", "1 row of users"],
    ]
    for step, values in enumerate(after, 1):
        expect(tracker.locator('th[aria-current="step"]')).to_have_text(f"After step {step}")
        expect(cells).to_have_text(values)
        page.keyboard.press("ArrowRight")
    expect(tracker.locator("td.changed.present")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(tracker.locator("td.changed.present")).to_have_text("1 row of users (changed)")
    tracker.get_by_role("button", name="After step 5").click()
    expect(page.locator("#step-progress")).to_have_text("Step 5 of 7")
    expect(tracker.get_by_role("button", name="After step 5")).to_be_focused()


def test_a_request_can_be_gone_through_by_keys_and_by_buttons(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    shop.recorded(number)
    open_request(page, number)
    progress = page.locator("#step-progress")
    expect(progress).to_have_text("Step 4 of 7")
    for key, position in (
        *(("ArrowRight", 5), ("ArrowRight", 6), ("ArrowLeft", 5), ("End", 7), ("ArrowRight", 7)),
        *(("Home", 1), ("ArrowLeft", 1), ("j", 2), ("ArrowDown", 3), ("k", 2), ("ArrowUp", 1)),
    ):
        page.keyboard.press(key)
        expect(progress).to_have_text(f"Step {position} of 7")
        expect(chosen(page).locator(".step")).to_have_text(str(position))
    expect(page.locator("#step-back")).to_be_disabled()
    for button, position in (("forward", 2), ("last", 7), ("back", 6), ("first", 1)):
        page.locator(f"#step-{button}").click()
        expect(progress).to_have_text(f"Step {position} of 7")
    page.locator("#step-slider").fill("3")
    expect(progress).to_have_text("Step 3 of 7")
    expect(page.locator("#step-slider")).to_have_attribute(
        "aria-valuetext", "step 3 of 7: Connect to the database"
    )


def test_the_address_names_the_step(shop: Shop, page: Page) -> None:
    number = shop.number("/users/1")
    sent = next(step["n"] for step in shop.recorded(number)["steps"] if step["kind"] == "query")
    open_request(page, number)
    steps(page, action="Query sent").click()
    expect(page).to_have_url(re.compile(f"#requests/{number}/{sent}$"))
    page.reload()
    expect(chosen(page)).to_have_attribute("data-step", str(sent))
    expect(page.locator(".step-detail")).to_contain_text("Query sent: SELECT users")


def test_no_heading_stands_above_the_steps_of_another_request(shop: Shop, page: Page) -> None:
    numbers = [shop.number(f"/users/{user}") for user in (1, 2, 3)]
    page.goto("#requests")
    expect(requests(page)).to_have_count(4)
    page.goto(f"#requests/{numbers[0]}")
    expect(column(page, "action").nth(3)).to_have_text("Request received: GET /users/1")
    page.evaluate(
        """() => {
          window.seen = new Set();
          const look = () => {
            const received = document.querySelector('#execution [data-index="3"] .action');
            if (received.checkVisibility()) {
              const title = document.getElementById("request-title").textContent;
              seen.add(`Request received: ${title}` === received.textContent ? "fits" : title);
            }
            requestAnimationFrame(() => setTimeout(look));
          };
          look();
        }"""
    )
    for user in (2, 3):
        page.keyboard.press("[")
        received = f"Request received: GET /users/{user}"
        expect(column(page, "action").nth(3)).to_have_text(received)
    assert page.evaluate("[...seen]") == ["fits"]


def test_a_request_that_is_not_kept_is_said_to_be_gone(page: Page) -> None:
    page.goto("#requests/999999")
    expect(page.get_by_text("This request is no longer kept")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#view-requests")).to_be_visible()


def test_a_request_grows_while_it_is_looked_at(shop: Shop, page: Page) -> None:
    growing = shop.call("/grow?key=live")
    page.goto("#requests")
    requests(page).filter(has_text="/grow").click()
    expect(page.locator("#request-facts")).to_contain_text("under way")
    live = page.locator("#live")
    expect(live).to_have_attribute("aria-pressed", "true")
    sent = steps(page, action="Query sent: SELECT orders")
    expect(sent).to_have_count(1)
    for number in range(2):
        shop.get(f"/let-go?key=live {number}")
        expect(sent).to_have_count(number + 2)
    # It follows what comes, until somebody goes back.
    expect(page.locator("#step-progress")).to_have_text("Step 10 of 10")
    page.keyboard.press("ArrowLeft")
    expect(live).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#step-progress")).to_have_text("Step 9 of 10")
    page.keyboard.press("l")
    expect(live).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#step-progress")).to_have_text("Step 10 of 10")
    page.keyboard.press("ArrowLeft")
    shop.get("/let-go?key=live 2")
    assert growing.result().status_code == 200
    expect(page.locator("#step-progress")).to_have_text("Step 9 of 11")
    expect(page.locator("#request-facts")).to_contain_text("200")
    expect(live).to_be_hidden()
    expect(column(page, "step")).to_have_text([str(number) for number in range(1, 12)])


def test_a_query_that_runs_is_a_step_already(shop: Shop, page: Page) -> None:
    reading = shop.call("/endless")
    page.goto("#requests")
    requests(page).filter(has_text="/endless").click()
    expect(steps(page, action="Query sent: WITH n")).to_have_count(1)
    expect(page.locator("#request-facts")).to_contain_text("under way")
    page.keyboard.press("1")
    page.locator('[data-lane][data-state="in flight"]').get_by_role("button").click()
    reading.result()
    page.go_back()
    expect(steps(page, result="QueryCancelledError")).to_have_count(1)
    # Once.
    expect(steps(page, action="Query sent")).to_have_count(1)


def test_a_key_moment_leads_to_its_steps(shop: Shop, page: Page) -> None:
    number = shop.number("/orders?n=5")
    recorded = shop.recorded(number)
    told = [*recorded["prologue"], *recorded["steps"]]
    repeated = [
        position
        for position, step in enumerate(told, 1)
        if step["action"] == "Query sent: SELECT users"
    ]
    assert len(repeated) == 5
    # Which on a slow machine may be more.
    noted = {number for moment in recorded["moments"] for number in moment["steps"]}
    warned = [position for position, step in enumerate(told, 1) if step["n"] in noted]
    assert set(repeated) <= set(warned)
    open_request(page, number)
    moment = page.locator("#request-moments li[data-kind='n+1'] button")
    expect(moment).to_contain_text("The same query ran 5 times")
    expect(moment).to_contain_text("5 steps")

    def expect_chosen(position: int) -> None:
        expect(page.locator("#step-progress")).to_have_text(f"Step {position} of {len(told)}")
        expect(chosen(page).locator(".step")).to_have_text(str(position))

    # One after the other, and round again.
    for position in (*repeated, repeated[0]):
        moment.click()
        expect_chosen(position)
    expect(page.locator(".step-detail .warning")).to_contain_text("The same query ran 5 times")
    # By keys as well.
    page.keyboard.press("Home")
    page.keyboard.press("n")
    expect_chosen(warned[0])
    page.keyboard.press("n")
    expect_chosen(warned[1])
    page.keyboard.press("N")
    expect_chosen(warned[0])
    longest = page.locator("#request-moments li[data-kind='longest'] button")
    longest.click()
    expect(chosen(page).locator(".took")).not_to_be_empty()


def test_a_query_in_a_loop_is_found_with_its_file_and_line(shop: Shop, page: Page) -> None:
    number = shop.number("/orders?n=12")
    shop.recorded(number)
    page.goto("#requests")
    page.locator("[data-only='warnings']").click()
    requests(page).filter(has_text="/orders").click()
    page.locator("#request-moments li[data-kind='n+1'] button").click()
    expect(chosen(page).locator(".place")).to_have_text(f"shop.py:{READS_NAME}")
    expect(page.locator(".step-detail .file")).to_contain_text(f"shop.py:{READS_NAME}")
    marked = page.locator("#execution [data-step][data-marked]")
    expect(marked.first).to_be_visible()


def test_an_error_is_shown_at_its_step_and_at_the_top(shop: Shop, page: Page) -> None:
    number = shop.number("/taken")
    shop.recorded(number)
    open_request(page, number)
    expect(page.locator("#request-error")).to_contain_text("IntegrityError")
    expect(page.locator("#request-facts")).to_contain_text("500")
    failed = page.locator("#execution [data-step][data-error]")
    expect(failed).to_have_count(2)
    page.locator("#request-moments li[data-kind='error'] button").click()
    expect(chosen(page)).to_have_attribute("data-kind", "rows")
    expect(page.locator(".step-detail .failure")).to_have_text(
        "IntegrityError: UNIQUE constraint failed: users.name"
    )


@pytest.mark.parametrize("path", ["/dropped"])
def test_a_query_that_was_never_awaited_is_a_step(shop: Shop, page: Page, path: str) -> None:
    number = shop.number(path)
    shop.recorded(number)
    open_request(page, number)
    dropped = page.locator('#execution [data-step][data-kind="dropped"]')
    expect(dropped.locator(".action")).to_contain_text("Never awaited")
    expect(dropped.locator(".result")).to_have_text("did not run")


def test_ten_thousand_steps_are_no_more_elements_than_a_few(shop: Shop, page: Page) -> None:
    number = shop.number("/many?n=11000")
    recorded = shop.recorded(number)
    assert recorded["cut"] > 0
    kept = len(recorded["prologue"]) + len(recorded["steps"])
    assert kept > 10_000
    count = f"{kept + recorded['cut']:,}"
    rows, progress = page.locator("#execution [data-step]"), page.locator("#step-progress")

    def expect_few_elements() -> None:
        expect(rows.nth(5)).to_be_attached()
        assert rows.count() < 150
        assert page.locator("*").count() < 3_000

    open_request(page, number)
    expect(progress).to_contain_text(f" of {count}")
    expect(page.locator(".cut")).to_have_text(
        f"The first {recorded['cut']:,} steps of this request are no longer kept."
    )
    expect_few_elements()
    page.keyboard.press("End")
    expect(progress).to_have_text(f"Step {count} of {count}")
    expect(chosen(page).locator(".action")).to_have_text("Response sent")
    expect(chosen(page).locator(".step")).to_have_text(count)
    expect(chosen(page)).to_be_in_viewport()
    page.keyboard.press("PageUp")
    expect(progress).not_to_have_text(f"Step {count} of {count}")
    expect(chosen(page)).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(progress).to_have_text(f"Step 1 of {count}")
    # Wherever it is scrolled to there are rows, one below the other.
    for share in (0.25, 0.5, 0.75):
        page.locator("#execution .virtual").evaluate(
            "(list, share) => { list.scrollTop = list.scrollHeight * share; }", share
        )
        near = round(kept * share)
        steps_there = page.locator(f'[data-index="{near + 5}"]')
        expect(steps_there).to_be_in_viewport()
        expect(steps_there.locator(".action")).to_contain_text("SELECT orders")
    expect_few_elements()
