"""What is asked for in vain, and what every answer of the inspector has or does not tell."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from databases import Database
from databases.exceptions import DatabaseError
from databases.inspector import Inspector
from tests.inspector.conftest import HERE
from tests.inspector.guard.conftest import (
    MISSING,
    MISSING_TO_STARLETTE,
    READ,
    protects,
)
from tests.servers.processes import free_port


@pytest.mark.parametrize(
    "path",
    [
        *("requests/-1", "requests/1.5", "requests/%00", "requests/٣", "requests/" + "9" * 4_000),
        *("%00.js", "page.js%00", "con.js", ".js", "...js", "x" * 200 + ".js"),
        *("events?view=requests&request=٣", "events?view=requests&request=-1"),
        *("events?view=%00", "events?request=1&request=2", "events?view=requests&request="),
        "requests/" + "9" * 5_000,
        "events?view=requests&request=" + "9" * 5_000,
        "x" * 5_000 + ".js",
    ],
    ids=lambda path: f"{path[:40]} {len(path)}",
)
def test_an_address_that_makes_no_sense_is_the_clients_fault(client: TestClient, path: str) -> None:
    assert client.get(f"/inspector/{path}").status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        *("../app.py", "%2e%2e/app.py", "..%2fapp.py", "..%2f..%2finspector%2fweb%2fpage.js"),
        *("..%5capp.py", "%2fetc%2fpasswd", "%2e%2e%2fweb%2fpage.js", "web/page.js", "./page.js"),
        *("..", "%2e%2e", ".", "//page.js", "__init__.py", "page.js%2f..%2findex.html"),
    ],
)
async def test_no_name_of_a_file_leads_out_of_the_pages_own(app: FastAPI, path: str) -> None:
    """Asked without a client, which would tidy the path up first."""
    asked = f"/inspector/{path}"
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"},
        **{"scheme": "http", "path": unquote(asked), "raw_path": asked.encode()},
        **{"query_string": b"", "root_path": "", "headers": [(b"host", b"127.0.0.1")]},
        **{"client": HERE, "server": ("127.0.0.1", 80)},
    }
    answer: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        answer.append(message)

    await app(scope, receive, send)
    assert answer[0]["status"] in (307, 404)
    body = b"".join(message["body"] for message in answer[1:])
    assert body in (b"", b'{"detail":"There is no such file."}', b'{"detail":"Not Found"}')


@pytest.mark.parametrize("path", READ)
def test_what_is_answered_allows_nothing_inline_and_nothing_from_elsewhere(
    client: TestClient, path: str
) -> None:
    assert protects(client.get(f"/inspector/{path}"))


@pytest.mark.parametrize("path", MISSING)
def test_an_answer_that_there_is_no_such_thing_does_not_either(
    client: TestClient, path: str
) -> None:
    answer = client.get(f"/inspector/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"]
    assert protects(answer)


@pytest.mark.parametrize("path", MISSING_TO_STARLETTE)
def test_nor_does_one_that_the_router_gives(client: TestClient, path: str) -> None:
    answer = client.get(f"/inspector/{path}")
    assert answer.status_code in (307, 404)
    assert protects(answer)


def test_nor_does_one_to_a_wrong_method(client: TestClient) -> None:
    assert protects(client.get("/inspector/cancel"))


def test_the_address_without_a_slash_leads_to_the_page(client: TestClient) -> None:
    """Files are found relative to the address, so it matters."""
    answer = client.get("/inspector")
    assert answer.status_code in (303, 307, 308)
    assert answer.headers["location"].endswith("/inspector/")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@127.0.0.1:{port}/shop",
        "postgresql+psycopg://ada:hunter2@127.0.0.1:{port}/shop",
        "mysql://ada:hunter2@127.0.0.1:{port}/shop",
        "postgresql://ada:%68unter2@127.0.0.1:{port}/shop",
        "postgresql://ada@127.0.0.1:{port}/shop?password=hunter2",
    ],
)
async def test_the_password_of_the_database_is_nowhere(url: str) -> None:
    database = Database(url.format(port=free_port()))
    app = FastAPI()
    app.mount("/inspector", Inspector(database))
    with pytest.raises((DatabaseError, OSError)):
        await database.connect()
    transport = httpx2.ASGITransport(app, client=HERE)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        texts = [(await client.get(f"/inspector/{path}")).text for path in READ]
    assert "127.0.0.1" in json.loads(texts[READ.index("export")])["status"]["url"]
    assert [text for text in texts if "hunter2" in text or "%68unter2" in text] == []
