"""What the tests of the inspector share: a shop in a process of its own, and a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import databases
from databases import Database
from tests.inspector.browser import chromium, window
from tests.inspector.recorded import Recorded, new_url, recorded
from tests.library.kinds import FILE, Kind
from tests.servers.processes import PATIENCE, free_port, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.servers.postgresql import PostgreSQL

ROOT = Path(databases.__file__).parents[1]

HERE = ("127.0.0.1", 1234)
"""The address of somebody on this machine."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shop:
    """A shop that is being served, and those who call it."""

    def __init__(self, folder: Path, database_url: str, *arguments: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.inspector = f"{self.address}/inspector/"
        self._arguments = arguments
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        # A connection for each: the server closes those of requests that fail.
        none = httpx2.Limits(max_keepalive_connections=0)
        # Not by way of a proxy that the environment may name.
        self.client = httpx2.Client(
            base_url=self.address, timeout=PATIENCE, trust_env=False, limits=none
        )
        self._callers = ThreadPoolExecutor(12)
        self._calls: list[Future[httpx2.Response]] = []
        self.start()

    def start(self) -> None:
        """Start it, always at the same address, and wait until it answers."""
        assert self._process is None or self._process.poll() is not None
        command = [
            *(sys.executable, "-m", "tests.inspector.shop", "--port", str(self.port)),
            *("--database-url", self.database_url, *self._arguments),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        process = self._process
        wait_until(lambda: process.poll() is not None or self._answers())
        assert process.poll() is None, self.log()

    def stopping(self, by: signal.Signals = signal.SIGTERM) -> Callable[[], int]:
        """Ask it to end; what to call to wait until it has, which returns the exit code."""
        assert self._process is not None
        process = self._process
        process.send_signal(by)

        def stopped() -> int:
            return process.wait(PATIENCE)

        return stopped

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait until it has; the exit code."""
        return self.stopping(by)()

    def close(self) -> None:
        """Stop it, whatever it does just now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._callers.shutdown()
        self.client.close()

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """Call it and wait for the answer."""
        return self.client.get(path, **options)

    def call(self, path: str) -> Future[httpx2.Response]:
        """Call it meanwhile: in a thread, on a connection of its own."""

        def called() -> httpx2.Response:
            with httpx2.Client(base_url=self.address, timeout=2 * PATIENCE, trust_env=False) as one:
                return one.get(path)

        call = self._callers.submit(called)
        self._calls.append(call)
        return call

    def number(self, path: str, **options: Any) -> int:
        """Call it; the number under which the inspector shows this request."""
        return int(self.get(path, **options).headers["inspector-request"])

    def recorded(self, number: int) -> dict[str, Any]:
        """What the inspector knows of a request, once it knows its end."""
        recorded: dict[str, Any] = {}

        def is_over() -> bool:
            nonlocal recorded
            recorded = self.get(f"/inspector/requests/{number}").json()
            return bool(recorded["summary"]["duration"] is not None)

        wait_until(is_over)
        return recorded

    def settle(self) -> None:
        """End whatever a test has left under way."""
        calls, self._calls = self._calls, []
        if any(not call.done() for call in calls):
            self.get("/let-all-go")
        for call in calls:
            call.exception()

    def clear(self) -> None:
        """Let the inspector forget all that has been."""
        origin = {"Origin": self.address}
        assert self.client.post("/inspector/clear", json={}, headers=origin).status_code == 200

    def _answers(self) -> bool:
        try:
            return self.client.get("/users/1").status_code == 200
        except httpx2.TransportError:
            return False


Open = Callable[..., Shop]


@pytest.fixture(scope="session")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Opens a shop on a database, a new file unless it is told another."""
    opened: list[Shop] = []

    def open(*arguments: str, database_url: str | None = None) -> Shop:
        folder = tmp_path_factory.mktemp("shop")
        shop = Shop(folder, database_url or f"sqlite:///{folder}/shop.db", *arguments)
        opened.append(shop)
        return shop

    yield open
    for shop in opened:
        shop.close()


@pytest.fixture(scope="session")
def the_shop(open_shop: Open) -> Shop:
    """One shop on SQLite for all tests: each begins with an inspector that knows nothing."""
    return open_shop()


@pytest.fixture
def shop(the_shop: Shop) -> Iterator[Shop]:
    the_shop.clear()
    yield the_shop
    the_shop.settle()


@pytest.fixture(scope="session")
def the_narrow_shop(open_shop: Open, postgresql_server: PostgreSQL) -> Shop:
    """One shop on PostgreSQL, with a pool of a single connection."""
    url = postgresql_server.create_database("shop")
    return open_shop("--max-size", "1", database_url=url)


@pytest.fixture
def narrow_shop(the_narrow_shop: Shop) -> Iterator[Shop]:
    the_narrow_shop.clear()
    yield the_narrow_shop
    the_narrow_shop.settle()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """A page in a window that shows the inspector of the shop, or is about to."""
    with window(browser, shop.inspector) as context:
        yield context.new_page()


@pytest.fixture
def narrow_page(browser: Browser, narrow_shop: Shop) -> Iterator[Page]:
    """The same for the shop on PostgreSQL."""
    with window(browser, narrow_shop.inspector) as context:
        yield context.new_page()


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of database: a file of SQLite, unless the test says otherwise."""
    kind: Kind = getattr(request, "param", FILE)
    return kind


@pytest.fixture
def url(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, which is the test's own."""
    return new_url(kind, request, tmp_path)


@pytest.fixture
async def both(kind: Kind, url: str) -> AsyncIterator[tuple[Database, Recorded]]:
    """A database with a table of users, and what is recorded of it."""
    async with recorded(kind, url) as both:
        yield both
