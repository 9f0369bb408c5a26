"""timeout= on every query method, and cancelling: what nobody waits for is stopped in SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from databases import Database, exceptions

ENDLESS = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
SELECT count(*) FROM n"""
WRITE = "INSERT INTO users (name) " + ENDLESS.replace("count(*)", "NULL")

Call = Callable[[Database], Awaitable[object]]


async def iterated(database: Database) -> None:
    async for _ in database.iterate(ENDLESS, timeout=0.05):
        pass


CALLS: dict[str, Call] = {
    "fetch_all": lambda database: database.fetch_all(ENDLESS, timeout=0.05),
    "fetch_one": lambda database: database.fetch_one(ENDLESS, timeout=0.05),
    "fetch_val": lambda database: database.fetch_val(ENDLESS, None, 0, timeout=0.05),
    "execute": lambda database: database.execute(WRITE, timeout=0.05),
    "execute_many": lambda database: database.execute_many(WRITE, [{}, {}], timeout=0.05),
    "iterate": iterated,
}


async def all_threads_are_free(database: Database) -> None:
    """Wait until no thread does anything; what was not stopped goes on for ever."""
    backend = database._engine._backend
    threads = [backend._writer, *backend._lent]  # type: ignore[union-attr]
    if backend._readers is not None:  # type: ignore[union-attr]
        threads += backend._readers.threads()  # type: ignore[union-attr]
    async with asyncio.timeout(5):
        while any(thread.busy_for for thread in threads):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("method", CALLS)
async def test_a_query_that_takes_longer_is_stopped_and_says_so(
    database: Database, method: str
) -> None:
    with pytest.raises(exceptions.QueryTimeoutError) as caught:
        await CALLS[method](database)
    assert f"database.{method}() took longer than its timeout of 0.05 s" in str(caught.value)
    assert "test_timeouts.py" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    await all_threads_are_free(database)
    assert await database.fetch_val("SELECT count(*) FROM users", timeout=30) == 0


@pytest.mark.parametrize("method", CALLS)
async def test_one_that_is_cancelled_is_stopped(database: Database, method: str) -> None:
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(CALLS[method](database))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await all_threads_are_free(database)
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


async def test_in_time_it_changes_nothing(database: Database) -> None:
    insert = "INSERT INTO users (name) VALUES (:name)"
    assert await database.execute(insert, {"name": "Ada"}, timeout=30) == 1
    await database.execute_many(insert, [{"name": "Grace"}], timeout=30)
    assert len(await database.fetch_all("SELECT * FROM users", timeout=30)) == 2
    row = await database.fetch_one("SELECT * FROM users", timeout=30)
    assert row is not None
    assert [row.id async for row in database.iterate("SELECT id FROM users", timeout=30)] == [1, 2]


async def test_what_it_waited_for_is_named(database: Database) -> None:
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


async def test_a_time_limit_of_the_loop_is_not_counted_for_iterate(database: Database) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    seen = 0
    async for _ in database.iterate(f"{many} SELECT i FROM n", timeout=5):
        seen += 1
        if seen == 1000:
            await asyncio.sleep(0.05)
    assert seen == 2000


async def test_a_transaction_goes_on_after_a_read_that_took_too_long(database: Database) -> None:
    async with database.transaction():
        await database.execute("INSERT INTO users (name) VALUES ('Ada')")
        with pytest.raises(exceptions.QueryTimeoutError):
            await database.fetch_val(ENDLESS, timeout=0.05)
        await database.execute("INSERT INTO users (name) VALUES ('Grace')")
    assert await database.fetch_val("SELECT count(*) FROM users") == 2


async def test_a_write_that_took_too_long_ends_its_transaction(database: Database) -> None:
    with pytest.raises(exceptions.TransactionStateError, match="stopped by a time limit"):
        async with database.transaction():
            await database.execute("INSERT INTO users (name) VALUES ('Ada')")
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.execute(WRITE, timeout=0.05)
            await database.execute("INSERT INTO users (name) VALUES ('Grace')")
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


async def test_a_cancelled_transaction_frees_the_writer(database: Database) -> None:
    async def hold() -> None:
        async with database.transaction():
            await database.execute(WRITE)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await database.execute("INSERT INTO users (name) VALUES ('Ada')") == 1


async def test_an_error_of_the_query_is_not_hidden_by_the_limit(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.fetch_all("SELECT * FROM missing", timeout=30)
