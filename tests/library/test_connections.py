"""connection(): one connection, held for a while."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from databases import Database, exceptions
from databases.core import Connection
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, SQLITE_ONLY, Kind
from tests.library.places import Place, until
from tests.library.pools import is_whole


async def test_a_task_has_one_connection_and_its_children_their_own(database: Database) -> None:
    async def mine() -> object:
        return database.connection()

    assert database.connection() is database.connection()
    async with database.connection() as outer, database.connection() as inner:
        assert outer is inner
        assert await asyncio.create_task(mine()) is not outer


async def test_it_can_be_entered_again_inside(database: Database) -> None:
    async with database.connection() as connection:
        async with connection:
            assert await connection.fetch_val("SELECT 1") == 1
        assert await connection.fetch_val("SELECT 2") == 2
        assert connection.is_acquired
    assert not connection.is_acquired


async def test_a_connection_that_is_not_entered_says_so(database: Database) -> None:
    connection = database.connection()
    with pytest.raises(exceptions.StateError, match=r"async with database\.connection\(\)") as e:
        await connection.fetch_all("SELECT 1")
    assert isinstance(e.value, AssertionError)
    with pytest.raises(exceptions.StateError, match="not acquired"):
        _ = connection.raw_connection


async def test_it_can_be_handed_to_other_tasks(database: Database) -> None:
    async with database.transaction() as transaction:
        connection = database.connection()
        await connection.execute("INSERT INTO users (name) VALUES ('Ada')")

        async def child() -> object:
            return await connection.fetch_val("SELECT count(*) FROM users")

        assert list(await asyncio.gather(child(), child())) == [1, 1]
        assert transaction.is_active


@NETWORK_ONLY
async def test_who_uses_a_connection_that_was_given_back_disturbs_nobody(
    kind: Kind, url: str, place: Place
) -> None:
    async with Database(url, **kind.alone) as database:
        async with database.connection() as connection:
            late = [asyncio.create_task(ask(connection, kind.endless))]
            await until(lambda: place.is_busy(database))
            late += [asyncio.create_task(ask(connection, f"SELECT {n}")) for n in range(3)]
            await asyncio.sleep(0)
        # They are at it still, and the connection is lent to the next one.
        numbers = [database.fetch_val(f"SELECT {n}") for n in range(20)]
        async with asyncio.timeout(20):
            assert await asyncio.gather(*numbers) == list(range(20))
            for error in await asyncio.gather(*late, return_exceptions=True):
                assert isinstance(error, exceptions.DriverError | exceptions.StateError), error
        await is_whole(database)
        await until(lambda: not place.is_busy(database))


@CONCURRENT
async def test_a_statement_that_comes_too_late_for_its_connection_takes_no_other_one(
    kind: Kind, database: Database
) -> None:
    async with database.connection() as connection:
        late = [asyncio.create_task(ask(connection, f"SELECT {n}")) for n in range(4)]
        await asyncio.sleep(0)
    for n, result in enumerate(await asyncio.gather(*late, return_exceptions=True)):
        assert result == n or isinstance(result, exceptions.DatabaseError), result
    await kind.nothing_is_held(database)


async def ask(connection: Connection, sql: str) -> object:
    return await connection.fetch_val(sql)


async def test_on_sqlite_session_state_is_kept_inside_and_gone_afterwards(
    file_database: Database,
) -> None:
    async with file_database.connection() as connection:
        await connection.execute("PRAGMA case_sensitive_like = ON")
        await connection.execute("CREATE TEMP TABLE mine (x)")
        await connection.execute("CREATE TABLE temp.other (x)")
        await connection.execute("ATTACH ':memory:' AS extra")
        assert await file_database.fetch_val("SELECT 'A' LIKE 'a'") == 0
    for _ in range(3):
        async with file_database.connection() as connection:
            assert await connection.fetch_val("SELECT 'A' LIKE 'a'") == 1
            for gone in ("mine", "temp.other", "extra.sqlite_schema"):
                with pytest.raises(sqlite3.OperationalError):
                    await connection.fetch_all(f"SELECT * FROM {gone}")


@CONCURRENT
async def test_a_begin_of_the_users_own_is_rolled_back_at_the_end(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO users (name) VALUES ('lost')")
        await connection.execute("INSERT INTO users (name) VALUES ('lost too')")
    async with asyncio.timeout(20), database.transaction():
        assert await database.fetch_val("SELECT count(*) FROM users") == 0


@CONCURRENT
async def test_a_begin_that_nobody_ended_by_a_single_statement_is_rolled_back(
    kind: Kind, url: str
) -> None:
    async with Database(url, **kind.alone) as database:
        await database.execute("CREATE TABLE a (x INTEGER)")
        await database.execute("BEGIN")
        await database.execute("INSERT INTO a VALUES (1)")
        async with database.transaction(force_rollback=True):
            assert await database.fetch_val("SELECT count(*) FROM a") == 1


@NETWORK_ONLY
async def test_the_raw_connection_is_the_drivers_own_and_not_lent_again(
    kind: Kind, database: Database
) -> None:
    async with database.connection() as connection:
        raw = connection.raw_connection
        assert isinstance(raw, kind.connection)
        assert connection.raw_connection is raw
        assert await connection.fetch_val("SELECT 1") == 1
    async with database.connection() as connection:
        assert connection.raw_connection is not raw


@SQLITE_ONLY
async def test_the_raw_connection_is_like_aiosqlites(database: Database) -> None:
    async with database.connection() as connection:
        raw = connection.raw_connection
        await raw.executescript("CREATE TABLE a (x); INSERT INTO a VALUES (1);")
        cursor = await raw.execute("INSERT INTO a VALUES (?)", (2,))
        assert (cursor.lastrowid, cursor.rowcount) == (2, 1)
        await cursor.close()
        await raw.executemany("INSERT INTO a VALUES (?)", [(3,), (4,)])
        assert await raw.execute_fetchall("SELECT x FROM a") == [(1,), (2,), (3,), (4,)]
        async with raw.execute("SELECT x FROM a") as cursor:
            assert cursor.description[0][0] == "x"
            assert await cursor.fetchone() == (1,)
            assert await cursor.fetchmany(2) == [(2,), (3,)]
            assert [row async for row in cursor] == [(4,)]
            assert await cursor.fetchone() is None
        cursor = await raw.cursor()
        await cursor.execute("SELECT count(*) FROM a")
        assert await cursor.fetchall() == [(4,)]
        assert await raw.execute_insert("INSERT INTO a VALUES (5)") == (5,)


@SQLITE_ONLY
async def test_the_raw_connection_reaches_all_of_sqlite3(database: Database) -> None:
    async with database.connection() as connection:
        raw = connection.raw_connection
        await raw.create_function("twice", 1, lambda value: 2 * value)
        assert await connection.fetch_val("SELECT twice(21)") == 42
        raw.row_factory = sqlite3.Row
        assert (await raw.execute_fetchall("SELECT 1 AS one"))[0]["one"] == 1
        assert await connection.fetch_val("SELECT 1") == 1
        assert await raw.run(lambda driver: driver.total_changes) >= 0
        await raw.execute("BEGIN")
        assert raw.in_transaction
        await raw.rollback()
        assert not raw.in_transaction
        with pytest.raises(AttributeError, match=r"raw\.run\(lambda connection: "):
            _ = raw.isolation
        with pytest.raises(RuntimeError, match="StopIteration"):
            await raw.run(lambda driver: next(iter(())))
        with pytest.raises(exceptions.OperationalError, match="no such table"):
            await raw.execute("SELECT * FROM missing")
