"""Connections to replicas: opened when they are used, closed with the database, and named."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.replicated import ReplicatedBackend
from tests.library.kinds import POSTGRESQL_ONLY
from tests.library.places import until
from tests.library.replicas.reading import (
    INSERT,
    WHERE,
    apart,
    until_where,
    where,
)
from tests.servers.processes import PATIENCE
from tests.servers.replicated_postgresql import Node, ReplicatedPostgreSQL

pytestmark = POSTGRESQL_ONLY


async def test_nothing_is_opened_before_it_is_used_and_everything_is_closed(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    def sessions(node: Node) -> int:
        return node.number_of(
            """SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND application_name <> 'psql'"""
        )

    # Those of the test before may take a moment to end.
    await until(lambda: not any(sessions(node) for node in nodes.nodes))

    async with make() as database:
        await database.execute(INSERT)
        assert [each.name for each in database.statistics().connections] == ["connection 1"]
        assert database.statistics().limit == 10
        assert [sessions(node) for node in nodes.replicas] == [0, 0]
        await until_where(database, {node.port for node in nodes.replicas}.__eq__)
        names = {each.name for each in database.statistics().connections}
        assert names == {
            "connection 1",
            *[f"replica 127.0.0.1:{node.port}, connection 1" for node in nodes.replicas],
        }
        assert database.statistics().limit == 30
        # One to be lent, and one to look.
        await until(lambda: [sessions(node) for node in nodes.replicas] == [2, 2])
    await until(lambda: not any(sessions(node) for node in nodes.nodes))


async def test_what_reads_while_it_is_disconnected_opens_nothing_again(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    database = make()
    tasks = asyncio.all_tasks()
    for steps in range(12):
        await database.connect()
        await database.execute(INSERT)
        reads = [asyncio.create_task(where(database, prefer="replica")) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.sleep(steps / 1000)
        await database.disconnect()
        for result in await asyncio.gather(*reads, return_exceptions=True):
            assert isinstance(result, int | exceptions.DatabaseError)
        await until(lambda: asyncio.all_tasks() == tasks)


async def test_what_is_watched_says_which_server_answered(
    database: Database, replicas: set[int]
) -> None:
    with database.expect(queries=1) as ran:
        port = await where(database, prefer="replica")
    names = {step.connection for step in ran.steps if step.sql == WHERE}
    assert names == {f"replica 127.0.0.1:{port}, connection 1"}


async def test_a_database_that_is_dropped_is_not_kept_by_what_looks_after_its_replicas(
    make: Callable[..., Database],
) -> None:
    async def use() -> weakref.ref[Any]:
        database = make(max_lag=0.2)
        await database.connect()
        for _ in range(2):  # also while it is being looked at again and again
            await where(database, prefer="replica")
            await asyncio.sleep(0.15)
        return weakref.ref(database._engine._backend)

    tasks = asyncio.all_tasks()
    backend = await asyncio.create_task(use())
    async with asyncio.timeout(PATIENCE):
        while backend() is not None or asyncio.all_tasks() != tasks:
            gc.collect()
            await asyncio.sleep(0.02)


async def test_it_can_be_connected_again_in_another_event_loop(
    make: Callable[..., Database], replicas: set[int]
) -> None:
    database = make()

    async def use() -> None:
        for _ in range(2):
            async with database:
                assert await apart(where(database, prefer="replica")) in replicas
                await database.execute(INSERT)

    await use()
    await asyncio.to_thread(asyncio.run, use())


async def test_passwords_are_in_no_message(make: Callable[..., Database], primary: int) -> None:
    url = f"postgresql://ada:s3cret@127.0.0.1:{primary}/postgres"
    async with make(replicas=[url]) as database:
        await where(database, prefer="replica")
        backend = database._engine._backend
        assert isinstance(backend, ReplicatedBackend)
        shown = f"{database!r} {backend!r} {backend._replicas.all[0].backend.name}"
        assert "s3cret" not in shown
    with pytest.raises(exceptions.UnknownOptionError) as caught:
        Database("sqlite://", replicas=[url])
    assert "s3cret" not in str(caught.value)
