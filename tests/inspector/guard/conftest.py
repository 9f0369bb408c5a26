"""An inspector that may be asked by anybody, and all that it can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from databases import Database
from databases.inspector import Inspector
from tests.inspector.conftest import HERE

TOKEN = "correct-horse-battery"
ELSEWHERE = ("192.0.2.7", 1234)
ORIGIN = {"Origin": "http://127.0.0.1:8000"}

READ = [
    *("", "index.html", "page.js", "execution.css", "icon.svg"),
    *("events?view=now", "requests/0", "export"),
]
MISSING = ["nothing.js", "app.py", "requests/999999"]
MISSING_TO_STARLETTE = ["a/b", "requests/x", "page.js/"]
DO = ["cancel", "explain", "clear"]
POLICY = (
    *("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"),
    "require-trusted-types-for 'script'",
)


@pytest.fixture(autouse=True)
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stream of events end after its first ones: the client here waits for the end."""
    monkeypatch.setattr("databases.inspector.app._STREAM", 0.001)
    monkeypatch.setattr("databases.inspector.app._PAUSE", 0.001)


def create_app(token: str | None = None) -> FastAPI:
    database = Database("sqlite://")
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database, token=token))

    @app.get("/answer")
    async def answer() -> Any:
        return await database.fetch_val("SELECT 42")

    return app


def client_of(app: FastAPI, client: tuple[str, int] | None = HERE) -> TestClient:
    """Somebody at an address, to whom an error in the application is an answer 500."""
    return TestClient(
        app,
        base_url="http://127.0.0.1:8000",
        client=client,  # type: ignore[arg-type]
        raise_server_exceptions=False,
        follow_redirects=False,
    )


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app()


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


@pytest.fixture
def with_token() -> Iterator[TestClient]:
    """Somebody far away, who does not know the token."""
    with client_of(create_app(TOKEN), ELSEWHERE) as client:
        yield client


def answers_all_with(status: int, client: TestClient) -> None:
    """Whatever is asked for has this one answer."""
    for path in [*READ, *MISSING, *MISSING_TO_STARLETTE]:
        answer = client.get(f"/inspector/{path}")
        assert answer.status_code == status, path
        assert protects(answer)
    for path in DO:
        answer = client.post(f"/inspector/{path}", json={}, headers=ORIGIN)
        assert answer.status_code == status, path


def protects(response: httpx2.Response) -> bool:
    """Whether an answer has the headers that every one has to have."""
    headers = response.headers
    policy = headers.get("content-security-policy", "")
    return (
        all(each in policy for each in POLICY)
        and "unsafe" not in policy
        and "://" not in policy
        and headers.get("x-content-type-options") == "nosniff"
        and headers.get("referrer-policy") == "no-referrer"
        and headers.get("cache-control") == "no-store"
        and headers.get("cross-origin-resource-policy") == "same-origin"
    )
