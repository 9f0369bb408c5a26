"""Conflicts: others were in the way, and a transaction that is run again gets through."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from databases import Database, exceptions
from tests.library.kinds import (
    FILE,
    MARIADB_ONLY,
    NETWORK_ONLY,
    POSTGRESQL_ONLY,
    Kind,
    on,
)
from tests.library.places import OnServer, until
from tests.library.pools import is_whole, notes_of
from tests.library.users import INSERT, USERS, count, writes_at_once

AT_MOST = 30
"""Seconds, against a test that hangs."""

Conflict = exceptions.TransactionConflictError


def says_how_to_run_it_again(error: BaseException) -> bool:
    return "@database.transaction(retry=True)" in notes_of(error)


@POSTGRESQL_ONLY
@pytest.mark.parametrize("at", ["a statement", "COMMIT"])
async def test_a_serialization_failure_is_a_conflict(
    kind: Kind, database: Database, at: str
) -> None:
    read = asyncio.Barrier(2)
    committed = asyncio.Event()

    async def add(name: str, *, last: bool) -> None:
        async with database.transaction(isolation="serializable"):
            await count(database)
            await read.wait()
            if not last or at == "COMMIT":
                await database.execute(INSERT, {"name": name})
            await read.wait()
            if last:
                await committed.wait()
                if at == "a statement":
                    await database.execute(INSERT, {"name": name})
        committed.set()

    results = await asyncio.gather(
        add("Ada", last=False), add("Grace", last=True), return_exceptions=True
    )
    assert results[0] is None
    error = results[1]
    assert isinstance(error, Conflict)
    theirs = {
        "asyncpg": asyncpg.SerializationError,
        "psycopg": psycopg.errors.SerializationFailure,
    }
    assert isinstance(error, theirs[kind.driver])
    assert says_how_to_run_it_again(error)
    assert ("SQL: COMMIT" in notes_of(error)) is (at == "COMMIT")
    assert await count(database) == 1
    await is_whole(database)


async def in_each_others_way(database: Database, function: Callable[..., Any]) -> list[Any]:
    """Run a function twice at the same time, on two rows in opposite orders."""
    for name in ("Ada", "Grace"):
        await database.execute(INSERT, {"name": name})
    have_one = asyncio.Barrier(2)
    calls = [function(*names, have_one) for names in (("Ada", "Grace"), ("Grace", "Ada"))]
    async with asyncio.timeout(AT_MOST):
        return list(await asyncio.gather(*calls, return_exceptions=True))


LOCK = "UPDATE users SET name = name WHERE name = :name"


@pytest.fixture
def soon_noticed(kind: Kind, server: OnServer) -> Iterator[None]:
    """Deadlocks, for which PostgreSQL looks only after a second."""
    if kind.place == "on_postgresql":
        server.rows("ALTER DATABASE behaviour SET deadlock_timeout = '10ms'")
    yield
    if kind.place == "on_postgresql":
        server.rows("ALTER DATABASE behaviour RESET deadlock_timeout")


@NETWORK_ONLY
@pytest.mark.usefixtures("soon_noticed")
@pytest.mark.parametrize("nested", [False, True])
async def test_a_deadlock_is_a_conflict_and_a_transaction_that_retries_gets_through(
    database: Database, nested: bool
) -> None:
    attempts = 0

    async def lock(first: str, second: str, have_one: asyncio.Barrier) -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 2:
            await database.execute(INSERT, {"name": "again"})
        await database.execute(LOCK, {"name": first})
        if attempts <= 2:
            await have_one.wait()
        if nested:
            async with database.transaction():
                await database.execute(LOCK, {"name": second})
        else:
            await database.execute(LOCK, {"name": second})

    results = await in_each_others_way(database, database.transaction()(lock))
    assert sorted(isinstance(result, Conflict) for result in results) == [False, True]
    (error,) = [result for result in results if result is not None]
    assert says_how_to_run_it_again(error)
    await database.execute("DELETE FROM users")
    attempts = 0
    results = await in_each_others_way(database, database.transaction(retry=AT_MOST)(lock))
    assert results == [None, None]
    assert attempts == 3
    assert await database.fetch_val("SELECT count(*) FROM users WHERE name = 'again'") == 1
    await is_whole(database)


@MARIADB_ONLY
async def test_a_row_that_changed_since_it_was_read_is_a_conflict_which_ends_the_transaction(
    kind: Kind, url: str, server: OnServer
) -> None:
    server.rows(USERS.format(kind.key))
    server.rows("INSERT INTO users (name) VALUES ('Ada')")
    async with Database(url, init_command="SET innodb_snapshot_isolation = ON") as database:

        @database.transaction()
        async def rename() -> None:
            await database.execute(INSERT, {"name": "lost"})
            await count(database)
            server.rows("UPDATE users SET name = 'Grace' WHERE id = 1")
            with pytest.raises(Conflict):
                await database.execute("UPDATE users SET name = 'Joan' WHERE id = 1")
            await database.execute(INSERT, {"name": "would be kept at once"})

        with pytest.raises(exceptions.TransactionStateError, match="others were in its way"):
            await rename()
        rows = await database.fetch_all("SELECT name FROM users")
        assert [row.name for row in rows] == ["Grace"]
        await is_whole(database)


@MARIADB_ONLY
async def test_a_lock_that_does_not_come_free_is_a_conflict(
    database: Database, server: OnServer
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    async with database.transaction():
        await database.execute("UPDATE users SET name = 'Grace'")
        with pytest.raises(Conflict) as caught:
            await asyncio.create_task(_nowait(database))
    assert "make transactions shorter" in notes_of(caught.value)
    assert says_how_to_run_it_again(caught.value)


async def _nowait(database: Database) -> None:
    async with database.transaction():
        await database.fetch_all("SELECT * FROM users FOR UPDATE NOWAIT")


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_a_locked_sqlite_is_a_conflict_after_all_waiting(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "test.db"
    url = f"sqlite:///{path}?timeout=0.1&journal_mode={mode}"
    async with Database(url) as database:
        await database.execute(USERS.format("INTEGER PRIMARY KEY"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        calls = 0

        async def add() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                other.execute("ROLLBACK")
            await database.execute(INSERT, {"name": "Ada"})

        async def begun() -> None:
            async with database.transaction():
                await add()

        writes = [database.execute(INSERT, {"name": "Ada"}) for _ in range(3)]
        failed = await asyncio.gather(*writes, begun(), return_exceptions=True)
        for error in failed:
            assert isinstance(error, Conflict)
            assert isinstance(error, exceptions.WaitTimeoutError | sqlite3.OperationalError)
        assert calls == 0
        running = database.run_in_transaction(add, retry=AT_MOST)
        task = asyncio.ensure_future(running)
        await until(lambda: database.statistics().held)
        other.execute("ROLLBACK")
        await task
        assert await count(database) == 1
        other.close()


@on([FILE])
async def test_a_snapshot_that_is_too_old_to_be_written_to_is_a_conflict(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await connection.execute("BEGIN")
        assert await connection.fetch_val("SELECT count(*) FROM users") == 0
        await asyncio.create_task(database.execute(INSERT, {"name": "Ada"}))
        with pytest.raises(Conflict) as caught:
            await connection.execute(INSERT, {"name": "Grace"})
        assert isinstance(caught.value, sqlite3.OperationalError)
        assert says_how_to_run_it_again(caught.value)
        await connection.execute("ROLLBACK")
    await writes_at_once(database)
