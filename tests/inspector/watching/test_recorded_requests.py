"""What is recorded of a request, and that its answer stays as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from databases import Database
from databases.inspector import Inspector

if TYPE_CHECKING:
    from tests.inspector.conftest import Shop
from tests.inspector.watching.conftest import add_answer, client_of, recorded


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
