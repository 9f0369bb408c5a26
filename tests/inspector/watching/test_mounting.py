"""Applications of all kinds that an inspector watches: mounting is all that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from databases import Database
from databases.inspector import Inspector
from tests.inspector.conftest import HERE
from tests.inspector.watching.conftest import add_answer, client_of, paths, recorded
from tests.servers.processes import wait_until


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
