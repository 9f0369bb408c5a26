"""What the tests of the service share: a service in this process, and real ones beside it."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

import users_service
from tests.servers.processes import PATIENCE, free_port, wait_until
from tests.service.outside import connect
from users_service import migrations
from users_service.app import create_app
from users_service.settings import Settings

ROOT = Path(users_service.__file__).parents[1]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("USERS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Makes an empty database of a kind; its URL."""
    numbers = itertools.count()

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('database')}/users.db"
        # Started for the first test that needs it.
        url: str = request.getfixturevalue(f"{kind}_server").create_database(f"s{next(numbers)}")
        return url

    return make


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; a test that is about one of them is parametrized with it."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(kind: str, new_database: Callable[[str], str]) -> str:
    """An empty database."""
    return new_database(kind)


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    """Where the database of file_url is, which does not exist yet."""
    return tmp_path / "users.db"


@pytest.fixture
def file_url(database_file: Path) -> str:
    return f"sqlite:///{database_file}"


@pytest.fixture(scope="session")
def migrated() -> dict[str, str]:
    """The database of each kind that is used again: to make one takes a server a while."""
    return {}


@pytest.fixture
def migrated_url(kind: str, new_database: Callable[[str], str], migrated: dict[str, str]) -> str:
    """A database with a table of users that is as good as new."""
    url = migrated.get(kind)
    if url is None:
        url = new_database(kind)
        migrations.upgrade(url)
        if kind != "sqlite":
            migrated[kind] = url
    else:
        with closing(connect(url)) as connection:
            # Where MySQL begins to number its rows again by itself.
            restart = "RESTART IDENTITY" if kind == "postgresql" else ""
            connection.cursor().execute(f"TRUNCATE TABLE users {restart}")
    return url


@pytest.fixture
def client(migrated_url: str) -> Iterator[TestClient]:
    """A client of a service without users, both in this process."""
    app = create_app(Settings(database_url=migrated_url))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@dataclass
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    output: Path
    errors: Path
    address: str = ""
    clients: list[httpx2.Client] = field(default_factory=list)

    def client(self) -> httpx2.Client:
        """A client with connections of its own."""
        # Not by way of a proxy that the environment may name.
        client = httpx2.Client(base_url=self.address, timeout=PATIENCE, trust_env=False)
        self.clients.append(client)
        return client

    def lines(self) -> list[str]:
        """What it has written to its standard output so far."""
        return self.output.read_text().splitlines()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait until it has; the exit code."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def start_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts ``python -m users_service`` with the given arguments and environment."""
    started: list[Running] = []

    def start(
        *arguments: str,
        cwd: Path | None = None,
        program: tuple[str, str] = ("-m", "users_service"),
        **environment: str,
    ) -> Running:
        place = tmp_path_factory.mktemp("process")
        output, errors = place / "output", place / "errors"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("USERS_")}
        with output.open("w") as stdout, errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=cwd or place,
                env={**inherited, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
            )
        running = Running(process, output, errors)
        started.append(running)
        return running

    yield start
    for running in started:
        running.process.terminate()
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def serve(start_process: Start) -> Start:
    """Starts a service on a free port and waits until it has said where it is."""

    def serve(*arguments: str, **rest: Any) -> Running:
        running = start_process("--port", str(free_port()), *arguments, **rest)
        wait_until(lambda: running.process.poll() is not None or running.lines())
        assert running.lines(), running.errors.read_text()
        running.address = running.lines()[0].removeprefix("Users service: ")
        return running

    return serve


@pytest.fixture(scope="session")
def patience() -> Callable[[Callable[[], object]], None]:
    """wait_until(), for tests: waits until a condition holds."""
    return wait_until


@pytest.fixture
def port() -> int:
    return free_port()
