"""Which requests are recorded, what that changes of their answers, and the streams of events."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from databases import Database
from databases.inspector import Inspector
from tests.inspector.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.inspector.conftest import Open, Shop

HERE = ("127.0.0.1", 1234)
JSON = dict[str, Any]


@pytest.fixture
def database() -> Database:
    return Database("sqlite://")


def client_of(app: ASGIApp, **options: Any) -> TestClient:
    return TestClient(
        app, base_url="http://127.0.0.1", client=HERE, raise_server_exceptions=False, **options
    )


def recorded(client: TestClient, at: str = "/inspector") -> list[JSON]:
    """The requests that the inspector knows, whatever has been done outside of requests aside."""
    requests = client.get(f"{at}/export").json()["requests"]
    return [request for request in requests if request["summary"]["n"]]


def paths(client: TestClient, at: str = "/inspector") -> list[str]:
    return [request["summary"]["path"] for request in recorded(client, at)]


def add_answer(app: FastAPI, database: Database, path: str = "/answer") -> None:
    @app.get(path)
    async def answer() -> Any:
        return await database.fetch_val("SELECT 42")


def expect_recorded(client: TestClient, path: str = "/answer", at: str = "/inspector") -> None:
    """Call it, and find the request with its query."""
    before = len(recorded(client, at))
    answer = client.get(path)
    assert answer.status_code == 200
    request = recorded(client, at)[before]
    assert request["summary"]["n"] == int(answer.headers["inspector-request"])
    assert request["summary"]["method"] == "GET"
    assert request["summary"]["path"] == path
    assert request["summary"]["status"] == 200
    assert request["summary"]["queries"] == 1
    assert [step["kind"] for step in request["steps"]] == ["request", "query", "rows", "response"]
    assert request["steps"][1]["place"]["function"].endswith("answer")


# Mounting is all that it takes.


def test_an_application_that_the_lifespan_of_the_database_connects(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database)
    with client_of(app) as client:
        expect_recorded(client)
        expect_recorded(client)


def test_an_inspector_that_is_mounted_before_the_rest_is_made(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    add_answer(app, database)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database, "/other")
    with client_of(app) as client:
        expect_recorded(client, "/other")


@pytest.mark.filterwarnings(r"ignore:\s*on_event is deprecated:DeprecationWarning")
def test_an_application_that_connects_on_an_event(database: Database) -> None:
    app = FastAPI()
    app.mount("/inspector", Inspector(database))
    app.on_event("startup")(database.connect)
    app.on_event("shutdown")(database.disconnect)
    add_answer(app, database)
    with client_of(app) as client:
        expect_recorded(client)


def test_an_application_that_connects_in_the_background(database: Database) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connecting = asyncio.create_task(database.connect())
        yield
        await connecting
        await database.disconnect()

    app = FastAPI(lifespan=lifespan)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database)
    with client_of(app) as client:
        wait_until(lambda: database.is_connected)
        expect_recorded(client)


def test_an_application_of_starlette(database: Database) -> None:
    async def answer(request: Request) -> Response:
        return PlainTextResponse(str(await database.fetch_val("SELECT 42")))

    routes = [Route("/answer", answer), Mount("/inspector", Inspector(database))]
    with client_of(Starlette(routes=routes, lifespan=database.lifespan)) as client:
        expect_recorded(client)


async def test_an_application_that_is_made_after_the_database_was_connected() -> None:
    async with Database("sqlite://") as database:
        app = FastAPI()
        app.mount("/inspector", Inspector(database))
        add_answer(app, database)
        transport = httpx2.ASGITransport(app, client=HERE)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            # Whoever wants to look at it opens its page.
            assert (await client.get("/inspector/")).status_code == 200
            number = (await client.get("/answer")).headers["inspector-request"]
            request = (await client.get(f"/inspector/requests/{number}")).json()
    assert request["summary"]["path"] == "/answer"
    assert request["summary"]["queries"] == 1


def test_an_application_within_another_one(database: Database) -> None:
    shop = FastAPI()
    shop.mount("/inspector", Inspector(database))
    add_answer(shop, database)
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/shop", shop)
    with client_of(app) as client:
        expect_recorded(client, "/shop/answer", "/shop/inspector")
        assert paths(client, "/shop/inspector") == ["/shop/answer"]


def test_an_application_behind_a_prefix(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database)
    # A proxy that leaves the prefix in the path, as ASGI has it.
    with client_of(app, root_path="/prefix") as client:
        expect_recorded(client, "/prefix/answer", "/prefix/inspector")
        assert paths(client, "/prefix/inspector") == ["/prefix/answer"]


def test_an_inspector_that_is_mounted_beside_other_tools(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/tools", Starlette(routes=[Mount("/inspector", Inspector(database))]))
    add_answer(app, database)
    with client_of(app) as client:
        client.get("/tools/inspector/")
        expect_recorded(client, "/answer", "/tools/inspector")
        assert paths(client, "/tools/inspector") == ["/answer"]


def test_its_own_requests_are_no_news(database: Database) -> None:
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database, "/inspectors/answer")
    add_answer(app, database, "/inspector-answer")
    with client_of(app) as client:
        for path in ("", "/", "/page.js", "/export", "/nothing.js", "/requests/0"):
            assert "inspector-request" not in client.get(f"/inspector{path}").headers
        client.get("/inspectors/answer")
        client.get("/inspector-answer")
        assert paths(client) == ["/inspectors/answer", "/inspector-answer"]


def two_in_one() -> tuple[FastAPI, Database, Database]:
    one, other = Database("sqlite://"), Database("sqlite://")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with one, other:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/one", Inspector(one))
    app.mount("/other", Inspector(other))

    @app.get("/answer")
    async def answer() -> Any:
        await one.fetch_val("SELECT 1")
        return await other.fetch_val("SELECT 2")

    return app, one, other


def test_two_databases_have_an_inspector_each() -> None:
    app, _, _ = two_in_one()
    with client_of(app) as client:
        client.get("/answer")
        for at, sql in (("/one", "SELECT 1"), ("/other", "SELECT 2")):
            (request,) = [each for each in recorded(client, at) if "answer" in str(each["summary"])]
            assert request["summary"]["queries"] == 1
            assert [step["sql"] for step in request["steps"] if step["kind"] == "query"] == [sql]


def test_two_inspectors_do_not_record_each_other() -> None:
    app, _, _ = two_in_one()
    with client_of(app) as client:
        client.get("/answer")
        assert paths(client, "/one") == ["/answer"]
        assert paths(client, "/other") == ["/answer"]
        assert paths(client, "/one") == ["/answer"]


@pytest.fixture
def plain(database: Database) -> Iterator[TestClient]:
    """An application of no framework, with the inspector at /inspector."""
    inspector = Inspector(database)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await database.connect()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await database.disconnect()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"].startswith("/inspector/"):
            path = scope["path"].removeprefix("/inspector")
            await inspector({**scope, "path": path}, receive, send)
        else:
            answer = PlainTextResponse(str(await database.fetch_val("SELECT 42")))
            await answer(scope, receive, send)

    with client_of(inspector.watch(app)) as client:
        yield client


def test_any_application_can_be_watched(plain: TestClient) -> None:
    number = plain.get("/answer").headers["inspector-request"]
    request = plain.get(f"/inspector/requests/{number}").json()
    assert request["summary"]["path"] == "/answer"
    assert request["summary"]["queries"] == 1


def test_the_inspectors_requests_are_no_news_there_either(plain: TestClient) -> None:
    plain.get("/answer")
    plain.get("/inspector/page.js")
    assert paths(plain) == ["/answer"]


# What a request comes to.


@pytest.fixture
def odd(database: Database) -> Iterator[TestClient]:
    """An application whose answers are of all kinds."""
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database))
    add_answer(app, database)

    @app.get("/fails")
    async def fails() -> Any:
        await database.fetch_val("SELECT 1")
        raise LookupError("there is no such order")

    @app.get("/stream")
    async def stream() -> Response:
        async def numbers() -> AsyncIterator[str]:
            for number in range(3):
                yield str(await database.fetch_val("SELECT :n + 0", {"n": number}))

        return StreamingResponse(numbers())

    @app.get("/breaks")
    async def breaks() -> Response:
        async def numbers() -> AsyncIterator[str]:
            yield str(await database.fetch_val("SELECT 1"))
            raise LookupError("no more of them")

        return StreamingResponse(numbers())

    @app.get("/tasks")
    async def tasks() -> Any:
        return await asyncio.gather(*[database.fetch_val("SELECT 1") for _ in range(5)])

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(await database.fetch_val("SELECT 42"))
        await socket.close()

    with client_of(app) as client:
        yield client


def test_a_request_that_fails_has_the_error_and_the_status(odd: TestClient) -> None:
    assert odd.get("/fails").status_code == 500
    (request,) = recorded(odd)
    assert request["summary"]["status"] == 500
    # What an application says may have values in it.
    assert request["summary"]["error"] == "LookupError"
    assert request["summary"]["duration"] is not None
    last = request["steps"][-1]
    assert (last["kind"], last["error"]) == ("response", "LookupError")


def test_a_stream_has_the_queries_of_all_its_pieces(odd: TestClient) -> None:
    assert odd.get("/stream").text == "012"
    (request,) = recorded(odd)
    assert request["summary"]["queries"] == 3
    assert request["summary"]["status"] == 200
    assert request["steps"][-1]["kind"] == "response"


def test_a_stream_that_breaks_has_its_status_and_the_error(odd: TestClient) -> None:
    odd.get("/breaks")
    (request,) = recorded(odd)
    assert request["summary"]["status"] == 200
    assert request["summary"]["error"] == "LookupError"


def test_what_tasks_of_a_request_do_belongs_to_it(odd: TestClient) -> None:
    odd.get("/tasks")
    (request,) = recorded(odd)
    assert request["summary"]["queries"] == 5


def test_a_websocket_passes(odd: TestClient) -> None:
    with odd.websocket_connect("/socket") as socket:
        assert socket.receive_json() == 42
    assert recorded(odd) == []


def test_the_inspector_itself_has_no_websocket(odd: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), odd.websocket_connect("/inspector/events"):
        pass


def test_the_paths_query_string_is_not_kept(odd: TestClient) -> None:
    odd.get("/answer?password=hunter2")
    assert "hunter2" not in odd.get("/inspector/export").text


def test_watching_changes_nothing_of_an_answer_but_the_header(database: Database) -> None:
    def make(watched: bool) -> FastAPI:
        database = Database("sqlite://")
        app = FastAPI(lifespan=database.lifespan)
        if watched:
            app.mount("/inspector", Inspector(database))

        @app.get("/answer")
        async def answer() -> Response:
            await database.fetch_val("SELECT 42")
            headers = {"X-One": "1", "Inspector-Requests": "mine"}
            return Response(b"\x00\xff", 207, headers, "application/octet-stream")

        return app

    with client_of(make(watched=True)) as one, client_of(make(watched=False)) as other:
        for method, path in (
            *(("GET", "/answer"), ("HEAD", "/answer"), ("GET", "/missing"), ("POST", "/answer")),
        ):
            watched, plain = one.request(method, path), other.request(method, path)
            number = watched.headers.pop("inspector-request")
            assert number.isdecimal()
            assert watched.status_code == plain.status_code
            assert watched.headers.raw == plain.headers.raw
            assert watched.content == plain.content


def test_a_client_that_leaves_ends_its_request(shop: Shop) -> None:
    # It leaves while its answer is on its way: far more than fits on it.
    with shop.client.stream("GET", "/pours") as answer:
        number = int(answer.headers["inspector-request"])
        next(answer.iter_bytes())
    request = shop.recorded(number)
    assert request["summary"]["status"] == 200
    assert request["steps"][-1]["kind"] == "response"


# The streams of events.


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

    def __init__(self, database: Database, client: httpx2.AsyncClient) -> None:
        self.database = database
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
    app.mount("/inspector", Inspector(database))
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
        shown = Live(database, client)
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
    monkeypatch.setattr("databases.inspector.app._STREAM", 1.0)
    pages = [live.call("/inspector/events?view=now") for _ in range(20)]
    for _ in range(20):  # Answers that were asked for later: all of those have begun.
        assert (await live.client.get("/answer")).is_success
    refused = await live.client.get("/inspector/events?view=now")
    assert refused.status_code == 503
    assert "20 pages are open" in refused.json()["detail"]
    assert {(await page).status_code for page in pages} == {200}
    # They are closed now.
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
