"""What the service says about its own health."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from databases import Database
from tests.service.outside import locked
from users_service import migrations
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
    assert response.headers["retry-after"] == "1"
    reason: str = response.json()["detail"]
    return reason


def assert_of_no_use(client: TestClient) -> None:
    """Every request that needs the database is answered with a problem."""
    name = {"name": "Ada"}
    for response in (
        client.get("/users"),
        client.get("/users/1"),
        client.post("/users", json=name),
        client.patch("/users/1", json=name),
        client.delete("/users/1"),
    ):
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "1"


def test_a_service_without_its_table_is_not_ready(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        # The log says it before anybody asks.
        assert "python -m users_service migrate" in caplog.text
        reason = unready(client)
        assert_of_no_use(client)
    assert "python -m users_service migrate" in reason
    assert database_url.rpartition("/")[2] not in reason


def test_a_table_that_comes_later_is_found(database_url: str) -> None:
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        unready(client)
        migrations.upgrade(database_url)
        assert client.get("/health/ready").status_code == 200
        assert client.post("/users", json={"name": "Ada"}).status_code == 201


def test_a_service_whose_file_is_no_database_is_not_ready(
    file_url: str, database_file: Path
) -> None:
    database_file.write_bytes(b"This is no database. " * 1000)
    with TestClient(create_app(Settings(database_url=file_url))) as client:
        reason = unready(client)
        assert_of_no_use(client)
    assert str(database_file) not in reason


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/missing/users.db",
        "postgresql://ada:secret@127.0.0.1:{port}/users",
        "postgresql+psycopg://ada:secret@127.0.0.1:{port}/users",
        "mysql://ada:secret@127.0.0.1:{port}/users",
        "mysql+aiomysql://ada:secret@127.0.0.1:{port}/users",
    ],
)
def test_a_service_that_cannot_reach_its_database_starts_and_is_not_ready(
    url: str,
    port: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("users_service.app._SECONDS_TO_CONNECT", 0.1)
    url = url.format(folder=tmp_path, port=port)
    with TestClient(create_app(Settings(database_url=url))) as client:
        assert unready(client) == "The database cannot be reached."
        assert_of_no_use(client)
    assert "The database cannot be reached" in caplog.text
    assert "secret" not in caplog.text


def test_a_service_is_ready_once_its_database_can_be_reached(
    file_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.upgrade(file_url)
    failures = iter([ConnectionRefusedError("not yet")])
    connect = Database.connect

    async def connect_at_the_second_attempt(database: Database) -> None:
        for failure in failures:
            raise failure
        await connect(database)

    monkeypatch.setattr(Database, "connect", connect_at_the_second_attempt)
    monkeypatch.setattr("users_service.app._SECONDS_BETWEEN_ATTEMPTS", 0)
    with TestClient(create_app(Settings(database_url=file_url))) as late:
        assert late.get("/health/ready").status_code == 200


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_service_whose_database_does_not_answer_is_not_ready_until_it_does(
    client: TestClient, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("users_service.repository._SECONDS_TO_BE_READY", 0.3)
    with locked(migrated_url, for_readers=True):
        assert unready(client) == "The database does not answer in time."
    assert client.get("/health/ready").status_code == 200
