"""What is particular to psycopg: what it would leave on the server, and what it does not say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest

from databases import Database, DatabaseURL
from databases.exceptions import (
    DriverError,
    NotConnectedError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    UnknownOptionError,
)
from tests.library.places import until
from tests.library.pools import pool_of
from tests.servers.postgresql import PostgreSQL

BUSY = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%'"
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
def url(postgresql_server: PostgreSQL) -> str:
    return postgresql_server.url.replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url, max_size=1) as database:
        await database.execute("DROP TABLE IF EXISTS numbers")
        await database.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        yield database
        await database.execute("DROP TABLE numbers")


async def sleep(database: Database, text: str = "") -> None:
    await database.fetch_val(f"SELECT '{text}' FROM pg_sleep(30)")


def is_busy(server: PostgreSQL) -> bool:
    return server.execute(f"{BUSY} AND pid <> pg_backend_pid()") != "0\n"


async def stopped(server: PostgreSQL) -> bool:
    for _ in range(100):
        if not is_busy(server):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_connection_given_up_while_its_statement_is_stopped_takes_no_other_one(
    database: Database, postgresql_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go_on() -> None:
        async with database.connection() as connection:
            with contextlib.suppress(asyncio.CancelledError):
                await connection.fetch_val("SELECT '' FROM pg_sleep(30)")
            with pytest.raises(OperationalError, match="closed"):
                await connection.fetch_val("SELECT 1")

    task = asyncio.create_task(go_on())
    await until(lambda: is_busy(postgresql_server))
    [slot] = pool_of(database)._slots
    raw: Any = slot.link.raw
    # So that the second cancellation comes while the first one is under way.
    stop, may_stop = raw.cancel_safe, asyncio.Event()

    async def stop_later(**options: Any) -> None:
        await may_stop.wait()
        await stop(**options)

    monkeypatch.setattr(raw, "cancel_safe", stop_later)
    task.cancel()
    await until(lambda: raw._stopping)
    task.cancel()
    await until(lambda: raw.ended)
    may_stop.set()
    async with asyncio.timeout(20):
        await task
        assert await database.fetch_val("SELECT 2") == 2
    assert await stopped(postgresql_server)


async def test_an_execute_many_that_is_cancelled_once_more_while_it_is_stopped_is_cancelled(
    database: Database, postgresql_server: PostgreSQL
) -> None:
    async def write() -> None:
        slowly = "INSERT INTO numbers SELECT :n FROM pg_sleep(3)"
        await database.execute_many(slowly, [{"n": 1}, {"n": 2}])

    task = asyncio.create_task(write())
    await until(lambda: is_busy(postgresql_server))
    [slot] = pool_of(database)._slots
    task.cancel()
    await until(lambda: slot.link.raw._stopping)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await database.fetch_val("SELECT count(*) FROM numbers") == 0
    assert await stopped(postgresql_server)


async def test_a_statement_cancelled_while_it_is_prepared_is_not_run(
    database: Database, postgresql_server: PostgreSQL
) -> None:
    for number in range(50):
        task = asyncio.create_task(sleep(database, f"never seen before: {number}"))
        await asyncio.sleep(number / 20_000)
        task.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait([task])
    assert await stopped(postgresql_server)
    assert await database.fetch_val("SELECT 1") == 1


async def test_a_statement_cancelled_twice_is_stopped(
    database: Database, postgresql_server: PostgreSQL
) -> None:
    task = asyncio.create_task(sleep(database))
    await asyncio.sleep(0.1)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert await database.fetch_val("SELECT 1") == 1
    assert await stopped(postgresql_server)


async def test_disconnect_stops_what_is_held(url: str, postgresql_server: PostgreSQL) -> None:
    database = Database(url)
    await database.connect()

    async def hold() -> None:
        async with database.connection() as connection:
            await connection.fetch_val("SELECT pg_sleep(30)")

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await database.disconnect(grace=0)
    with pytest.raises(NotConnectedError):
        await task
    assert await stopped(postgresql_server)


@pytest.mark.parametrize("wrong", [7, "x", object()], ids=["a duplicate", "a word", "an object"])
async def test_execute_many_that_fails_leaves_nothing_and_logs_nothing(
    database: Database, wrong: object, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"n": wrong if n == 300 else n} for n in range(1000)]
    with caplog.at_level(logging.WARNING), pytest.raises(DriverError):
        await database.execute_many("INSERT INTO numbers VALUES (:n)", rows)
    assert not caplog.records
    assert await database.fetch_val("SELECT count(*) FROM numbers") == 0


async def test_execute_many_that_is_cancelled_leaves_no_pipeline(database: Database) -> None:
    rows = [{"n": n} for n in range(300)]
    for delay in range(20):
        insert = database.execute_many("INSERT INTO numbers VALUES (:n)", rows)
        task = asyncio.ensure_future(insert)
        await asyncio.sleep(delay / 1000)
        task.cancel()
        await asyncio.wait([task])
        assert await database.fetch_val("SELECT 42") == 42
        assert await database.fetch_val("SELECT count(*) FROM numbers") in (0, 300)
        await database.execute("DELETE FROM numbers")


async def test_statements_that_fail_the_first_time_do_not_pile_up(database: Database) -> None:
    for _ in range(150):
        with pytest.raises(Exception, match="division by zero"):
            await database.fetch_val("SELECT 1 / :n", {"n": 0})
    async with database.connection() as connection:
        assert await connection.fetch_val(PREPARED) < 100


async def test_a_changed_table_is_read_anew(
    database: Database, postgresql_server: PostgreSQL
) -> None:
    every = "SELECT * FROM numbers"
    insert = "INSERT INTO numbers (n) VALUES (:n) RETURNING *"
    await database.execute_many(insert, [{"n": 1}, {"n": 2}])
    assert len(await database.fetch_all(every)) == 2
    postgresql_server.execute("ALTER TABLE numbers ADD word TEXT DEFAULT 'x'")
    await database.execute_many(insert, [{"n": 3}, {"n": 4}])
    assert [tuple(row.values()) for row in await database.fetch_all(every)][:1] == [(1, "x")]
    postgresql_server.execute("ALTER TABLE numbers DROP word")
    with pytest.raises(NotSupportedError, match="cached plan"):
        async with database.transaction():
            await database.fetch_all(every)
    async with database.transaction():
        assert len(await database.fetch_all(every)) == 4


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("EXPLAIN SELECT 1", 1),
        ("WITH new AS (INSERT INTO numbers VALUES (1) RETURNING n) SELECT n FROM new", 1),
        ("SELECT 1 WHERE EXISTS (SELECT 1) FOR UPDATE", 1),
        ("VALUES (1), (2)", 2),
    ],
)
async def test_what_no_cursor_can_read_is_iterated_over(
    database: Database, query: str, rows: int
) -> None:
    async with database.connection() as connection:
        assert len([row async for row in connection.iterate(query)]) == rows


async def test_the_server_s_refusals_have_advice(url: str) -> None:
    with pytest.raises(ProgrammingError) as caught:
        await Database(DatabaseURL(url).replace(database="missing")).connect()
    assert "createdb" in "".join(caught.value.__notes__)
    with pytest.raises(OperationalError) as refused:
        await Database("postgresql+psycopg://127.0.0.1:1/test").connect()
    assert "pg_isready" in "".join(refused.value.__notes__)


async def test_misspelt_options_of_libpq_are_refused(url: str) -> None:
    with pytest.raises(UnknownOptionError, match="'application_name'"):
        await Database(f"{url}?aplication_name=x").connect()
    async with Database(f"{url}?application_name=x") as database:
        assert await database.fetch_val("SELECT current_setting('application_name')") == "x"


async def test_errors_can_be_pickled_and_know_no_password(database: Database) -> None:
    with pytest.raises(DriverError) as caught:
        await database.fetch_val("SELECT 1 / 0")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.sqlstate) == (str(caught.value), "22012")
    assert again.diag.severity == "ERROR"
    with pytest.raises(OperationalError) as refused:
        await Database("postgresql+psycopg://ada:s3cr3t@127.0.0.1:1/test").connect()
    assert "s3cr3t" not in repr(vars(refused.value))
