"""timeout= on every query method, and cancelling: what nobody waits for is stopped there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from databases import Database, exceptions
from tests.library.kinds import (
    MARIADB_ONLY,
    NETWORK_ONLY,
    ON_POSTGRESQL,
    ON_SQLITE,
    SQLITE_ONLY,
    Kind,
    on,
)
from tests.library.places import OnServer, Place, until
from tests.library.pools import notes_of
from tests.library.users import INSERT, USERS, count, writes_at_once

Call = Callable[[Kind, Database, float | None], Awaitable[object]]


async def iterated(kind: Kind, database: Database, limit: float | None) -> None:
    async for _ in database.iterate(kind.endless, timeout=limit):
        pass


CALLS: dict[str, Call] = {
    "fetch_all": lambda kind, db, limit: db.fetch_all(kind.endless, timeout=limit),
    "fetch_one": lambda kind, db, limit: db.fetch_one(kind.endless, timeout=limit),
    "fetch_val": lambda kind, db, limit: db.fetch_val(kind.endless, None, 0, timeout=limit),
    "execute": lambda kind, db, limit: db.execute(kind.endless_write, timeout=limit),
    "execute_many": lambda kind, db, limit: db.execute_many(
        kind.endless_write, [{}, {}], timeout=limit
    ),
    "iterate": iterated,
}


@pytest.mark.parametrize("method", CALLS)
async def test_a_query_that_takes_longer_is_stopped_and_says_so(
    kind: Kind, place: Place, database: Database, method: str
) -> None:
    with pytest.raises(exceptions.QueryTimeoutError) as caught:
        await CALLS[method](kind, database, 0.05)
    assert f"database.{method}() took longer than its timeout of 0.05 s" in str(caught.value)
    assert "test_timeouts.py" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    await until(lambda: not place.is_busy(database))
    assert await database.fetch_val("SELECT count(*) FROM users", timeout=30) == 0


@pytest.mark.parametrize("method", CALLS)
async def test_one_that_is_cancelled_is_stopped(
    kind: Kind, place: Place, database: Database, method: str
) -> None:
    task = asyncio.ensure_future(CALLS[method](kind, database, None))
    await until(lambda: place.is_busy(database))
    task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: not place.is_busy(database))
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("block", ["connection", "transaction"])
@pytest.mark.parametrize("method", ["fetch_all", "execute", "iterate"])
async def test_one_that_is_cancelled_in_a_block_is_stopped_and_frees_the_connection(
    kind: Kind, place: Place, database: Database, method: str, block: str
) -> None:
    async def hold() -> None:
        async with getattr(database, block)():
            await CALLS[method](kind, database, None)

    task = asyncio.create_task(hold())
    await until(lambda: place.is_busy(database))
    task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: not place.is_busy(database))
    await writes_at_once(database)
    assert await count(database) == 0
    await kind.nothing_is_held(database)


@NETWORK_ONLY
async def test_the_only_connection_is_of_use_again_after_one_that_was_stopped(
    kind: Kind, url: str, server: OnServer
) -> None:
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        for method, call in CALLS.items():
            with pytest.raises(exceptions.QueryTimeoutError):
                await call(kind, database, 0.05)
            assert await database.fetch_val("SELECT 7", timeout=5) == 7, method
            await until(lambda: not server.running())
            assert await count(database) == 0


@NETWORK_ONLY
async def test_leaving_a_loop_early_stops_its_query(
    kind: Kind, database: Database, server: OnServer
) -> None:
    async for _ in database.iterate(kind.series(100_000)):
        break
    await until(lambda: not server.running())
    assert await database.fetch_val("SELECT 1") == 1


async def test_in_time_it_changes_nothing(kind: Kind, database: Database) -> None:
    assert await database.execute(INSERT, {"name": "Ada"}, timeout=30) == kind.answer(1)
    await database.execute_many(INSERT, [{"name": "Grace"}], timeout=30)
    assert len(await database.fetch_all("SELECT * FROM users", timeout=30)) == 2
    row = await database.fetch_one("SELECT * FROM users", timeout=30)
    assert row is not None
    assert [row.id async for row in database.iterate("SELECT id FROM users", timeout=30)] == [1, 2]


async def test_a_time_limit_of_the_loop_is_not_counted_for_iterate(
    kind: Kind, database: Database
) -> None:
    seen = 0
    async for _ in database.iterate(kind.series(2000), timeout=0.5):
        seen += 1
        if seen % 500 == 0:
            await asyncio.sleep(0.15)
    assert seen == 2000


@on([*ON_SQLITE, *ON_POSTGRESQL])
async def test_a_transaction_goes_on_after_a_savepoint_with_a_read_that_took_too_long(
    kind: Kind, database: Database
) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        with pytest.raises(exceptions.QueryTimeoutError):
            async with database.transaction():
                await database.fetch_val(kind.endless, timeout=0.05)
        await database.execute(INSERT, {"name": "Grace"})
    assert await count(database) == 2


@SQLITE_ONLY
async def test_on_sqlite_a_transaction_goes_on_after_a_read_that_took_too_long(
    kind: Kind, database: Database
) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        with pytest.raises(exceptions.QueryTimeoutError):
            await database.fetch_val(kind.endless, timeout=0.05)
        await database.execute(INSERT, {"name": "Grace"})
    assert await count(database) == 2


@SQLITE_ONLY
async def test_on_sqlite_a_write_that_took_too_long_ends_its_transaction(
    kind: Kind, database: Database
) -> None:
    with pytest.raises(exceptions.TransactionStateError, match="stopped by a time limit"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.execute(kind.endless_write, timeout=0.05)
            await database.execute(INSERT, {"name": "Grace"})
    assert await count(database) == 0


@NETWORK_ONLY
async def test_a_transaction_with_a_query_that_took_too_long_is_not_kept_in_silence(
    kind: Kind, database: Database
) -> None:
    with pytest.raises((exceptions.StateError, exceptions.DriverError)):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.execute(kind.endless_write, timeout=0.05)
            await database.execute(INSERT, {"name": "Grace"})
    assert await count(database) == 0
    await writes_at_once(database)
    with pytest.raises((exceptions.StateError, exceptions.DriverError)):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.execute(kind.endless_write, timeout=0.05)
    assert await count(database) == 0


@MARIADB_ONLY
async def test_going_on_where_it_closed_the_connection_is_told_so(
    kind: Kind, database: Database
) -> None:
    with pytest.raises(exceptions.ConnectionFailureError) as caught:
        async with database.transaction():
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.execute(kind.endless_write, timeout=0.05)
            await database.execute(INSERT, {"name": "Grace"})
    assert "closed when a statement on it was cancelled or took too long" in notes_of(caught.value)


@SQLITE_ONLY
async def test_on_sqlite_what_it_waited_for_is_named(database: Database) -> None:
    async with database.transaction():
        await database.execute("INSERT INTO users (name) VALUES ('Ada')")
        write = database.execute("INSERT INTO users (name) VALUES ('Grace')", timeout=0.05)
        task = asyncio.create_task(write)
        await asyncio.wait([task])
    with pytest.raises(exceptions.QueryTimeoutError) as caught:
        await task
    assert "SQLite's writer is held by Task-" in str(caught.value)
    assert "INSERT INTO users (name) VALUES ('Ada')" in str(caught.value)
    assert await database.fetch_val("SELECT count(*) FROM users") == 1


async def test_an_error_of_the_query_is_not_hidden_by_the_limit(
    kind: Kind, database: Database
) -> None:
    with pytest.raises(kind.missing_table, match="missing"):
        await database.fetch_all("SELECT * FROM missing", timeout=30)
