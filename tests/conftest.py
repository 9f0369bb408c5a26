"""Real servers, one of each for all tests: a test makes a database of its own in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from tests.servers.galera import Galera
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Unavailable
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL
from tests.servers.server import Running

S = TypeVar("S", bound=Running)


@contextmanager
def running(make: Callable[[], S]) -> Iterator[S]:
    """A server; where it cannot be had the tests that need it are skipped, except in CI."""
    try:
        server = make()
    except Unavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    with running(PostgreSQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    with running(MariaDB) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer_server(postgresql_server: PostgreSQL) -> Iterator[PgBouncer]:
    with running(lambda: PgBouncer(postgresql_server)) as server:
        yield server


@pytest.fixture(scope="session")
def _replicated_postgresql() -> Iterator[ReplicatedPostgreSQL]:
    with running(ReplicatedPostgreSQL) as cluster:
        yield cluster


@pytest.fixture
def replicated_postgresql(
    _replicated_postgresql: ReplicatedPostgreSQL,
) -> Iterator[ReplicatedPostgreSQL]:
    """A primary with two replicas, all of them well; a test may do to them what it likes."""
    yield _replicated_postgresql
    _replicated_postgresql.heal()


@pytest.fixture(scope="session")
def _galera() -> Iterator[Galera]:
    with running(Galera) as cluster:
        yield cluster


@pytest.fixture
def galera(_galera: Galera) -> Iterator[Galera]:
    """Three nodes, all of them well; a test may do to them what it likes."""
    yield _galera
    _galera.heal()
