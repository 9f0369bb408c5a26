"""What the service says about its own health."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from databases import Database
from users_service.app import create_app
from users_service.settings import Settings


def test_a_service_with_its_database_is_alive_and_ready(client: TestClient) -> None:
    for path in ("/health/live", "/health/ready"):
        response = client.get(path)
        assert response.status_code == 200
        assert response.json() == {"status": "ok"}


def unready(client: TestClient) -> str:
    """The reason why a service is alive and yet not ready."""
    assert client.get("/health/live").status_code == 200
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert client.get("/users").status_code == 503
    assert client.post("/users", json={"name": "Ada"}).status_code == 503
    reason: str = response.json()["detail"]
    return reason


def test_a_service_without_its_table_is_not_ready(database_url: str, tmp_path: Path) -> None:
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        reason = unready(client)
    assert "migrate" in reason
    assert str(tmp_path) not in reason


def test_a_service_whose_file_is_no_database_is_not_ready(
    database_url: str, database_file: Path
) -> None:
    database_file.write_bytes(b"This is no database. " * 1000)
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        reason = unready(client)
    assert str(database_file) not in reason


def test_a_service_that_cannot_reach_its_database_starts_and_is_not_ready(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/users.db"
    with TestClient(create_app(Settings(database_url=url))) as client:
        assert unready(client) == "The database cannot be reached."


def test_a_service_is_ready_once_its_database_can_be_reached(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([ConnectionRefusedError("not yet")])
    connect = Database.connect

    async def connect_at_the_second_attempt(database: Database) -> None:
        for failure in failures:
            raise failure
        await connect(database)

    monkeypatch.setattr(Database, "connect", connect_at_the_second_attempt)
    monkeypatch.setattr("users_service.app._SECONDS_BETWEEN_ATTEMPTS", 0)
    url = client.app.state.users._database.url  # type: ignore[attr-defined]
    with TestClient(create_app(Settings(database_url=str(url)))) as late:
        assert late.get("/health/ready").status_code == 200
