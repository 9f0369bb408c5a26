"""A primary with two replicas, and databases that read from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from databases import Database
from tests.library.kinds import Kind
from tests.library.places import of_driver
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

SETUP = (
    "DROP TABLE IF EXISTS users CASCADE",
    "CREATE TABLE users (id SERIAL PRIMARY KEY, name TEXT)",
    "INSERT INTO users (name) VALUES ('first')",
    "CREATE OR REPLACE FUNCTION unknown() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW counting AS SELECT inet_server_port(), nextval('users_id_seq')",
)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the first looks at replicas even where the machine is slow."""
    monkeypatch.setattr("databases.backends.replicas._PATIENCE", 30)


@pytest.fixture(scope="module")
def cluster(_replicated_postgresql: ReplicatedPostgreSQL) -> Iterator[ReplicatedPostgreSQL]:
    yield _replicated_postgresql
    _replicated_postgresql.heal()


@pytest.fixture
def nodes(cluster: ReplicatedPostgreSQL) -> ReplicatedPostgreSQL:
    """The cluster, whole, with a table of one user."""
    if len(cluster.replicas) < 2 or any(node.source is None for node in cluster.replicas):
        cluster.heal()
    cluster.primary.execute(";".join(SETUP))
    cluster.catch_up()
    return cluster


@pytest.fixture
def primary(nodes: ReplicatedPostgreSQL) -> int:
    return nodes.primary.port


@pytest.fixture
def replicas(nodes: ReplicatedPostgreSQL) -> set[int]:
    return {node.port for node in nodes.replicas}


@pytest.fixture
def make(kind: Kind, nodes: ReplicatedPostgreSQL) -> Callable[..., Database]:
    def made(**options: Any) -> Database:
        url, *others = [
            of_driver(node.url, kind.scheme) for node in (nodes.primary, *nodes.replicas)
        ]
        # No replica is too far behind because the machine is slow.
        return Database(url, **{"replicas": others, "max_lag": 60, **options})

    return made


@pytest.fixture
async def database(make: Callable[..., Database]) -> AsyncIterator[Database]:
    async with make() as database:
        yield database
