"""The six query methods with SQL text."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3

import pytest

from databases import Database, Pending, Record, exceptions

INSERT = "INSERT INTO users (name) VALUES (:name)"


async def test_fetch_all_returns_a_list_of_records(database: Database) -> None:
    await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
    rows = await database.fetch_all("SELECT id, name FROM users ORDER BY id")
    assert [dict(row) for row in rows] == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]
    assert all(isinstance(row, Record) for row in rows)
    assert await database.fetch_all("SELECT id FROM users WHERE id > 9") == []


async def test_fetch_one_returns_the_first_row_or_none(database: Database) -> None:
    await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
    row = await database.fetch_one("SELECT name FROM users ORDER BY id DESC")
    assert row is not None
    assert row["name"] == "Grace"
    assert await database.fetch_one("SELECT name FROM users WHERE id = 9") is None


async def test_fetch_val_takes_a_column_by_position_or_name(database: Database) -> None:
    query = "SELECT 1 AS one, 'two' AS two"
    assert await database.fetch_val(query) == 1
    assert await database.fetch_val(query, column=1) == "two"
    assert await database.fetch_val(query, column="two") == "two"
    assert await database.fetch_val("SELECT 1 WHERE 0") is None
    with pytest.raises(KeyError, match="its columns are one, two"):
        await database.fetch_val(query, column="three")


async def test_execute_returns_the_id_of_an_insert_else_the_row_count(database: Database) -> None:
    assert await database.execute(INSERT, {"name": "Ada"}) == 1
    assert await database.execute(INSERT, {"name": "Grace"}) == 2
    assert await database.execute("UPDATE users SET name = name || '!'") == 2
    assert await database.execute("DELETE FROM users WHERE id = 1") == 1
    assert await database.execute("DELETE FROM users WHERE id = 1") == 0


async def test_execute_after_an_insert_never_returns_its_stale_id(database: Database) -> None:
    async with database.connection() as connection:
        assert await connection.execute(INSERT, {"name": "Ada"}) == 1
        for _ in range(4):
            await connection.execute(INSERT, {"name": str(_)})
        assert await connection.execute("UPDATE users SET name = 'x' WHERE id = 5") == 1
        assert await connection.execute("DELETE FROM users WHERE id = 5") == 1


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


async def test_execute_many_keeps_all_rows_or_none(database: Database) -> None:
    await database.execute_many(INSERT, [{"name": str(i)} for i in range(500)])
    with pytest.raises(sqlite3.IntegrityError):
        await database.execute_many(INSERT, [{"name": "new"}, {"name": "7"}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 500
    async with database.transaction():
        await database.execute(INSERT, {"name": "kept"})
        with pytest.raises(sqlite3.IntegrityError):
            await database.execute_many(INSERT, [{"name": "new"}, {"name": "7"}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 501


async def test_execute_many_of_nothing_does_nothing(database: Database) -> None:
    await database.execute_many(INSERT, [])
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


async def test_execute_many_runs_any_kind_of_statement(database: Database) -> None:
    await database.execute_many("SELECT :a", [{"a": 1}, {"a": 2}])
    await database.execute_many(INSERT + " RETURNING id", [{"name": "a"}, {"name": "b"}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 2


async def test_rows_returned_by_a_write_can_be_fetched(database: Database) -> None:
    row = await database.fetch_one(INSERT + " RETURNING id, name", {"name": "Ada"})
    assert row is not None
    assert dict(row) == {"id": 1, "name": "Ada"}
    assert await database.fetch_val(INSERT + " RETURNING id", {"name": "Grace"}) == 2
    many = "INSERT INTO users (name) VALUES ('x'), ('y'), ('z') RETURNING id"
    assert [row["id"] for row in await database.fetch_all(many)] == [3, 4, 5]
    assert [row["id"] async for row in database.iterate("DELETE FROM users RETURNING id")] == [
        1,
        2,
        3,
        4,
        5,
    ]


async def test_percent_signs_in_sql_text_are_text(database: Database) -> None:
    await database.execute(INSERT, {"name": "abc"})
    assert await database.fetch_val("SELECT name FROM users WHERE name LIKE '%b%'") == "abc"
    assert await database.fetch_val("SELECT strftime('%Y', '2026-11-22')") == "2026"
    assert await database.fetch_val("SELECT 7 % :n", {"n": 4}) == 3


async def test_a_read_after_a_write_sees_it_from_any_task(database: Database) -> None:
    async def write_then_read(name: str) -> bool:
        await database.execute(INSERT, {"name": name})
        found = await database.fetch_val("SELECT 1 FROM users WHERE name = :n", {"n": name})
        return bool(found == 1)

    results = await asyncio.gather(*[write_then_read(str(i)) for i in range(200)])
    assert all(results)


async def test_a_table_changed_meanwhile_shows_its_new_columns(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    query = "SELECT * FROM users"
    assert (await database.fetch_all(query))[0].keys() == {"id", "name"}
    await database.execute("ALTER TABLE users ADD COLUMN email TEXT DEFAULT 'none'")
    assert dict((await database.fetch_all(query))[0]) == {"id": 1, "name": "Ada", "email": "none"}


async def test_values_that_sqlite_cannot_store_are_data_errors(database: Database) -> None:
    with pytest.raises(exceptions.DataError) as too_large:
        await database.fetch_val("SELECT :n", {"n": 2**63})
    assert isinstance(too_large.value, OverflowError)
    with pytest.raises(exceptions.DataError) as half:
        await database.fetch_val("SELECT :n", {"n": "\ud800"})
    assert isinstance(half.value, UnicodeEncodeError)
    with pytest.raises(exceptions.DriverError):
        await database.fetch_val("SELECT :n", {"n": object()})


async def test_a_driver_error_is_the_drivers_and_ours_and_names_sql_and_place(
    database: Database,
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.IntegrityError) as caught:
        await database.execute(INSERT, {"name": "Ada"})
    assert isinstance(caught.value, sqlite3.IntegrityError)
    assert str(caught.value) == "UNIQUE constraint failed: users.name"
    notes = "\n".join(caught.value.__notes__)
    assert f"SQL: {INSERT}" in notes
    assert "test_queries.py" in notes
    assert "in test_a_driver_error_is_the_drivers_and_ours_and_names_sql_and_place" in notes
    with pytest.raises(exceptions.OperationalError) as syntax:
        await database.fetch_all("SELEKT 1")
    assert isinstance(syntax.value, sqlite3.OperationalError)
    with pytest.raises(sqlite3.ProgrammingError):
        await database.execute("SELECT 1; SELECT 2")


async def test_a_query_of_another_type_says_what_a_query_is(database: Database) -> None:
    with pytest.raises(exceptions.QueryTypeError, match="not int: 7"):
        await database.fetch_all(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'right:.*\{"id": 1\}'):
        await database.fetch_all("SELECT :id", [1])  # type: ignore[list-item]


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
    async with asyncio.timeout(5):
        for task in slow[1:]:
            task.cancel()
        await asyncio.wait(slow[1:])
        assert await asyncio.gather(*[file_database.fetch_val("SELECT 1") for _ in range(20)])
    slow[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow[0]
    async with asyncio.timeout(5):
        await file_database.disconnect()


async def test_of_two_reads_at_once_the_short_one_does_not_wait_for_the_long_one(
    file_database: Database,
) -> None:
    slow = asyncio.create_task(file_database.fetch_val(SLOW))
    async with asyncio.timeout(5):
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


async def test_a_table_that_was_made_after_a_failed_insert_is_looked_at_again(
    database: Database,
) -> None:
    insert = "INSERT INTO late (id) VALUES (:id)"
    await database.execute("INSERT INTO users (id) VALUES (41)")
    with pytest.raises(exceptions.OperationalError, match="no such table"):
        await database.execute(insert, {"id": "a"})
    await database.execute("CREATE TABLE late (id TEXT PRIMARY KEY) WITHOUT ROWID")
    assert await database.execute(insert, {"id": "a"}) == 1


async def test_counters_of_sqlite_are_the_users_own(database: Database) -> None:
    await database.execute("CREATE TABLE children (parent)")
    async with database.transaction():
        await database.execute("INSERT INTO users (id, name) VALUES (41, 'Ada')")
        await database.execute("INSERT INTO children VALUES (last_insert_rowid())")
    assert await database.fetch_val("SELECT parent FROM children") == 41


async def test_nothing_waits_for_the_garbage_collector(database: Database) -> None:
    async def fails() -> None:
        # pytest.raises would keep the error in a cycle of its own.
        with contextlib.suppress(exceptions.OperationalError):
            await database.fetch_all("SELECT * FROM missing")
        task = asyncio.create_task(database.fetch_all("SELECT 1"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    await fails()
    await asyncio.sleep(0.01)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await fails()
        await asyncio.sleep(0.01)
        assert not [o for o in gc.get_objects() if isinstance(o, sqlite3.Error | Pending)]
    finally:
        gc.enable()


async def test_a_thousand_reads_at_once_need_no_thread_each(file_database: Database) -> None:
    import threading

    await asyncio.gather(*[file_database.fetch_val("SELECT 1") for _ in range(1000)])
    named = [t for t in threading.enumerate() if t.name.startswith("databases-sqlite-")]
    assert len(named) <= 3
