"""The page at /, in a real browser."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from starlette.testclient import TestClient

from tests.inspector.browser import chromium, hold_back, until, window
from tests.servers.processes import PATIENCE

if TYPE_CHECKING:
    from tests.service.conftest import Running, Start

PAGE_SIZE = 5
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "'\"><svg onload=alert(3)>",
    "{{7*7}} ${7*7} &lt;b&gt;",
    "javascript:alert(4)",
]


@pytest.mark.parametrize("kind", ["sqlite"])
def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_of_the_page_is_sent_again_only_when_it_changed(
    client: TestClient, path: str, media_type: str
) -> None:
    first = client.get(path)
    assert first.status_code == 200
    assert first.headers["content-type"] == media_type
    assert first.content
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert client.head(path).headers["etag"] == first.headers["etag"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(serve: "Start") -> "Running":
    return serve("--page-size", str(PAGE_SIZE))


@pytest.fixture
def api(service: "Running") -> httpx2.Client:
    """A client of the service, which has no users at first."""
    api = service.client()
    while users := api.get("/users").json()["users"]:
        for user in users:
            api.delete(f"/users/{user['id']}")
    return api


@pytest.fixture
def context(browser: Browser, service: "Running") -> Iterator[BrowserContext]:
    """A window that notices whatever is wrong with what it shows."""
    with window(browser, service.address) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def add(api: httpx2.Client, *names: str) -> None:
    for name in names:
        assert api.post("/users", json={"name": name}).status_code == 201


def stored(api: httpx2.Client) -> list[str]:
    return [user["name"] for user in api.get("/users", params={"limit": 200}).json()["users"]]


def expect_names(page: Page, *names: str) -> None:
    expect(page.locator("#users .person .name")).to_have_text(list(names))


def test_an_empty_list_says_what_to_do(api: httpx2.Client, page: Page) -> None:
    page.goto("/")
    expect(page.get_by_text("No users yet")).to_be_visible()
    expect(page.locator("#further")).to_be_hidden()


def test_a_user_can_be_added(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada")
    page.goto("/")
    page.get_by_label("New user").fill("Grace")
    page.get_by_role("button", name="Add").click()
    expect_names(page, "Ada", "Grace")
    expect(page.locator("#status")).to_have_text("Added Grace")
    expect(page.get_by_label("New user")).to_have_value("")
    expect(page.locator("#summary")).to_have_text("2 users")
    assert stored(api) == ["Ada", "Grace"]


@pytest.mark.parametrize(
    ("name", "reason"), [("ADA", 'The name "ADA" is taken.'), (" ", "must not be empty")]
)
def test_a_name_that_cannot_be_added_is_answered_beside_the_field(
    api: httpx2.Client, page: Page, name: str, reason: str
) -> None:
    add(api, "Ada")
    page.goto("/")
    field = page.get_by_label("New user")
    field.fill(name)
    field.press("Enter")
    expect(page.locator("#add-error")).to_contain_text(reason)
    expect(field).to_be_focused()
    expect(field).to_have_value(name)
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("Grace")
    field.press("Enter")
    expect_names(page, "Ada", "Grace")
    expect(page.locator("#add-error")).to_be_empty()


def test_a_user_can_be_renamed(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada", "Grace")
    page.goto("/")
    page.get_by_role("button", name="Rename Ada").click()
    page.get_by_label("New name for Ada").fill("grace")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="is taken")).to_be_visible()
    page.get_by_label("New name for Ada").fill("Countess")
    page.get_by_role("button", name="Save").click()
    expect_names(page, "Countess", "Grace")
    assert stored(api) == ["Countess", "Grace"]


def test_a_user_is_deleted_only_after_a_second_thought(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada", "Grace")
    page.goto("/")
    page.get_by_role("button", name="Delete Ada").click()
    page.get_by_role("button", name="Keep").click()
    expect_names(page, "Ada", "Grace")
    page.get_by_role("button", name="Delete Ada").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect_names(page, "Grace")
    expect(page.locator("#status")).to_have_text("Deleted Ada")
    assert stored(api) == ["Grace"]


def test_an_older_list_does_not_bring_back_who_was_deleted(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada", "Grace")
    page.goto("/")
    expect_names(page, "Ada", "Grace")
    add(api, "Linda")
    older = api.get("/users").json()
    held = hold_back(page, "**/users?*")
    page.get_by_label("Search names").fill("a")
    until(page, lambda: held)
    page.get_by_role("button", name="Delete Ada").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    until(page, lambda: stored(api) == ["Grace", "Linda"])
    held[0].fulfill(json=older)
    expect(page.locator("#status")).to_have_text("Deleted Ada")
    expect_names(page, "Grace", "Linda")


def test_the_next_name_can_be_written_before_the_first_is_added(
    api: httpx2.Client, page: Page
) -> None:
    page.goto("/")
    expect(page.get_by_text("No users yet")).to_be_visible()
    held = hold_back(page, "**/users")
    field = page.get_by_label("New user")
    field.fill("Ada")
    field.press("Enter")
    until(page, lambda: held)
    field.fill("Grace")
    held[0].continue_()
    expect(page.locator("#status")).to_have_text("Added Ada")
    expect(field).to_have_value("Grace")
    expect(field).to_be_focused()


def test_a_user_who_is_gone_already_is_said_to_be(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada")
    page.goto("/")
    page.get_by_role("button", name="Delete Ada").click()
    api.delete(f"/users/{api.get('/users').json()['users'][0]['id']}")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="There is no user")).to_be_visible()


def test_names_can_be_searched(api: httpx2.Client, page: Page) -> None:
    add(api, "Ada Lovelace", "Grace Hopper", "СОФЬЯ")
    page.goto("/")
    search = page.get_by_label("Search names")
    search.fill("софья")
    expect_names(page, "СОФЬЯ")
    expect(page.locator("#summary")).to_have_text("1 user found")
    search.fill("nobody")
    expect(page.get_by_text("No name contains")).to_contain_text("nobody")
    page.get_by_role("button", name="Show all users").click()
    expect_names(page, "Ada Lovelace", "Grace Hopper", "СОФЬЯ")
    expect(search).to_be_focused()


def test_a_long_list_is_loaded_page_by_page(api: httpx2.Client, page: Page) -> None:
    names = [f"user {number}" for number in range(2 * PAGE_SIZE + 1)]
    add(api, *names)
    page.goto("/")
    expect_names(page, *names[:PAGE_SIZE])
    expect(page.locator("#summary")).to_have_text(f"{PAGE_SIZE} users, and more")
    # Who is added meanwhile is shown at once, at the end, and once only.
    page.get_by_label("New user").fill("newest")
    page.get_by_label("New user").press("Enter")
    expect_names(page, *names[:PAGE_SIZE], "newest")
    more = page.get_by_role("button", name="Show more")
    more.click()
    expect_names(page, *names[: 2 * PAGE_SIZE], "newest")
    expect(page.get_by_role("button", name=f"Rename {names[PAGE_SIZE]}")).to_be_focused()
    more.click()
    expect_names(page, *names, "newest")
    expect(more).to_be_hidden()


def test_everything_can_be_done_from_the_keyboard(api: httpx2.Client, page: Page) -> None:
    page.goto("/")
    press = page.keyboard.press

    def expect_focus(name: str) -> None:
        expect(page.locator(":focus")).to_have_accessible_name(name)

    press("Tab")
    expect_focus("New user")
    for name in ("Ada", "Grace"):
        page.keyboard.type(name)
        press("Enter")
        expect(page.locator("#status")).to_have_text(f"Added {name}")
    expect_names(page, "Ada", "Grace")

    for name in (
        *("Add", "Search names"),
        *("Rename Ada", "Delete Ada", "Rename Grace", "Delete Grace"),
    ):
        press("Tab")
        expect_focus(name)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"

    press("Shift+Tab")
    press("Enter")
    expect_focus("New name for Grace")
    page.keyboard.type("Nobody")
    press("Escape")
    expect_focus("Rename Grace")
    press("Enter")
    page.keyboard.type("Grace Hopper")
    press("Enter")
    expect_names(page, "Ada", "Grace Hopper")
    expect_focus("Rename Grace Hopper")

    press("Shift+Tab")
    expect_focus("Delete Ada")
    press("Enter")
    expect_focus("Keep")
    press("Escape")
    expect_focus("Delete Ada")
    press("Enter")
    press("Tab")
    expect_focus("Delete")
    press("Enter")
    expect(page.locator("#status")).to_have_text("Deleted Ada")
    expect_names(page, "Grace Hopper")
    expect_focus("Delete Grace Hopper")
    press("Enter")
    press("Tab")
    press("Enter")
    expect(page.get_by_text("No users yet")).to_be_visible()
    expect_focus("New user")
    assert stored(api) == []


def test_a_hostile_name_is_shown_and_does_nothing(api: httpx2.Client, page: Page) -> None:
    add(api, *HOSTILE)
    page.goto("/")
    expect_names(page, *HOSTILE)
    assert page.locator("#users :is(img, script, svg, b)").count() == 0
    for name in HOSTILE:
        page.get_by_role("button", name=f"Delete {name}").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.locator("#status")).to_have_text(f"Deleted {name}")
        page.get_by_label("New user").fill(name)
        page.get_by_label("New user").press("Enter")
        expect(page.locator("#status")).to_have_text(f"Added {name}")
    assert stored(api) == HOSTILE


def test_names_in_any_direction_keep_to_themselves(api: httpx2.Client, page: Page) -> None:
    add(api, "علي", "Ada")
    page.goto("/")
    expect_names(page, "علي", "Ada")
    names = page.locator("#users .person .name")
    directions = names.evaluate_all("all => all.map(each => getComputedStyle(each).direction)")
    assert directions == ["rtl", "ltr"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(
    api: httpx2.Client, page: Page, scheme: str
) -> None:
    add(api, "Ada")
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto("/")
    expect_names(page, "Ada")
    contrasts = page.evaluate(
        """() => {
          const canvas = document.createElement("canvas")
            .getContext("2d", { willReadFrequently: true });
          const channels = (color) => {
            canvas.fillStyle = color;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const light = (color) => channels(color)
            .map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (element) => {
            const color = getComputedStyle(element).backgroundColor;
            return color === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : color;
          };
          const contrast = (element) => {
            const pair = [getComputedStyle(element).color, behind(element)].map(light);
            return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
          };
          const seen = "h1, label, input, button, .name, time, .badge, #summary, footer a";
          return [...document.querySelectorAll(seen)].map((each) =>
            [each.outerHTML.slice(0, 60), contrast(each)]);
        }"""
    )
    assert len(contrasts) > 8
    assert [pair for pair in contrasts if pair[1] < 4.5] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 22, 26)") is (scheme == "dark")


def test_a_phone_needs_no_sideways_scrolling(api: httpx2.Client, page: Page) -> None:
    add(api, "W" * 200, "Ada", "<img src=x onerror=alert(1)>")
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto("/")
    page.get_by_role("button", name="Rename Ada").click()
    page.get_by_role("button", name="Delete WWW").click()
    page.get_by_label("New user").fill("W" * 200)
    page.get_by_label("New user").press("Enter")
    expect(page.locator("#add-error")).to_contain_text("is taken")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["height"] >= 40


def test_a_list_that_cannot_be_loaded_says_why_and_can_be_tried_again(
    api: httpx2.Client, page: Page
) -> None:
    add(api, "Ada")
    page.route("**/users?*", lambda route: route.abort())
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    page.unroute("**/users?*")
    page.route(
        "**/users?*",
        lambda route: route.fulfill(status=503, json={"detail": "The database is away."}),
    )
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("The database is away.")
    page.unroute("**/users?*")
    page.get_by_role("button", name="Try again").click()
    expect_names(page, "Ada")
    expect(page.get_by_text("The list could not be loaded")).to_be_hidden()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_page_shows_what_a_server_keeps(
    browser: Browser, serve: "Start", start_process: "Start", database_url: str
) -> None:
    # Playwright has an event loop in this thread, so not from here.
    assert start_process("migrate", "--database-url", database_url).process.wait(PATIENCE) == 0
    running = serve("--database-url", database_url)
    with browser.new_context(base_url=running.address, locale="en") as context:
        page = context.new_page()
        page.goto("/")
        for name in (HOSTILE[0], "👩 李"):
            page.get_by_label("New user").fill(name)
            page.get_by_role("button", name="Add").click()
            expect(page.locator("#status")).to_have_text(f"Added {name}")
        page.reload()
        expect_names(page, HOSTILE[0], "👩 李")
    assert running.stop() == 0
