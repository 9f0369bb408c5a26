"""Transactions, savepoints, and what happens to them when something fails."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from databases import Database, Transaction, exceptions
from tests.library.kinds import (
    CONCURRENT,
    NETWORK_ONLY,
    ON_POSTGRESQL,
    ON_SQLITE,
    POSTGRESQL_ONLY,
    Kind,
    Network,
    on,
)
from tests.library.places import OnServer
from tests.library.users import INSERT, USERS, count, writes_at_once


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
ORPHAN = "INSERT INTO children (id, parent) VALUES (1, 77)"


@on([*ON_SQLITE, *ON_POSTGRESQL])
@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_failed_commit_rolls_back_and_frees_the_connection(
    kind: Kind, url: str, by_hand: bool
) -> None:
    async with Database(url, **kind.alone, **kind.strict) as database:
        await database.execute(USERS.format(kind.key))
        await database.execute(DEFERRED)
        for _ in range(3):
            if by_hand:
                transaction = await database.transaction()
                await database.execute(ORPHAN)
                with pytest.raises(exceptions.IntegrityError) as caught:
                    await transaction.commit()
            else:
                with pytest.raises(exceptions.IntegrityError) as caught:
                    async with database.transaction():
                        await database.execute(ORPHAN)
            assert "SQL: COMMIT" in caught.value.__notes__
            assert "test_transactions.py" in "".join(caught.value.__notes__)
            assert await database.fetch_val("SELECT count(*) FROM children") == 0
        await writes_at_once(database)


@CONCURRENT
async def test_a_transaction_whose_options_are_wrong_frees_the_connection(
    kind: Kind, url: str
) -> None:
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        wrong: list[dict[str, Any]] = [{"isolation": "wrong"}, {"colour": "red"}]
        for options in wrong:
            with pytest.raises(exceptions.UnknownOptionError):
                async with database.transaction(**options):
                    pytest.fail("the transaction began")
            with pytest.raises(exceptions.UnknownOptionError):
                await database.transaction(**options)
            await writes_at_once(database)


async def test_a_commit_executed_as_sql_is_told(database: Database) -> None:
    with pytest.raises(exceptions.TransactionStateError, match="executed as SQL"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
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


@CONCURRENT
async def test_nobody_sees_what_is_not_committed(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        assert await count(database) == 1
        # A child task does not inherit the transaction, and reads while it is open.
        assert await asyncio.create_task(count(database)) == 0
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


@POSTGRESQL_ONLY
async def test_committing_what_postgresql_has_rolled_back_is_told(
    kind: Kind, database: Database
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.TransactionStateError, match="nothing of it was kept"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Grace"})
            with pytest.raises(kind.unique):
                await database.execute(INSERT, {"name": "Ada"})
    assert await count(database) == 1
    transaction = await database.transaction()
    with pytest.raises(kind.missing_table):
        await database.fetch_all("SELECT * FROM missing")
    with pytest.raises(exceptions.TransactionStateError, match="# a savepoint"):
        await transaction.commit()
    await writes_at_once(database)


async def test_after_a_statement_that_failed_in_a_savepoint_the_transaction_goes_on(
    kind: Kind, database: Database
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    async with database.transaction():
        for _ in range(2):
            with pytest.raises(kind.unique):
                async with database.transaction():
                    await database.execute(INSERT, {"name": "Grace"})
                    await database.execute(INSERT, {"name": "Ada"})
        await database.execute(INSERT, {"name": "Grace"})
        async with database.transaction(), database.transaction():
            await database.execute(INSERT, {"name": "Joan"})
    assert await count(database) == 3


@NETWORK_ONLY
async def test_a_session_that_the_server_ended_frees_the_connection_of_its_transaction(
    kind: Network, url: str, server: OnServer
) -> None:
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        for at_begin in (True, False):
            with pytest.raises(exceptions.DriverError):
                async with database.connection() as connection:
                    if at_begin:
                        server.end_session(await connection.fetch_val(kind.session))
                    async with connection.transaction():
                        await connection.execute(INSERT, {"name": "Ada"})
                        server.end_session(await connection.fetch_val(kind.session))
            await writes_at_once(database)
        assert await count(database) == 0
