"""``python -m users_service``: what it says and how it ends."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from databases import DatabaseURL
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import PATIENCE
from tests.service.outside import connect
from users_service import migrations
from users_service.settings import Settings

if TYPE_CHECKING:
    from tests.service.conftest import Running, Start


def outcome(running: "Running") -> tuple[int, str]:
    """The exit code and the only line of a command that failed before it served anything."""
    status = running.process.wait(PATIENCE)
    assert running.lines() == []
    (line,) = running.errors.read_text().splitlines()
    return status, line


def test_help_names_every_setting_with_its_variable_and_the_command(start_process: "Start") -> None:
    running = start_process("--help")
    assert running.process.wait(PATIENCE) == 0
    text = " ".join(running.output.read_text().split())
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in text
        assert f"[env: USERS_{name.upper()}]" in text
    assert "migrate" in text


def test_the_first_line_is_the_address_of_the_page(serve: "Start", tmp_path: Path) -> None:
    running = serve(cwd=tmp_path)
    assert running.lines()[0] == f"Users service: {running.address}"
    with running.client() as client:
        assert "text/html" in client.get("/").headers["content-type"]
    assert (tmp_path / "users.db").exists()
    assert running.stop() == 0
    assert running.errors.read_text() == ""


def test_a_service_that_is_set_by_the_environment_is_so(
    serve: "Start", file_url: str, database_file: Path
) -> None:
    running = serve(USERS_DATABASE_URL=file_url, USERS_PAGE_SIZE="1")
    with running.client() as client:
        for name in ("Ada", "Grace"):
            assert client.post("/users", json={"name": name}).status_code == 201
        assert len(client.get("/users").json()["users"]) == 1
    assert database_file.exists()


def test_a_port_in_use_is_told_in_one_line_with_a_way_out(
    start_process: "Start", port: int, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        status, line = outcome(start_process("--port", str(port), cwd=tmp_path))
    assert status == 1
    assert f"Port {port} on 127.0.0.1 is in use" in line
    assert f"--port {port + 1}" in line
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_computer_is_told_in_one_line(
    start_process: "Start", port: int
) -> None:
    status, line = outcome(start_process("--host", "192.0.2.1", "--port", str(port)))
    assert status == 1
    assert "Cannot listen on 192.0.2.1" in line


@pytest.mark.parametrize("command", [[], ["migrate"]], ids=["serve", "migrate"])
@pytest.mark.parametrize("trouble", ["missing directory", "is a directory", "no database"])
def test_an_unusable_file_is_told_in_one_line(
    start_process: "Start", port: int, tmp_path: Path, command: list[str], trouble: str
) -> None:
    file = tmp_path / "users.db"
    if trouble == "missing directory":
        file = tmp_path / "missing" / "users.db"
    elif trouble == "is a directory":
        file.mkdir()
    else:
        file.write_bytes(b"This is no database. " * 1000)
    settings = {"USERS_PORT": str(port), "USERS_DATABASE_URL": f"sqlite:///{file}"}
    status, line = outcome(start_process(*command, **settings))
    assert status == 1
    assert str(file) in line
    assert "--database-url" in line


def test_a_database_from_the_future_is_told_in_one_line(
    start_process: "Start", database_url: str
) -> None:
    migrations.upgrade(database_url)
    with closing(connect(database_url)) as connection:
        connection.cursor().execute("UPDATE alembic_version SET version_num = '9999'")
    status, line = outcome(start_process("migrate", "--database-url", database_url))
    assert status == 1
    assert "9999" in line


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--port", "http"], "--port (USERS_PORT)"),
        (["--workers", "0"], "--workers (USERS_WORKERS)"),
        (["--database-url", "users.db"], "--database-url (USERS_DATABASE_URL)"),
        (["migrate", "--database-url", "x://ada:secret@y/z"], "--database-url"),
    ],
)
def test_a_bad_setting_is_told_in_one_line(
    start_process: "Start", arguments: list[str], hint: str
) -> None:
    status, line = outcome(start_process(*arguments))
    assert status == 2
    assert hint in line
    assert "secret" not in line


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql", "mysql+aiomysql"])
def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password(
    start_process: "Start", port: int, scheme: str
) -> None:
    url = f"{scheme}://ada:secret@127.0.0.1:{port}/users"
    status, line = outcome(start_process("migrate", "--database-url", url))
    assert status == 1
    assert f"{scheme}://ada:********@127.0.0.1:{port}/users cannot be used" in line
    assert "secret" not in line


def test_a_missing_permission_is_told_in_the_words_of_the_server(
    start_process: "Start", postgresql_server: PostgreSQL
) -> None:
    url = DatabaseURL(postgresql_server.create_database("not_mine"))
    postgresql_server.execute("CREATE ROLE guest LOGIN")
    status, line = outcome(
        start_process("migrate", USERS_DATABASE_URL=str(url.replace(username="guest")))
    )
    assert status == 1
    assert "cannot be used: permission denied for schema public. Check" in line


def test_migrate_creates_the_schema_and_ends(start_process: "Start", database_url: str) -> None:
    running = start_process("migrate", "--database-url", database_url)
    assert running.process.wait(PATIENCE) == 0
    assert running.errors.read_text() == ""
    with closing(connect(database_url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM users")
        assert cursor.fetchone() == (0,)


def test_migrate_takes_the_database_of_the_environment(
    start_process: "Start", file_url: str, database_file: Path
) -> None:
    assert start_process("migrate", USERS_DATABASE_URL=file_url).process.wait(PATIENCE) == 0
    assert database_file.exists()


def test_migrations_at_the_same_moment_do_not_collide(
    start_process: "Start", database_url: str
) -> None:
    all_at_once = [start_process("migrate", "--database-url", database_url) for _ in range(3)]
    for running in all_at_once:
        assert running.process.wait(PATIENCE) == 0, running.errors.read_text()


def test_services_that_start_at_the_same_moment_share_a_file(
    serve: "Start",
    start_process: "Start",
    file_url: str,
    port: int,
    patience: Callable[[Callable[[], object]], None],
) -> None:
    first = start_process("--port", str(port), "--database-url", file_url)
    second = serve("--database-url", file_url)
    patience(first.lines)
    with second.client() as client:
        assert client.post("/users", json={"name": "Ada"}).status_code == 201
    assert first.stop() == 0
    assert first.errors.read_text() == ""
