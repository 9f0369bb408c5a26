"""The six query methods on SQLite: what is particular about it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from databases import Database, exceptions
from tests.library.kinds import SQLITE_ONLY

INSERT = "INSERT INTO users (name) VALUES (:name)"


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("statement", "returned"),
    [
        ("INSERT OR IGNORE INTO users (id, name) VALUES (7, 'x')", 0),
        ("INSERT INTO users (id, name) VALUES (7, 'y') ON CONFLICT DO NOTHING", 0),
        ("INSERT INTO users (id, name) VALUES (7, 'y') ON CONFLICT (id) DO UPDATE SET name = 1", 1),
        ("INSERT INTO codes VALUES ('a', 'b')", 1),
        ("INSERT INTO seen VALUES ('a')", 1),
        ("REPLACE INTO users (id, name) VALUES (7, 'z')", 7),
        ("WITH new(name) AS (SELECT 'n') INSERT INTO users (name) SELECT name FROM new", 8),
        ("/* first */ INSERT INTO users (name) VALUES ('n') RETURNING name", 8),
        ("INSERT INTO users (name) SELECT 'n' WHERE 0", 0),
    ],
)
async def test_an_insert_that_makes_no_row_id_returns_the_row_count(
    database: Database, statement: str, returned: int
) -> None:
    await database.execute("CREATE TABLE codes (a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID")
    await database.execute("CREATE VIEW seen AS SELECT a FROM codes")
    await database.execute(
        "CREATE TRIGGER on_seen INSTEAD OF INSERT ON seen BEGIN "
        "INSERT INTO codes VALUES (NEW.a || '2', '') ; END"
    )
    await database.execute("INSERT INTO users (id, name) VALUES (7, 'x')")
    made = await database.execute(statement)
    # A view's trigger changes rows that SQLite does not count for the statement itself.
    assert made == (0 if "seen" in statement else returned)


@SQLITE_ONLY
async def test_values_that_sqlite_cannot_store_are_data_errors(database: Database) -> None:
    with pytest.raises(exceptions.DataError) as too_large:
        await database.fetch_val("SELECT :n", {"n": 2**63})
    assert isinstance(too_large.value, OverflowError)
    with pytest.raises(exceptions.DataError) as half:
        await database.fetch_val("SELECT :n", {"n": "\ud800"})
    assert isinstance(half.value, UnicodeEncodeError)
    with pytest.raises(exceptions.DriverError):
        await database.fetch_val("SELECT :n", {"n": object()})


async def test_session_state_set_by_a_single_statement_does_not_stay(
    file_database: Database,
) -> None:
    await file_database.execute("PRAGMA case_sensitive_like = ON")
    await file_database.execute("CREATE TEMP TABLE mine (x)")
    assert await file_database.fetch_val("SELECT 'A' LIKE 'a'") == 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await file_database.fetch_all("SELECT * FROM mine")


SLOW = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e9)
SELECT count(*) FROM n"""


async def test_a_slow_read_is_in_nobodys_way_and_stops_when_it_is_cancelled(
    file_database: Database,
) -> None:
    slow = [asyncio.create_task(file_database.fetch_val(SLOW)) for _ in range(4)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        for task in slow[1:]:
            task.cancel()
        await asyncio.wait(slow[1:])
        assert await asyncio.gather(*[file_database.fetch_val("SELECT 1") for _ in range(20)])
    slow[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow[0]
    async with asyncio.timeout(20):
        await file_database.disconnect()


async def test_of_two_reads_at_once_the_short_one_does_not_wait_for_the_long_one(
    file_database: Database,
) -> None:
    slow = asyncio.create_task(file_database.fetch_val(SLOW))
    async with asyncio.timeout(20):
        assert await asyncio.create_task(file_database.fetch_val("SELECT 1")) == 1
    slow.cancel()
    await asyncio.wait([slow])


async def test_an_insert_is_done_once_whenever_another_process_takes_the_lock(
    file_url: str,
) -> None:
    async with Database(file_url, journal_mode="delete") as database:
        await database.execute("CREATE TABLE a (x)")
        other = sqlite3.connect(
            file_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )

        def in_the_way(sql: str) -> None:
            if "pragma_table_list" in sql:
                other.execute("COMMIT" if other.in_transaction else "BEGIN EXCLUSIVE")

        database._engine._backend._writer._connection.set_trace_callback(in_the_way)  # type: ignore[union-attr]
        assert await database.execute("INSERT INTO a VALUES (1)") == 1
        database._engine._backend._writer._connection.set_trace_callback(None)  # type: ignore[union-attr]
        other.close()
        assert await database.fetch_val("SELECT count(*) FROM a") == 1


@SQLITE_ONLY
async def test_a_table_that_was_made_after_a_failed_insert_is_looked_at_again(
    database: Database,
) -> None:
    insert = "INSERT INTO late (id) VALUES (:id)"
    await database.execute("INSERT INTO users (id) VALUES (41)")
    with pytest.raises(exceptions.OperationalError, match="no such table"):
        await database.execute(insert, {"id": "a"})
    await database.execute("CREATE TABLE late (id TEXT PRIMARY KEY) WITHOUT ROWID")
    assert await database.execute(insert, {"id": "a"}) == 1


@SQLITE_ONLY
async def test_counters_of_sqlite_are_the_users_own(database: Database) -> None:
    await database.execute("CREATE TABLE children (parent)")
    async with database.transaction():
        await database.execute("INSERT INTO users (id, name) VALUES (41, 'Ada')")
        await database.execute("INSERT INTO children VALUES (last_insert_rowid())")
    assert await database.fetch_val("SELECT parent FROM children") == 41


async def test_a_thousand_reads_at_once_need_no_thread_each(file_database: Database) -> None:
    await asyncio.gather(*[file_database.fetch_val("SELECT 1") for _ in range(1000)])
    named = [t for t in threading.enumerate() if t.name.startswith("databases-sqlite-")]
    assert len(named) <= 3


@SQLITE_ONLY
async def test_the_functions_of_sqlite_may_have_percent_signs(database: Database) -> None:
    assert await database.fetch_val("SELECT strftime('%Y', '2026-11-22')") == "2026"


@SQLITE_ONLY
async def test_an_error_has_the_words_and_the_class_of_sqlite3(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(sqlite3.IntegrityError) as caught:
        await database.execute(INSERT, {"name": "Ada"})
    assert str(caught.value) == "UNIQUE constraint failed: users.name"
    with pytest.raises(sqlite3.OperationalError):
        await database.fetch_all("SELEKT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        await database.execute("SELECT 1; SELECT 2")
