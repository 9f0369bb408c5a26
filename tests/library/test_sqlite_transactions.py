"""Transactions on SQLite: one writes at a time, and everybody gets a turn."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from databases import Database, exceptions
from tests.library.kinds import SQLITE_ONLY
from tests.library.users import INSERT, count, writes_at_once


async def test_a_begin_that_fails_frees_the_connection(file_url: str) -> None:
    file = file_url.removeprefix("sqlite:///")
    async with Database(file_url, timeout=0.05) as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with pytest.raises(exceptions.OperationalError, match="database is locked"):
                    async with database.transaction():
                        pytest.fail("the transaction began")
        await writes_at_once(database)


@SQLITE_ONLY
async def test_what_follows_in_a_transaction_that_sqlite_rolled_back_does_not_run(
    database: Database,
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.TransactionStateError, match="SQLite has rolled it back") as e:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Grace"})
            with pytest.raises(sqlite3.IntegrityError):
                await database.execute("INSERT OR ROLLBACK INTO users (name) VALUES ('Ada')")
            await database.execute(INSERT, {"name": "Emmy"})
    assert isinstance(e.value, sqlite3.OperationalError)
    with pytest.raises(exceptions.TransactionStateError, match="executed as SQL"):
        async with database.transaction():
            await database.execute("COMMIT")
    assert await count(database) == 1
    await writes_at_once(database)


@SQLITE_ONLY
async def test_execute_many_does_not_run_in_a_transaction_that_sqlite_rolled_back(
    database: Database,
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.TransactionStateError, match="SQLite has rolled it back"):
        async with database.transaction():
            with pytest.raises(exceptions.IntegrityError):
                await database.execute("INSERT OR ROLLBACK INTO users (name) VALUES ('Ada')")
            await database.execute_many(INSERT, [{"name": "Grace"}, {"name": "Joan"}])
    assert await count(database) == 1


async def test_fifty_tasks_that_read_and_then_write_lose_nothing(file_database: Database) -> None:
    await file_database.execute(INSERT, {"name": "0"})

    async def increment() -> None:
        async with file_database.transaction():
            value = int(await file_database.fetch_val("SELECT name FROM users"))
            await asyncio.sleep(0)
            await file_database.execute("UPDATE users SET name = :n", {"n": str(value + 1)})

    await asyncio.gather(*[increment() for _ in range(50)])
    assert await file_database.fetch_val("SELECT name FROM users") == "50"


@SQLITE_ONLY
async def test_transactions_get_the_writer_in_the_order_in_which_they_asked(
    database: Database,
) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*[write(number) for number in range(20)])
    assert order == list(range(20))


@SQLITE_ONLY
async def test_a_waiting_transaction_that_is_cancelled_is_passed_over(database: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction():
            order.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(write(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert order == [0, 3]
    await writes_at_once(database)


async def test_in_memory_a_read_waits_for_another_tasks_transaction() -> None:
    async with Database("sqlite://") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        transaction = await database.transaction()
        await database.execute(INSERT, {"name": "lost"})
        reading = asyncio.create_task(count(database))
        await asyncio.sleep(0.01)
        assert not reading.done()
        await transaction.rollback()
        assert await reading == 0


async def test_waiting_too_long_names_who_holds_the_writer(file_url: str) -> None:
    async with Database(f"{file_url}?timeout=0.05") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            waiting = asyncio.create_task(database.execute(INSERT, {"name": "Grace"}))
            await asyncio.wait([waiting])
        with pytest.raises(exceptions.WaitTimeoutError) as caught:
            await waiting
        message = str(caught.value)
        assert isinstance(caught.value, TimeoutError)
        # What is ready to meet a locked database is ready for this.
        assert isinstance(caught.value, sqlite3.OperationalError)
        assert "waited 0.05 s" in message
        assert message.count("test_sqlite_transactions.py") == 2
        assert f"Its last SQL: {INSERT.replace(':name', '?')}" in message
        await writes_at_once(database)


async def test_a_task_that_would_wait_for_itself_is_told_at_once(file_database: Database) -> None:
    from databases.connection import Connection

    handed_over: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    tried = asyncio.Event()

    async def parent() -> None:
        async with file_database.connection() as connection:
            handed_over.set_result(connection)
            await tried.wait()

    task = asyncio.create_task(parent())
    connection = await handed_over
    async with file_database.transaction():
        with pytest.raises(exceptions.StateError, match="wait for itself"):
            await connection.execute(INSERT, {"name": "Ada"})
    tried.set()
    await task


@SQLITE_ONLY
async def test_a_task_that_is_awaited_inside_the_transaction_it_waits_for_is_told_at_once(
    database: Database,
) -> None:
    async def write() -> int:
        return int(await database.execute(INSERT, {"name": "Ada"}))

    async def begin() -> None:
        async with database.transaction():
            pass

    async def further_down() -> None:
        await asyncio.gather(write())

    for awaited in (
        lambda: asyncio.create_task(write()),
        lambda: asyncio.gather(asyncio.sleep(0), write()),
        lambda: asyncio.gather(begin()),
        lambda: asyncio.gather(asyncio.create_task(further_down())),
    ):
        with pytest.raises(exceptions.StateError, match="would wait for ever") as caught:
            async with database.transaction():
                await awaited()
        assert str(caught.value).count("test_sqlite_transactions.py") == 1
    with pytest.raises(ExceptionGroup) as of_group:
        async with database.transaction(), asyncio.TaskGroup() as group:
            group.create_task(write())
    assert of_group.group_contains(exceptions.StateError, match="would wait for ever")
    await asyncio.sleep(0)
    # One that is only started inside waits until the transaction has ended.
    async with database.transaction():
        started = asyncio.create_task(write())
        await asyncio.sleep(0.01)
    assert await started == 1
    # On the transaction's own connection they can run side by side.
    async with database.connection() as connection, connection.transaction():
        inserts = [connection.execute(INSERT, {"name": name}) for name in ("Grace", "Joan")]
        assert await asyncio.gather(*inserts) == [2, 3]


async def test_a_readonly_transaction_reads_a_snapshot_and_cannot_write(
    file_database: Database,
) -> None:
    async with file_database.transaction(readonly=True):
        assert await count(file_database) == 0
        await asyncio.create_task(_write(file_database))
        assert await count(file_database) == 0
        with pytest.raises(exceptions.OperationalError, match="readonly"):
            await file_database.execute(INSERT, {"name": "Grace"})
    assert await count(file_database) == 1
    await writes_at_once(file_database)


@SQLITE_ONLY
async def _write(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})


@SQLITE_ONLY
async def test_options_that_sqlite_lacks_are_errors(database: Database) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="no isolation level 'read_committed'"):
        async with database.transaction(isolation="read_committed"):
            pytest.fail("the transaction began")
    with pytest.raises(exceptions.UnknownOptionError, match="no option 'deferrable'"):
        await database.transaction(deferrable=True)
    async with database.transaction(isolation="serializable"):
        await database.execute(INSERT, {"name": "Ada"})
    await writes_at_once(database)
