"""What the tests of the service share: a service in this process, and real ones beside it."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

import users_service
from users_service import migrations
from users_service.app import create_app
from users_service.settings import Settings

ROOT = Path(users_service.__file__).parents[1]
PATIENCE = 30


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("USERS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "users.db"


@pytest.fixture
def database_url(database_file: Path) -> str:
    return f"sqlite:///{database_file}"


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    """A client of a service with an empty database, both in this process."""
    migrations.upgrade(database_url)
    app = create_app(Settings(database_url=database_url))
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

    def start(*arguments: str, cwd: Path | None = None, **environment: str) -> Running:
        place = tmp_path_factory.mktemp("process")
        output, errors = place / "output", place / "errors"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("USERS_")}
        with output.open("w") as stdout, errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "users_service", *arguments],
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
        running.stop()


@pytest.fixture(scope="session")
def serve(start_process: Start) -> Start:
    """Starts a service on a free port and waits until it has said where it is."""

    def serve(*arguments: str, **rest: str) -> Running:
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


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


@pytest.fixture
def port() -> int:
    return free_port()


def free_port() -> int:
    """A port that nobody listens on, below those that the system itself gives to clients."""
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
