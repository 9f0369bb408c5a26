"""Transactions, savepoints, and what happens to them when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
from collections.abc import AsyncIterator

import pytest

from databases import Database, Transaction, exceptions

INSERT = "INSERT INTO users (name) VALUES (:name)"


async def count(database: Database) -> int:
    return int(await database.fetch_val("SELECT count(*) FROM users"))


async def writes_at_once(database: Database) -> None:
    """Fail unless the writer is free."""
    async with asyncio.timeout(5), database.transaction():
        await database.execute(INSERT, {"name": "free"})
    await database.execute("DELETE FROM users WHERE name = 'free'")


async def test_a_block_commits_at_its_end(database: Database) -> None:
    async with database.transaction() as transaction:
        assert isinstance(transaction, Transaction)
        await database.execute(INSERT, {"name": "Ada"})
    assert await count(database) == 1


async def test_a_block_with_an_error_is_rolled_back(database: Database) -> None:
    with pytest.raises(ValueError, match="no"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            raise ValueError("no")
    assert await count(database) == 0
    await writes_at_once(database)


async def test_force_rollback_keeps_nothing(database: Database) -> None:
    async with database.transaction(force_rollback=True):
        await database.execute(INSERT, {"name": "Ada"})
        assert await count(database) == 1
    assert await count(database) == 0


async def test_a_transaction_is_started_committed_and_rolled_back_by_hand(
    database: Database,
) -> None:
    transaction = await database.transaction()
    await database.execute(INSERT, {"name": "Ada"})
    await transaction.commit()
    transaction = await database.transaction().start()
    await database.execute(INSERT, {"name": "Grace"})
    await transaction.rollback()
    assert await count(database) == 1
    await writes_at_once(database)


async def test_a_decorated_function_runs_in_a_transaction_of_its_own(database: Database) -> None:
    @database.transaction()
    async def create(name: str, *, fail: bool = False) -> str:
        """Create."""
        await database.execute(INSERT, {"name": name})
        await asyncio.sleep(0)
        if fail:
            raise ValueError(name)
        return name

    assert create.__name__ == "create"
    assert create.__doc__ == "Create."
    assert await create("Ada") == "Ada"
    with pytest.raises(ValueError, match="Grace"):
        await create("Grace", fail=True)
    assert await asyncio.gather(*[create(str(i)) for i in range(20)]) == [str(i) for i in range(20)]
    assert await count(database) == 21


async def test_inner_transactions_are_savepoints(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "outer"})
        with pytest.raises(ValueError, match="inner"):
            async with database.transaction():
                await database.execute(INSERT, {"name": "lost"})
                async with database.transaction():
                    await database.execute(INSERT, {"name": "lost too"})
                raise ValueError("inner")
        async with database.transaction():
            await database.execute(INSERT, {"name": "kept"})
    rows = await database.fetch_all("SELECT name FROM users ORDER BY id")
    assert [row.name for row in rows] == ["outer", "kept"]


async def test_rolling_back_the_outer_undoes_committed_inner_ones(database: Database) -> None:
    outer = await database.transaction()
    async with database.transaction():
        await database.execute(INSERT, {"name": "inner"})
    await outer.rollback()
    assert await count(database) == 0


async def test_ending_out_of_order_is_explained(database: Database) -> None:
    outer = await database.transaction()
    inner = await database.transaction()
    with pytest.raises(exceptions.TransactionStateError, match="still open") as caught:
        await outer.commit()
    assert isinstance(caught.value, AssertionError)
    await outer.rollback()
    with pytest.raises(exceptions.TransactionStateError, match="rolled back with the one around"):
        await inner.commit()
    with pytest.raises(exceptions.TransactionStateError, match="this transaction is rolled back"):
        await outer.rollback()
    with pytest.raises(exceptions.TransactionStateError, match="cannot be started again"):
        await outer.start()
    fresh = database.transaction()
    with pytest.raises(exceptions.TransactionStateError, match=r"await database\.transaction\(\)"):
        await fresh.commit()
    await writes_at_once(database)


async def test_a_block_ended_by_hand_inside_may_end(database: Database) -> None:
    with pytest.raises(exceptions.TransactionStateError, match="committed"):
        async with database.transaction() as transaction:
            await database.execute(INSERT, {"name": "Ada"})
            await transaction.commit()
    with pytest.raises(ValueError, match="shown"):
        async with database.transaction() as transaction:
            await transaction.rollback()
            raise ValueError("shown")
    assert await count(database) == 1


DEFERRED = """CREATE TABLE children (
    id INTEGER PRIMARY KEY, parent INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)"""


async def test_a_failed_commit_rolls_back_and_frees_the_connection(database: Database) -> None:
    await database.execute(DEFERRED)
    for by_hand in (False, True):
        async with database.connection() as connection:
            await connection.execute("PRAGMA foreign_keys = ON")
            if by_hand:
                transaction = await connection.transaction()
                await connection.execute("INSERT INTO children (parent) VALUES (77)")
                with pytest.raises(sqlite3.IntegrityError):
                    await transaction.commit()
            else:
                with pytest.raises(exceptions.IntegrityError) as caught:
                    async with connection.transaction():
                        await connection.execute("INSERT INTO children (parent) VALUES (77)")
                assert "SQL: COMMIT" in caught.value.__notes__
                assert "test_transactions.py" in caught.value.__notes__[1]
            assert await connection.fetch_val("SELECT count(*) FROM children") == 0
        await writes_at_once(database)


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


async def test_a_transaction_that_nobody_ends_is_rolled_back_with_a_warning(
    database: Database,
) -> None:
    async def forgets() -> None:
        await database.transaction()
        await database.execute(INSERT, {"name": "lost"})

    await asyncio.create_task(forgets())
    await asyncio.sleep(0)
    with pytest.warns(RuntimeWarning, match="A transaction was never ended") as caught:
        gc.collect()
    assert ".forgets\n" in str(caught[0].message)
    assert caught[0].filename == __file__
    await writes_at_once(database)
    assert await count(database) == 0


async def test_fifty_tasks_that_read_and_then_write_lose_nothing(file_database: Database) -> None:
    await file_database.execute(INSERT, {"name": "0"})

    async def increment() -> None:
        async with file_database.transaction():
            value = int(await file_database.fetch_val("SELECT name FROM users"))
            await asyncio.sleep(0)
            await file_database.execute("UPDATE users SET name = :n", {"n": str(value + 1)})

    await asyncio.gather(*[increment() for _ in range(50)])
    assert await file_database.fetch_val("SELECT name FROM users") == "50"


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


async def test_nobody_sees_what_is_not_committed(file_database: Database) -> None:
    async with file_database.transaction():
        await file_database.execute(INSERT, {"name": "Ada"})
        assert await count(file_database) == 1
        # A child task does not inherit the transaction, and reads while it is open.
        assert await asyncio.create_task(count(file_database)) == 0
    assert await count(file_database) == 1


async def test_in_memory_a_read_waits_for_another_tasks_transaction(url: str) -> None:
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
        assert message.count("test_transactions.py") == 2
        assert f"Its last SQL: {INSERT.replace(':name', '?')}" in message
        await writes_at_once(database)


async def test_a_task_that_would_wait_for_itself_is_told_at_once(file_database: Database) -> None:
    from databases.connection import Connection

    handed_over: list[Connection] = []

    async def parent() -> None:
        async with file_database.connection() as connection:
            handed_over.append(connection)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(parent())
    await asyncio.sleep(0.01)
    async with file_database.transaction():
        with pytest.raises(exceptions.StateError, match="wait for itself"):
            await handed_over[0].execute(INSERT, {"name": "Ada"})
    await task


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
        assert str(caught.value).count("test_transactions.py") == 1
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


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8])
async def test_a_cancelled_transaction_is_rolled_back_and_frees_the_writer(
    database: Database, moment: int
) -> None:
    async def work() -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            async with database.transaction():
                await database.execute(INSERT, {"name": "Grace"})
                await asyncio.sleep(10)

    task = asyncio.create_task(work())
    for _ in range(moment):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await writes_at_once(database)
    assert await count(database) == 0


async def test_a_task_whose_time_ran_out_in_a_transaction_may_begin_another_at_once(
    database: Database,
) -> None:
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002), database.transaction():
                await database.execute(INSERT, {"name": "Ada"})
                await asyncio.sleep(10)
        async with database.transaction():
            assert await count(database) == 0


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


async def test_a_transaction_may_be_left_in_another_task_than_it_was_entered_in(
    database: Database,
) -> None:
    transactions: AsyncIterator[Transaction]

    async def fixture() -> AsyncIterator[Transaction]:
        async with database.transaction() as transaction:
            await transaction._connection.execute(INSERT, {"name": "Ada"})  # type: ignore[union-attr]
            yield transaction

    transactions = fixture()

    async def step() -> None:
        async for _ in transactions:
            break

    async def rest() -> None:
        async for _ in transactions:
            pass

    await asyncio.create_task(step())
    await asyncio.create_task(rest())
    assert await count(database) == 1
    await writes_at_once(database)


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


async def _write(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})


async def test_options_that_sqlite_lacks_are_errors(database: Database) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="no isolation level 'read_committed'"):
        async with database.transaction(isolation="read_committed"):
            pytest.fail("the transaction began")
    with pytest.raises(exceptions.UnknownOptionError, match="no option 'deferrable'"):
        await database.transaction(deferrable=True)
    async with database.transaction(isolation="serializable"):
        await database.execute(INSERT, {"name": "Ada"})
    await writes_at_once(database)
