"""The service with --inspector: what the page at / shows of it, and who may see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from starlette.testclient import TestClient

from tests.inspector.browser import chromium, hold_back, sideways, until, window
from tests.servers.processes import PATIENCE
from users_service.app import create_app
from users_service.settings import Settings

if TYPE_CHECKING:
    from tests.service.conftest import Running, Start

TOKEN = "correct-horse-battery"
HERE = ("127.0.0.1", 1234)
COLUMNS = [
    *("Step", "Action", "Async operation", "State before", "State after", "Output/result"),
    *("Place", "Duration", "Waterfall"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def inspected(serve: Start) -> Running:
    return serve("--inspector")


@pytest.fixture
def page(browser: Browser, inspected: Running) -> Iterator[Page]:
    with inspected.client() as api:
        for user in api.get("/users").json()["users"]:
            api.delete(f"/users/{user['id']}")
    with window(browser, inspected.address) as context:
        yield context.new_page()


def actions(page: Page, words: str = "") -> Locator:
    return page.locator("#last-click-steps [data-step]:visible .action", has_text=words)


def add(page: Page, name: str) -> None:
    page.get_by_label("New user").fill(name)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#status")).to_have_text(f"Added {name}")


def test_the_page_shows_what_each_click_did(page: Page) -> None:
    page.goto("/")
    panel = page.get_by_role("complementary", name="What the last click did")
    summary = page.locator("#last-click-summary")
    expect(panel).to_be_visible()
    expect(summary).to_contain_text("GET /users 200: 1 query")
    add(page, "Ada")
    expect(summary).to_contain_text("POST /users 201:")
    expect(panel.get_by_role("columnheader")).to_have_text(COLUMNS)
    expect(actions(page).first).to_have_text("Request received: POST /users")
    expect(actions(page).last).to_have_text("Response sent")
    # The number of the step that is chosen, and all about it.
    actions(page, "Query sent: INSERT users").click()
    expect(panel.locator(".step-detail")).to_contain_text("repository.py:")
    expect(panel.locator(".step-detail")).not_to_contain_text("Ada")
    page.get_by_role("button", name="Rename Ada").click()
    page.get_by_label("New name for Ada").fill("Grace")
    page.get_by_role("button", name="Save").click()
    expect(summary).to_contain_text("PATCH /users/")
    expect(actions(page, "Query sent: UPDATE users")).to_be_visible()
    page.get_by_role("button", name="Delete Grace").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(summary).to_contain_text("DELETE /users/")
    expect(actions(page, "Query sent: DELETE users")).to_be_visible()


def test_an_answer_that_was_overtaken_is_not_shown(page: Page) -> None:
    page.goto("/")
    summary = page.locator("#last-click-summary")
    expect(summary).to_contain_text("GET /users 200:")
    held = hold_back(page, "**/inspector/requests/*")
    add(page, "Ada")
    until(page, lambda: held)
    page.get_by_role("button", name="Delete Ada").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(summary).to_contain_text("DELETE /users/")
    with page.expect_response("**/inspector/requests/*") as answer:
        held[0].continue_()
    answer.value.finished()
    page.evaluate("fetch('users').then((answer) => answer.text())")
    expect(summary).to_contain_text("DELETE /users/")


def test_a_service_that_was_started_again_is_believed(
    browser: Browser, serve: Start, file_url: str
) -> None:
    settings = ("--inspector", "--database-url", file_url)
    first = serve(*settings)
    with window(browser, first.address) as context:
        page = context.new_page()
        page.goto("/")
        add(page, "Ada")
        expect(page.locator("#last-click-summary")).to_contain_text("POST /users 201:")
        assert first.stop() == 0
        again = serve(*settings, "--port", str(urlsplit(first.address).port))
        page.get_by_role("button", name="Delete Ada").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.locator("#last-click-summary")).to_contain_text("DELETE /users/1 204:")
        assert again.stop() == 0


def test_what_failed_is_shown_too(page: Page) -> None:
    page.goto("/")
    add(page, "Ada")
    page.get_by_label("New user").fill("ADA")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#add-error")).to_contain_text("is taken")
    expect(page.locator("#last-click-summary")).to_contain_text("POST /users 409:")


def test_a_click_leads_to_its_request_in_the_inspector(page: Page) -> None:
    page.goto("/")
    add(page, "<img src=x onerror=alert(1)>")
    expect(page.locator("#last-click-summary")).to_contain_text("POST /users 201:")
    page.locator("#last-click-summary a").click()
    expect(page.locator("#request-title")).to_have_text("POST /users")
    expect(page.locator("#flow [aria-current='step']")).to_have_count(1)
    page.go_back()
    page.get_by_role("link", name="Inspector").click()
    expect(page.locator("#state")).to_have_text("connected")


def test_a_phone_needs_no_sideways_scrolling_with_the_panel_either(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto("/")
    add(page, "W" * 200)
    expect(page.locator("#last-click-summary")).to_contain_text("POST /users 201:")
    expect(actions(page).last).to_have_text("Response sent")
    assert sideways(page) is True


def test_without_the_inspector_there_is_no_trace_of_it(browser: Browser, serve: Start) -> None:
    running = serve()
    with running.client() as client:
        for path in ("/inspector", "/inspector/", "/inspector/execution.js", "/inspector/events"):
            assert client.get(path).status_code == 404
        assert "inspector-request" not in client.get("/users").headers
    with window(browser, running.address) as context:
        page = context.new_page()
        page.goto("/")
        add(page, "Ada")
        expect(page.locator("#last-click")).to_be_hidden()
        expect(page.get_by_role("link", name="Inspector")).to_have_count(0)
    assert running.stop() == 0
    assert running.errors.read_text() == ""


def test_with_a_token_the_page_needs_it_and_does_without(browser: Browser, serve: Start) -> None:
    running = serve("--inspector", USERS_INSPECTOR_TOKEN=TOKEN)
    with running.client() as client:
        assert client.get("/inspector/").status_code == 401
        assert client.get("/inspector/export").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/inspector/export", headers=bearer).status_code == 200
        # Behind a proxy as well.
        forwarded = {**bearer, "X-Forwarded-For": "192.0.2.7", "Host": "users.example"}
        assert client.get("/inspector/", headers=forwarded).status_code == 200
    with browser.new_context(base_url=running.address, locale="en") as context:
        page = context.new_page()
        page.goto("/")
        add(page, "Ada")
        expect(page.locator("#last-click")).to_be_hidden()
        page.goto(f"/inspector/?token={TOKEN}")
        expect(page.locator("#state")).to_have_text("connected")
        assert TOKEN not in page.url
        assert TOKEN not in page.content()
        page.goto("/")
        add(page, "Grace")
        expect(page.locator("#last-click-summary")).to_contain_text("POST /users 201:")
        # No script can read it.
        assert page.evaluate("document.cookie") == ""
    assert running.stop() == 0
    assert running.errors.read_text() == ""
    assert TOKEN not in running.output.read_text()


def test_an_open_inspector_does_not_hold_up_the_end_of_the_service(serve: Start) -> None:
    running = serve("--inspector")
    with running.client() as client, client.stream("GET", "/inspector/events?view=now") as answer:
        assert next(answer.iter_lines()).startswith("retry: ")
        assert running.process.poll() is None
    assert running.stop() == 0
    assert running.errors.read_text() == ""


def test_several_workers_cannot_be_inspected(start_process: Start) -> None:
    running = start_process("--inspector", "--workers", "2")
    assert running.process.wait(PATIENCE) == 2
    assert running.lines() == []
    (line,) = running.errors.read_text().splitlines()
    assert "the inspector shows what one process does: use it with one worker" in line


def test_a_short_token_is_refused_without_being_repeated(start_process: Start) -> None:
    running = start_process("--inspector", USERS_INSPECTOR_TOKEN="hunter2")
    assert running.process.wait(PATIENCE) == 2
    (line,) = running.errors.read_text().splitlines()
    assert "USERS_INSPECTOR_TOKEN" in line
    assert "hunter2" not in line


def test_the_environment_switches_it_on(
    monkeypatch: pytest.MonkeyPatch, new_database: Callable[[str], str]
) -> None:
    assert not Settings().inspector
    monkeypatch.setenv("USERS_INSPECTOR", "true")
    monkeypatch.setenv("USERS_INSPECTOR_TOKEN", TOKEN)
    settings = Settings(database_url=new_database("sqlite"))
    assert settings.inspector
    assert TOKEN not in repr(settings)
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1", client=HERE) as client:
        assert client.get("/inspector/").status_code == 401
        paths = client.get("/openapi.json").json()["paths"]
    assert not any("inspector" in path for path in paths)
