"""A connected database for each test, of every kind: see kinds.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from databases import Database, DatabaseURL
from tests.conftest import running
from tests.library.fake_links import Clock, FakeServer
from tests.library.kinds import ALL, Kind
from tests.library.places import OnMariaDB, OnPostgreSQL, OnServer, OnSQLite, Place, of_driver
from tests.library.users import USERS
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import Proxy


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server that is not there, for tests of the pool alone."""
    with FakeServer() as server:
        yield server


@pytest.fixture
async def clock() -> AsyncIterator[Clock]:
    """The clock of the event loop, which can be set forward."""
    with Clock(asyncio.get_running_loop()) as clock:
        yield clock


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture(params=ALL, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of database that the test runs on."""
    kind: Kind = request.param
    return kind


@pytest.fixture
def file(file_url: str) -> Place:
    return OnSQLite(file_url)


@pytest.fixture
def memory() -> Place:
    return OnSQLite("sqlite://")


@pytest.fixture(scope="session")
def on_postgresql(postgresql_server: PostgreSQL) -> Iterator[OnServer]:
    place = OnPostgreSQL(postgresql_server)
    yield place
    place.close()


@pytest.fixture(scope="session")
def on_mariadb(mariadb_server: MariaDB) -> Iterator[OnServer]:
    place = OnMariaDB(mariadb_server)
    yield place
    place.close()


@pytest.fixture(scope="session")
def tls_mariadb() -> Iterator[MariaDB]:
    with running(lambda: MariaDB({"require-secure-transport": "on"}, tls=True)) as server:
        yield server


@pytest.fixture(scope="session")
def tls_pgbouncer(postgresql_server: PostgreSQL) -> Iterator[PgBouncer]:
    with running(lambda: PgBouncer(postgresql_server, tls=True)) as server:
        yield server


@pytest.fixture
def place(request: pytest.FixtureRequest, kind: Kind) -> Iterator[Place]:
    """Where the test's database is: empty, and looked at from outside."""
    place: Place = request.getfixturevalue(kind.place)
    yield place
    place.clear()


@pytest.fixture
def server(place: Place) -> OnServer:
    """The same, for tests of network databases."""
    assert isinstance(place, OnServer)
    return place


@pytest.fixture
def url(kind: Kind, place: Place) -> str:
    return of_driver(place.url, kind.scheme)


@pytest.fixture
def proxy(server: OnServer) -> Iterator[Proxy]:
    """What stands between the test and its database, and can fail."""
    port = DatabaseURL(server.url).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: Proxy, url: str) -> str:
    """The URL of the database by way of the proxy."""
    return proxy.url(url)


@pytest.fixture
async def database(kind: Kind, url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        await database.execute(USERS.format(kind.key))
        yield database


@pytest.fixture
async def file_database(file_url: str) -> AsyncIterator[Database]:
    async with Database(file_url) as database:
        await database.execute(USERS.format("INTEGER PRIMARY KEY"))
        yield database


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[PostgreSQL]:
    """A server to stop, whose connections are soon used up."""
    with running(lambda: PostgreSQL({"max_connections": "30"})) as server:
        yield server


@pytest.fixture(scope="module")
def own_mariadb() -> Iterator[MariaDB]:
    """A server to stop, whose connections are soon used up."""
    with running(lambda: MariaDB({"max-connections": "30"})) as server:
        yield server
