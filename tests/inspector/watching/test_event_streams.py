"""The streams of events that keep a page up to date."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import FastAPI

from databases import Database
from databases.inspector import Inspector
from tests.library.fake_links import Clock
from tests.library.places import until
from tests.servers.processes import PATIENCE

if TYPE_CHECKING:
    from tests.inspector.conftest import Open
from tests.inspector.conftest import HERE
from tests.inspector.watching.conftest import JSON, add_answer


class Events:
    """A page, as far as its streams of events go: it asks for the next one where one ends."""

    def __init__(self, client: httpx2.AsyncClient, asked: str) -> None:
        self._client = client
        self._asked = asked
        self._last = ""

    async def stream(self, *, forget: bool = False) -> list[tuple[str, JSON]]:
        """All events of the next stream."""
        headers = {"Last-Event-ID": self._last} if self._last and not forget else {}
        answer = await self._client.get(f"/inspector/events?{self._asked}", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = []
        for block in answer.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
            assert fields.keys() <= {"id", "event", "data", "retry"}
            self._last = fields.get("id", self._last)
            if "event" in fields:
                events.append((fields["event"], json.loads(fields["data"])))
        return events


class Live:
    """An application in this event loop, with a request that goes on for as long as it is let."""

    def __init__(self, inspector: Inspector, client: httpx2.AsyncClient) -> None:
        self.inspector = inspector
        self.client = client
        self.go_on = asyncio.Semaphore(0)

    def events(self, asked: str) -> Events:
        return Events(self.client, asked)

    def call(self, path: str) -> asyncio.Task[httpx2.Response]:
        return asyncio.create_task(self.client.get(path))

    async def latest(self, queries: int = 0) -> int:
        """The number of the latest request, once it has had so many queries."""
        async with asyncio.timeout(PATIENCE):
            while True:
                requests = (await self.client.get("/inspector/export")).json()["requests"]
                summary = requests[-1]["summary"]
                if summary["n"] and summary["queries"] >= queries:
                    return int(summary["n"])
                await asyncio.sleep(0.01)


@pytest.fixture
async def live(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setattr("databases.inspector.app._STREAM", 0.05)
    monkeypatch.setattr("databases.inspector.app._PAUSE", 0.005)
    database = Database("sqlite://")
    app = FastAPI()
    inspector = Inspector(database)
    app.mount("/inspector", inspector)
    add_answer(app, database)

    @app.get("/goes-on")
    async def goes_on(n: int) -> Any:
        for number in range(n):
            await shown.go_on.acquire()
            await database.fetch_val("SELECT :n + 0", {"n": number})
        await shown.go_on.acquire()
        return n

    transport = httpx2.ASGITransport(app, client=HERE)
    async with (
        database,
        httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", timeout=PATIENCE
        ) as client,
    ):
        shown = Live(inspector, client)
        assert (await client.get("/inspector/")).status_code == 200
        yield shown


def steps_told(events: list[tuple[str, JSON]], before: list[int]) -> list[int]:
    """The numbers of a request's steps after what came; none may be missing or come twice."""
    numbers = before
    for name, data in events:
        if name == "request":
            numbers = [step["n"] for step in data["steps"]]
        elif name == "steps":
            assert data["after"] == numbers[-1]
            numbers = [*numbers, *(step["n"] for step in data["steps"])]
    return numbers


@pytest.mark.parametrize("queries", [10])
async def test_a_request_is_told_over_many_streams_without_a_gap(live: Live, queries: int) -> None:
    under_way = live.call(f"/goes-on?n={queries}")
    number = await live.latest()
    page = live.events(f"view=requests&request={number}")
    told: list[int] = []
    whole = 0
    for count in range(1, queries + 1):
        live.go_on.release()
        assert await live.latest(count) == number
        events = await page.stream()
        whole += sum(name == "request" for name, _ in events)
        told = steps_told(events, told)
    live.go_on.release()
    await under_way
    events = await page.stream()
    whole += sum(name == "request" for name, _ in events)
    told = steps_told(events, told)
    request = (await live.client.get(f"/inspector/requests/{number}")).json()
    assert told == [step["n"] for step in request["steps"]]
    assert len(told) == 2 * queries + 2
    # Once for all: after that, what is new.
    assert whole == 1


