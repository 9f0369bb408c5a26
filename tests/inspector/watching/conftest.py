"""Applications with an inspector, called in this process."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from databases import Database
from tests.inspector.conftest import HERE

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
