"""Replicas of MariaDB, and nodes of Galera in place of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from databases import Database
from tests.conftest import running
from tests.library.kinds import MARIADB_ONLY, Kind
from tests.library.places import of_driver
from tests.library.replicas.reading import apart, count
from tests.servers.galera import Galera
from tests.servers.mariadb import MariaDB
from tests.servers.processes import PATIENCE

pytestmark = MARIADB_ONLY

WHERE = """SELECT cast(variable_value AS SIGNED) FROM information_schema.global_variables
    WHERE variable_name = 'port'"""
INSERT = "INSERT INTO users (name) VALUES ('Ada')"


@pytest.fixture
async def nodes(kind: Kind, galera: Galera) -> AsyncIterator[Database]:
    """Written to at the first node, and read from the others."""
    galera.nodes[0].execute("CREATE OR REPLACE TABLE users (name TEXT)", "test")
    first, *others = [of_driver(node.url, kind.scheme) for node in galera.nodes]
    async with Database(first, replicas=others, max_lag=60) as database:
        yield database


async def where(database: Database, **options: Any) -> Any:
    return await database.fetch_val(WHERE, **options)


async def until_read(database: Database, ports: set[int]) -> None:
    """Wait until other requests read these: each has come so far by then."""
    async with asyncio.timeout(PATIENCE):
        while {await apart(where(database, prefer="replica")) for _ in range(4)} != ports:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_other_nodes_are_read(galera: Galera, nodes: Database) -> None:
    first, *others = [node.port for node in galera.nodes]
    assert await where(nodes) == first
    await until_read(nodes, {*others})
    with nodes.prefer("replica"):
        async with nodes.transaction(readonly=True):
            assert await where(nodes) in others
        rows = [row[0] async for row in nodes.iterate(WHERE)]
        assert rows[0] in others
        assert await nodes.fetch_val(f"{WHERE} FOR UPDATE") == first
        async with nodes.transaction():
            assert await where(nodes) == first


async def test_a_request_sees_what_it_has_written(galera: Galera, nodes: Database) -> None:
    async def request() -> None:
        written = 0
        for _ in range(50):
            await nodes.execute(INSERT)
            written += 1
            assert await count(nodes) >= written
            async with nodes.transaction():
                await nodes.execute(INSERT)
            written += 1
            assert await count(nodes) >= written

    await asyncio.gather(*[apart(request()) for _ in range(4)])
    ports = [node.port for node in galera.nodes]
    async with asyncio.timeout(PATIENCE):
        # They have it by now, and are asked.
        await nodes.execute(INSERT)
        while await where(nodes, prefer="replica") == ports[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await count(nodes) == 401


async def test_nodes_of_one_url_serve_in_place_of_each_other(kind: Kind, galera: Galera) -> None:
    ports = {node.port for node in galera.nodes}
    url = of_driver(galera.url, kind.scheme)
    async with Database(url, max_lag=2) as database:
        await database.execute("CREATE OR REPLACE TABLE users (name TEXT)")
        await until_read(database, ports - {await where(database)})


async def test_a_node_that_does_not_keep_up_is_not_read(galera: Galera, nodes: Database) -> None:
    _, second, third = galera.nodes
    await until_read(nodes, {second.port, third.port})
    third.execute("SET GLOBAL wsrep_desync = ON")
    try:
        await until_read(nodes, {second.port})
    finally:
        third.execute("SET GLOBAL wsrep_desync = OFF")
    await until_read(nodes, {second.port, third.port})


# A primary and a replica.


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[MariaDB, MariaDB]]:
    """A primary and its replica."""
    with (
        running(lambda: MariaDB({"log-bin": "changes", "server-id": "1"})) as primary,
        running(
            lambda: MariaDB({"log-bin": "changes", "server-id": "2", "read-only": "ON"})
        ) as replica,
    ):
        replica.execute(
            f"CHANGE MASTER TO master_host = '127.0.0.1', master_port = {primary.port}, "
            "master_user = 'root', master_use_gtid = slave_pos, master_connect_retry = 1"
        )
        replica.execute("START SLAVE")
        yield primary, replica


@pytest.fixture
async def replicated(kind: Kind, servers: tuple[MariaDB, MariaDB]) -> AsyncIterator[Database]:
    url, other = [of_driver(server.url, kind.scheme) for server in servers]
    servers[0].execute("CREATE OR REPLACE TABLE users (name TEXT)", "test")
    async with Database(url, replicas=[other], max_lag=60) as database:
        yield database


async def test_a_replica_shows_what_was_written_or_is_not_read(
    servers: tuple[MariaDB, MariaDB], replicated: Database
) -> None:
    primary, replica = servers

    async def request() -> None:
        assert await where(replicated) == primary.port
        await replicated.execute(INSERT)
        assert await count(replicated) == 1
        assert await where(replicated, prefer="replica") == primary.port
        assert await apart(count(replicated)) == 0
        replica.execute("START SLAVE SQL_THREAD")
        async with asyncio.timeout(PATIENCE):
            while await where(replicated, prefer="replica") != replica.port:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await count(replicated) == 1

    await until_read(replicated, {replica.port})
    replica.execute("STOP SLAVE SQL_THREAD")
    await apart(request())


async def test_a_server_that_takes_writes_is_no_replica(
    servers: tuple[MariaDB, MariaDB], replicated: Database
) -> None:
    primary, replica = servers
    await until_read(replicated, {replica.port})
    replica.execute("SET GLOBAL read_only = OFF")
    try:
        await until_read(replicated, {primary.port})
    finally:
        replica.execute("SET GLOBAL read_only = ON")
    await until_read(replicated, {replica.port})


ADA = """CREATE OR REPLACE USER ada IDENTIFIED BY 'secret';
    GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON test.* TO ada"""
"""A user for whom read_only holds, which it does not for root."""


def of_ada(url: str) -> str:
    return url.replace("root@", "ada:secret@")


async def test_a_view_that_writes_is_read_on_the_primary_and_does_not_cost_the_replica(
    kind: Kind, servers: tuple[MariaDB, MariaDB]
) -> None:
    primary, replica = servers
    primary.execute(
        "CREATE OR REPLACE SEQUENCE numbers; CREATE OR REPLACE VIEW next_number AS "
        f"SELECT nextval(numbers) AS number, ({WHERE}) AS port; {ADA}",
        "test",
    )
    url, other = [of_driver(of_ada(server.url), kind.scheme) for server in servers]
    async with Database(url, replicas=[other], max_lag=60) as database:
        await until_read(database, {replica.port})
        with database.prefer("replica"):
            for _ in range(3):
                query = "SELECT number, port FROM next_number"
                assert await database.fetch_val(query, column="port") == primary.port
                # Others go on reading there; who wrote does so once it has come so far.
                assert await apart(where(database, prefer="replica")) == replica.port


async def test_a_primary_that_follows_another_one_is_asked_for_positions_no_longer(
    kind: Kind, servers: tuple[MariaDB, MariaDB]
) -> None:
    first, second = servers
    first.execute(f"CREATE OR REPLACE TABLE users (name TEXT); {ADA}", "test")
    ports = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    url = of_driver(of_ada(first.url).replace(f"127.0.0.1:{first.port}", ports), kind.scheme)
    async with Database(url, max_lag=60) as database:
        await until_read(database, {second.port})
        second.execute("STOP SLAVE; SET GLOBAL read_only = OFF")
        first.execute("SET GLOBAL read_only = ON; SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos")
        try:
            await until_read(database, {first.port})
            with database.prefer("replica"):
                await database.execute(INSERT)
                assert await where(database, prefer="primary") == second.port
                for _ in range(5):
                    assert await count(database) == 1
        finally:
            first.execute("SET GLOBAL read_only = OFF; SET GLOBAL gtid_slave_pos = ''")
            second.execute("DELETE FROM users", "test")
            second.execute("SET GLOBAL read_only = ON")
            second.execute("RESET MASTER; START SLAVE")


async def test_a_replica_that_has_replayed_nothing_is_not_read(
    kind: Kind, servers: tuple[MariaDB, MariaDB]
) -> None:
    primary, _ = servers
    with running(lambda: MariaDB({"server-id": "3", "read-only": "ON"})) as empty:
        url, other = [of_driver(server.url, kind.scheme) for server in (primary, empty)]
        async with Database(url, replicas=[other]) as database:
            for _ in range(3):
                assert await where(database, prefer="replica") == primary.port