async def test_a_page_that_has_forgotten_where_it_was_is_told_all_of_it(live: Live) -> None:
    await live.client.get("/answer")
    page = live.events(f"view=requests&request={await live.latest()}")
    first = await page.stream()
    assert [name for name, _ in await page.stream()] == []
    assert await page.stream(forget=True) == first


async def test_the_list_is_told_once_and_then_what_is_new(live: Live) -> None:
    await live.client.get("/answer")
    page = live.events("view=requests")
    (first,) = [data for name, data in await page.stream() if name == "requests"]
    assert first["reset"]
    number = await live.latest()
    assert [each["n"] for each in first["requests"]] == [0, number]
    await live.client.get("/answer")
    (more,) = [data for name, data in await page.stream() if name == "requests"]
    assert not more["reset"]
    assert [each["n"] for each in more["requests"]] == [number + 1]
    clear = {"Origin": "http://127.0.0.1"}
    assert (await live.client.post("/inspector/clear", json={}, headers=clear)).is_success
    (reset,) = [data for name, data in await page.stream() if name == "requests"]
    assert reset["reset"]
    assert [each["n"] for each in reset["requests"]] == [0]


async def test_a_request_that_is_kept_no_longer_is_said_to_be_gone(live: Live) -> None:
    events = await live.events("view=requests&request=999999").stream()
    assert ("request", {"gone": True, "n": 999999}) in events


async def test_a_stream_whose_time_is_over_at_once_tells_what_was_asked_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.inspector.app._STREAM", 0)
    names = [name for name, _ in await live.events("view=requests").stream()]
    assert names == ["status", "requests"]


@pytest.mark.parametrize("view", ["now", "requests", "moments", "statements", "?", ""])
async def test_every_view_begins_with_the_status(live: Live, view: str) -> None:
    await live.client.get("/answer")
    events = await live.events(f"view={view}").stream()
    name, status = events[0]
    assert name == "status"
    assert status["state"] == "connected"
    assert status["backend"] == "sqlite"
    assert status["requests"] == 1
    assert {name for name, _ in events} == {
        "status",
        view if view in ("now", "moments", "statements") else "requests",
    }


async def test_a_forged_event_id_tells_nothing_of_another_page(live: Live) -> None:
    await live.client.get("/answer")
    for forged in ("x", "", "0" * 16, "x" * 10_000):
        page = live.events("view=requests")
        page._last = forged
        (told,) = [data for name, data in await page.stream() if name == "requests"]
        assert told["reset"]


async def test_pages_beyond_the_twentieth_are_sent_away(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.inspector.app._STREAM", 1000)
    with Clock(asyncio.get_running_loop()) as clock:
        pages = [live.call("/inspector/events?view=now") for _ in range(20)]
        await until(lambda: live.inspector._pages == 20)
        async with asyncio.timeout(PATIENCE):
            refused = await live.client.get("/inspector/events?view=now")
        assert refused.status_code == 503
        assert "20 pages are open" in refused.json()["detail"]
        clock.ahead(1000)
        assert {(await page).status_code for page in pages} == {200}
    # They are closed now.
    monkeypatch.setattr("databases.inspector.app._STREAM", 0.05)
    assert (await live.client.get("/inspector/events?view=now")).status_code == 200


def test_an_open_page_does_not_hold_up_a_server_that_stops(open_shop: Open) -> None:
    shop = open_shop()
    with shop.client.stream("GET", "/inspector/events?view=now") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")
        stopped = shop.stopping()
        # The stream comes to its own end, in order.
        assert list(lines)[-1] == ""
    assert stopped() in (0, -signal.SIGTERM)
    assert "Traceback" not in shop.log()
