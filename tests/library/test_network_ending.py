"""Disconnecting in the middle of things, databases that are dropped, event loops that end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from databases import Database
from tests.library.kinds import NETWORK_ONLY, Kind
from tests.library.places import OnServer, until
from tests.library.pools import is_whole, sleeping


@NETWORK_ONLY
async def test_disconnecting_that_is_cancelled_disconnects_all_the_same(
    url: str, kind: Kind, server: OnServer
) -> None:
    database = Database(url)
    await database.connect()
    single = asyncio.create_task(database.execute(f"SELECT {sleeping(kind, 0.1)}"))
    await until(server.running)
    task = asyncio.create_task(database.disconnect())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await single
    await until(lambda: not server.sessions())
    await database.connect()
    await is_whole(database)
    await database.disconnect()


@NETWORK_ONLY
async def test_a_database_that_is_dropped_closes_its_connections(
    url: str, server: OnServer
) -> None:
    database = Database(url, min_size=2)
    await database.connect()
    assert len(server.sessions()) == 2
    del database
    gc.collect()
    await until(lambda: not server.sessions())


@NETWORK_ONLY
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # that nobody disconnected
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_an_event_loop_may_end_while_it_is_connected(
    kind: Kind, url: str, server: OnServer, busy: bool
) -> None:
    async def use(database: Database) -> None:
        await database.connect()
        assert await database.fetch_val("SELECT 1") == 1
        if busy:
            query = database.execute(f"SELECT {sleeping(kind, 0.2)}")
            running.append(asyncio.create_task(query))
            await until(server.running)

    async def end() -> None:
        await until(lambda: not server.sessions())

    running: list[asyncio.Task[object]] = []
    asyncio.run(use(Database(url)))
    running.clear()
    gc.collect()
    asyncio.run(end())


@NETWORK_ONLY
def test_one_event_loop_after_another_may_connect(url: str, server: OnServer) -> None:
    database = Database(url)

    async def use() -> None:
        async with database:
            async with database.transaction():
                assert await database.fetch_val("SELECT 1") == 1
            await is_whole(database)

    for _ in range(3):
        asyncio.run(use())


@NETWORK_ONLY
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_connected_in_an_event_loop_that_ended_it_goes_on_in_the_next(
    url: str, server: OnServer
) -> None:
    database = Database(url)

    async def connect() -> None:
        await database.connect()
        assert await database.fetch_val("SELECT 1") == 1

    async def use() -> None:
        async with asyncio.timeout(20):
            await connect()
            await database.disconnect()

    asyncio.run(connect())
    asyncio.run(use())
    gc.collect()  # while what it says of the first loop is ignored
