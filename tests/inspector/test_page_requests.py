"""The list of requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from tests.inspector.browser import requests

if TYPE_CHECKING:
    from tests.inspector.conftest import Shop


def test_without_requests_the_list_says_what_to_do(page: Page) -> None:
    page.goto("#requests")
    page.get_by_role("button", name="Under way").click()
    expect(page.get_by_text("No request fits")).to_be_visible()


def test_the_list_shows_each_request_with_its_figures(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    number = shop.number("/orders?n=12")
    row = page.locator(f'[data-request="{number}"]')
    expect(row.locator(".method")).to_have_text("GET")
    expect(row.locator(".path")).to_have_text("/orders")
    expect(row.locator(".status")).to_have_text("200")
    expect(row.locator(".queries")).to_have_text("13")
    # On a slow machine there may be others.
    expect(row.locator(".warnings")).to_contain_text("n+1")
    expect(row.locator(".took")).to_have_text(re.compile(r"^[\d.]+ (ms|s)$"))
    expect(row.locator(".database")).to_have_text(re.compile(r"^[\d.<]+ (ms|s)$"))
    expect(page.locator("#count-requests")).not_to_be_empty()


def test_what_is_done_outside_of_requests_is_not_one_under_way(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    outside = page.locator('[data-request="0"]')
    expect(outside.locator(".path")).to_have_text("outside requests")
    expect(outside.locator(".status")).to_have_text("—")
    expect(outside).not_to_have_attribute("data-under-way", "")


def test_a_request_is_in_the_list_while_it_is_under_way(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    holding = shop.call("/hold?key=list")
    row = requests(page).filter(has_text="/hold")
    expect(row.locator(".status")).to_have_text("under way")
    expect(row).to_have_attribute("data-under-way", "")
    page.get_by_role("button", name="Under way").click()
    expect(requests(page)).to_have_count(1)
    shop.get("/let-go?key=list")
    assert holding.result().status_code == 200
    expect(requests(page)).to_have_count(0)
    page.get_by_role("button", name="Show all requests").click()
    expect(row.locator(".status")).to_have_text("200")


def test_requests_can_be_filtered(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    for path in ("/users/1", "/users/2", "/orders", "/taken", "/missing"):
        shop.get(path)
    page.keyboard.press("/")
    found = page.locator("#filter")
    expect(found).to_be_focused()
    for words, paths in {
        "/users": ["/users/2", "/users/1"],
        "/USERS 1": ["/users/1"],
        "n+1": ["/orders"],
        "5": ["/taken"],
        "4xx": ["/missing"],
        "integrityerror": ["/taken"],
        "get /users": ["/users/2", "/users/1"],
        "nothing of the kind": [],
    }.items():
        found.fill(words)
        expect(requests(page).locator(".path")).to_have_text(paths)
        expect(page.locator("#none-found")).to_be_visible(visible=not paths)
    page.keyboard.press("Escape")
    expect(found).to_have_value("")
    page.locator('[data-only="errors"]').click()
    expect(requests(page).locator(".path")).to_have_text(["/taken"])
    expect(page.locator('[data-only="errors"] span')).to_have_text("1")
    page.locator('[data-only="warnings"]').click()
    expect(requests(page).filter(has_text="/orders")).to_have_count(1)
    expect(requests(page).filter(has=page.locator(".warnings:empty"))).to_have_count(0)


def test_requests_can_be_sorted(shop: Shop, page: Page) -> None:
    page.goto("#requests")
    for path in ("/users/1", "/orders?n=5", "/orders?n=12"):
        shop.get(path)
    page.locator("#filter").fill("get")
    expect(requests(page).locator(".queries")).to_have_text(["13", "6", "1"])
    page.locator('[data-sort="time"]').click()
    shop.get("/users/2")
    expect(requests(page).locator(".queries")).to_have_text(["1", "13", "6", "1"])
    page.locator('[data-sort="queries"]').click()
    expect(requests(page).locator(".queries")).to_have_text(["13", "6", "1", "1"])
    header = page.get_by_role("columnheader", name="Queries")
    expect(header).to_have_attribute("aria-sort", "descending")


def test_the_list_can_be_used_by_keys_alone(shop: Shop, page: Page) -> None:
    one, two = shop.number("/users/1"), shop.number("/users/2")
    page.goto("#now")
    page.keyboard.press("2")
    expect(requests(page)).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("users")
    expect(requests(page)).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-request="{two}"]')).to_have_attribute("aria-selected", "true")
    page.keyboard.press("j")
    expect(page.locator(f'[data-request="{one}"]')).to_have_attribute("aria-selected", "true")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#request-title")).to_have_text("GET /users/1")
    page.keyboard.press("[")
    expect(page.locator("#request-title")).to_have_text("GET /users/2")
    page.keyboard.press("]")
    expect(page.locator("#request-title")).to_have_text("GET /users/1")
    page.keyboard.press("Escape")
    expect(page.locator("#view-requests")).to_be_visible()
    expect(page.locator(f'[data-request="{one}"]')).to_have_attribute("aria-selected", "true")


def test_a_click_opens_the_row_that_was_pressed_whatever_comes_meanwhile(
    shop: Shop, page: Page
) -> None:
    page.goto("#requests")
    number = shop.number("/users/1")
    page.locator(f'[data-request="{number}"]').hover()
    page.mouse.down()
    shop.get("/orders")
    expect(requests(page).locator(".path").first).to_have_text("/orders")
    page.mouse.up()
    expect(page.locator("#request-title")).to_have_text("GET /users/1")


def test_keys_may_come_faster_than_the_page_draws(shop: Shop, page: Page) -> None:
    for path in ("/users/1", "/orders"):
        shop.get(path)
    page.goto("#requests")
    expect(requests(page)).to_have_count(3)
    page.keyboard.press("1")
    page.evaluate(
        """() => {
          const press = (key) => document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          press("/");
          document.activeElement.value = "users";
          document.activeElement.dispatchEvent(new Event("input"));
          press("Enter");
          press("Enter");
        }"""
    )
    expect(page.locator("#request-title")).to_have_text("GET /users/1")
