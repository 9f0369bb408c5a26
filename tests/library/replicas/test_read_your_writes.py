"""A request sees what it has written, while others go on reading replicas that do not have it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from databases import Database
from tests.library.kinds import POSTGRESQL_ONLY
from tests.library.replicas.reading import (
    COUNT,
    INSERT,
    apart,
    count,
    insert,
    paused,
    where,
)
from tests.servers.processes import PATIENCE
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

pytestmark = POSTGRESQL_ONLY


async def _fetch(database: Database) -> None:
    await database.fetch_one(f"{INSERT} RETURNING id")


async def _many(database: Database) -> None:
    query = "INSERT INTO users (name) VALUES (:name)"
    await database.execute_many(query, [{"name": "Ada"}])


async def _transaction(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT)
        # Asked for before the COMMIT, the primary's position does not cover it.
        await asyncio.create_task(count(database))


async def _transaction_of_another_task(database: Database) -> None:
    transaction = await database.transaction()
    await database.execute(INSERT)
    await asyncio.create_task(_commit(transaction))


async def _commit(transaction: Any) -> None:
    await transaction.commit()


async def _connection(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(INSERT)
        # It is kept already, and seen by tasks that have no part in the connection.
        before = await connection.fetch_val(COUNT)
        assert await asyncio.create_task(count(database)) == before


async def _raw(database: Database) -> None:
    async with database.connection() as connection:
        await connection.raw_connection.execute(INSERT)


async def _gathered(database: Database) -> None:
    await asyncio.gather(database.execute(INSERT))


async def _child(database: Database) -> None:
    with database.prefer("replica"):
        await asyncio.create_task(insert(database))


async def _iteration(database: Database) -> None:
    async for _ in database.iterate(f"{INSERT} RETURNING id", prefer="replica"):
        pass


WRITES = [
    insert,
    _fetch,
    _many,
    _transaction,
    _transaction_of_another_task,
    _connection,
    _raw,
    _gathered,
    _child,
    _iteration,
]


async def test_a_request_sees_what_it_has_written_and_others_go_on_reading_replicas(
    database: Database, nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    async def request(write: Callable[[Database], Coroutine[Any, Any, None]], users: int) -> None:
        await write(database)
        assert await count(database) == users, write
        assert await asyncio.create_task(count(database)) == users, write
        async with database.transaction(readonly=True):
            assert await count(database) == users, write
        rows = database.iterate("SELECT * FROM users", prefer="replica")
        assert len([row async for row in rows]) == users, write

    # How far a replica is behind is known as soon as it has been looked at.
    assert await apart(count(database)) == 1
    with paused(nodes):
        for users, write in enumerate(WRITES, 2):
            await apart(request(write, users))
            assert await apart(count(database)) == 1
            assert await apart(where(database, prefer="replica")) in replicas


async def test_what_a_request_has_written_is_read_from_a_replica_as_soon_as_it_is_there(
    database: Database, nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    backend: Any = database._engine._backend
    backend._replicas._every = 3600  # seconds: nothing is looked at but for whoever reads
    await count(database)
    for _ in range(3):
        with database.prefer("replica"), paused(nodes):
            await database.execute(INSERT)
            assert await where(database) == primary
        with database.prefer("replica"):
            async with asyncio.timeout(PATIENCE):
                # What the primary logs of its own accord may be sent to them only later.
                while await where(database) not in replicas:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)


async def test_what_was_not_flushed_at_once_is_seen_too(
    database: Database, nodes: ReplicatedPostgreSQL
) -> None:
    nodes.primary.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    nodes.primary.execute("SELECT pg_reload_conf()")
    try:
        await count(database)
        for number in range(2, 22):
            async with database.transaction():
                await database.execute("SET LOCAL synchronous_commit = off")
                await database.execute(INSERT)
            assert await count(database) == number
    finally:
        nodes.primary.execute("ALTER SYSTEM RESET wal_writer_delay")
        nodes.primary.execute("SELECT pg_reload_conf()")


async def test_a_position_that_was_asked_for_before_the_commit_does_not_cover_it(
    database: Database, nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    async def elsewhere() -> Any:
        """Read on another connection than the one that this task holds."""
        return await asyncio.create_task(where(database, prefer="replica"))

    await count(database)
    async with database.connection() as connection:
        transaction = await connection.transaction()
        await connection.execute(INSERT)
        await elsewhere()
        # Replicas get what is not committed yet when somebody else commits.
        nodes.primary.execute("CREATE TABLE others (); DROP TABLE others")
        async with asyncio.timeout(PATIENCE):
            while await elsewhere() not in replicas:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with paused(nodes):
            await transaction.commit()
            assert await asyncio.create_task(count(database)) == 2
            assert await elsewhere() == nodes.primary.port


async def test_writing_costs_nothing_more_and_a_position_is_asked_for_once(
    database: Database, nodes: ReplicatedPostgreSQL
) -> None:
    await count(database)
    backend: Any = database._engine._backend
    asked = 0
    written = backend._replicas.written

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await written()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend._replicas, "written", counted)
        for _ in range(3):
            await database.execute(INSERT)
        assert asked == 0
        nodes.catch_up()
        assert {await count(database) for _ in range(5)} == {4}
        assert asked == 1
