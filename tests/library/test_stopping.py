"""disconnect(): what is new is refused, what is under way has its time, the rest is stopped."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import CONCURRENT, MEMORY, NETWORK, SQLITE_ONLY, Kind
from tests.library.places import OnServer, Place, until
from tests.library.pools import is_whole
from tests.library.under_way import (
    ENDLESS,
    LONG,
    SHORT,
    WORK,
    Work,
    begin,
    is_refused,
    no_thread_is_left,
    stopping,
    was_stopped,
)
from tests.library.users import INSERT, USERS, count


@pytest.mark.parametrize("does", WORK)
async def test_what_is_under_way_finishes_while_what_is_new_is_refused(
    kind: Kind, database: Database, place: Place, does: str
) -> None:
    work, task = begin(kind, database, WORK[does])
    await work.begun.wait()
    if does == "statement":
        # A connection that was idle for long is asked for a sign of life before.
        await until(lambda: task.done() or place.is_busy(database, "sleep("))
    disconnecting = await stopping(database, LONG)
    await is_refused(database)
    # A statement ends by itself: where the machine is slow, before this line.
    assert does == "statement" or not task.done()
    assert task.done() or not disconnecting.done()
    work.go.set()
    async with asyncio.timeout(20):
        await task
        await disconnecting
    await database.connect()
    if kind is not MEMORY:
        assert await count(database) == (2 if does in ("connection", "transaction") else 0)


@pytest.mark.parametrize("does", ENDLESS)
async def test_what_does_not_finish_in_time_is_stopped(
    kind: Kind, database: Database, place: Place, does: str
) -> None:
    work, task = begin(kind, database, ENDLESS[does])
    await work.begun.wait()
    await until(lambda: place.is_busy(database))
    disconnecting = await stopping(database, SHORT)
    async with asyncio.timeout(20):
        await disconnecting
        await asyncio.wait([task])
    assert was_stopped(task.exception())
    if isinstance(place, OnServer):
        await until(lambda: not place.sessions())
    await no_thread_is_left()
    await database.connect()
    if kind is not MEMORY:
        assert await count(database) == 0


@pytest.mark.parametrize("does", ["connection", "transaction", "iteration"])
async def test_what_idles_until_its_time_is_over_hears_of_it_when_it_goes_on(
    kind: Kind, database: Database, does: str
) -> None:
    work, task = begin(kind, database, WORK[does])
    await work.begun.wait()
    await (await stopping(database, SHORT))
    # Connected again: nothing of it may be done outside of its transaction.
    await database.connect()
    if kind is MEMORY:
        await database.execute(USERS.format(kind.key))
    work.go.set()
    async with asyncio.timeout(20):
        if (does, kind.place) == ("iteration", "memory"):
            await task  # its rows were all in memory
        else:
            await asyncio.wait([task])
            assert was_stopped(task.exception())
    assert await count(database) == 0


async def test_who_waits_for_a_connection_or_a_turn_is_sent_home_at_once(
    kind: Kind, url: str, place: Place, database: Database
) -> None:
    if kind in NETWORK:
        await database.disconnect()
        database = Database(url, max_size=1)
        await database.connect()
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()

    async def transact() -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "late"})

    waiting = [
        asyncio.create_task(transact()),
        asyncio.ensure_future(database.execute(INSERT, {"name": "late"})),
        asyncio.create_task(transact()),
        asyncio.ensure_future(database.execute(INSERT, {"name": "later"})),
    ]
    await until(lambda: len(database.statistics().waiting) == 4)
    disconnecting = await stopping(database, LONG)
    async with asyncio.timeout(20):
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert was_stopped(error)
        assert not disconnecting.done()
        work.go.set()
        await task
        await disconnecting


@SQLITE_ONLY
@pytest.mark.parametrize("grace", [None, "5", float("nan")])
async def test_what_is_no_number_of_seconds_stops_nothing(database: Database, grace: Any) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match=r"disconnect\(grace=30\)"):
        await database.disconnect(grace=grace)
    assert database.is_connected
    await database.disconnect(grace=float("inf"))


async def test_what_was_under_way_leaves_the_pool_whole(kind: Kind, database: Database) -> None:
    works = [begin(kind, database, Work.endless) for _ in range(3)]
    for work, _ in works:
        await work.begun.wait()
    await (await stopping(database, SHORT))
    for error in await asyncio.gather(*[task for _, task in works], return_exceptions=True):
        assert was_stopped(error)
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    if kind in NETWORK:
        await is_whole(database)


@CONCURRENT
async def test_what_shares_a_connection_has_its_time_and_is_rolled_back(
    kind: Kind, url: str, database: Database
) -> None:
    shared = Database(url, force_rollback=True)
    await shared.connect()
    work, task = begin(kind, shared, Work.transaction)
    _, statement = begin(kind, shared, Work.statement)
    await work.begun.wait()
    disconnecting = await stopping(shared, LONG)
    await is_refused(shared)
    assert not disconnecting.done()
    work.go.set()
    async with asyncio.timeout(20):
        await asyncio.gather(task, statement)
        await disconnecting
    assert await count(database) == 0


@CONCURRENT
async def test_what_shares_a_connection_is_stopped_when_its_time_is_over(
    kind: Kind, url: str, database: Database
) -> None:
    shared = Database(url, force_rollback=True)
    await shared.connect()
    work, task = begin(kind, shared, Work.endless_in_transaction)
    await work.begun.wait()
    await (await stopping(shared, SHORT))
    async with asyncio.timeout(20):
        with pytest.raises(exceptions.NotConnectedError):
            await task
    assert await count(database) == 0


@SQLITE_ONLY
async def test_a_users_function_that_does_not_end_is_left_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.backends.sqlite.ending.CLOSING", 0.2)
    end, begun = threading.Event(), threading.Event()

    def function(connection: object) -> None:
        begun.set()
        end.wait(20)

    async def run() -> None:
        async with database.connection() as connection:
            await connection.raw_connection.run(function)

    task = asyncio.create_task(run())
    await until(begun.is_set)
    async with asyncio.timeout(20):
        await (await stopping(database, SHORT))
        await asyncio.wait([task])
    assert was_stopped(task.exception())
    assert isinstance(task.exception(), exceptions.CommitUnknown)
    end.set()
    await no_thread_is_left()
