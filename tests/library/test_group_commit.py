"""Single statements that wait at the same time are committed together, and stay single."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import SQLITE_ONLY

INSERT = "INSERT INTO users (id, name) VALUES (:id, :name)"
LONG = """INSERT INTO users (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
SELECT NULL FROM n"""

Statements = list[Callable[[], Coroutine[Any, Any, Any]]]


async def together(database: Database, *statements: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run statements that have all waited for one transaction to end; their results or errors."""
    async with database.transaction():
        tasks = [asyncio.create_task(statement) for statement in statements]
        await asyncio.sleep(0.01)
    return await asyncio.gather(*tasks, return_exceptions=True)


def insert(database: Database, number: int, verb: str = "INSERT") -> Coroutine[Any, Any, Any]:
    sql = INSERT.replace("INSERT", verb, 1)
    return database.execute(sql, {"id": number, "name": f"User {number}"})


async def ids(database: Database) -> list[int]:
    return [row.id for row in await database.fetch_all("SELECT id FROM users ORDER BY id")]


def commits(database: Database) -> list[str]:
    """What is committed and rolled back on the writer's connection from now on."""
    seen: list[str] = []

    def trace(sql: str) -> None:
        if sql.split()[0] in ("COMMIT", "ROLLBACK"):
            seen.append(sql)

    writer(database).set_trace_callback(trace)
    return seen


def writer(database: Database) -> sqlite3.Connection:
    connection: sqlite3.Connection = database._engine._backend._writer._connection  # type: ignore[union-attr]
    return connection


async def test_statements_that_wait_together_are_committed_together(
    file_database: Database,
) -> None:
    seen = commits(file_database)
    results = await together(file_database, *[insert(file_database, n) for n in range(1, 101)])
    assert results == list(range(1, 101))
    assert set(seen) == {"COMMIT"}
    # One or two, unless the machine was busy with something else meanwhile.
    assert len(seen) < 10
    assert await ids(file_database) == list(range(1, 101))


async def test_each_gets_its_own_result(file_database: Database) -> None:
    await insert(file_database, 1)
    results = await together(
        file_database,
        insert(file_database, 2),
        file_database.execute("UPDATE users SET name = name || '!'"),
        file_database.fetch_val("INSERT INTO users (id) VALUES (7) RETURNING id * 10"),
        file_database.fetch_all("UPDATE users SET id = id + 100 WHERE id < 3 RETURNING id"),
        file_database.execute("WITH n AS (SELECT 8) INSERT INTO users (id) SELECT * FROM n"),
        file_database.execute("REPLACE INTO users (id, name) VALUES (8, 'replaced')"),
        file_database.execute("DELETE FROM users WHERE id > 100"),
    )
    returned = [row.id for row in results.pop(3)]
    assert returned == [101, 102]
    assert results == [2, 2, 70, 8, 8, 2]
    assert await ids(file_database) == [7, 8]


async def test_whoever_was_answered_is_on_disk(file_database: Database, file_url: str) -> None:
    path = file_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)

    async def write(number: int) -> None:
        await insert(file_database, number)
        found = other.execute("SELECT count(*) FROM users WHERE id = ?", [number]).fetchone()
        assert found == (1,)

    await asyncio.gather(*[write(number) for number in range(200)])
    other.close()


async def test_one_that_fails_fails_alone(file_database: Database) -> None:
    await insert(file_database, 5)
    results = await together(file_database, *[insert(file_database, n) for n in range(1, 11)])
    failed = results.pop(4)
    assert isinstance(failed, exceptions.IntegrityError)
    assert "Called at" in "\n".join(failed.__notes__)
    assert results == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert await ids(file_database) == list(range(1, 11))


@pytest.mark.parametrize("how", ["OR ROLLBACK", "RAISE(ROLLBACK)"])
async def test_one_that_rolls_back_everything_fails_alone(
    file_database: Database, how: str
) -> None:
    await insert(file_database, 5)
    await insert(file_database, 8)
    if how == "RAISE(ROLLBACK)":
        await file_database.execute(
            "CREATE TRIGGER strict BEFORE INSERT ON users WHEN new.id IN (5, 8) "
            "BEGIN SELECT RAISE(ROLLBACK, 'not again'); END"
        )
    verb = "INSERT OR ROLLBACK" if how == "OR ROLLBACK" else "INSERT"
    statements = [insert(file_database, number, verb) for number in range(1, 11)]
    results = await together(file_database, *statements)
    assert isinstance(results.pop(7), exceptions.IntegrityError)
    assert isinstance(results.pop(4), exceptions.IntegrityError)
    assert results == [1, 2, 3, 4, 6, 7, 9, 10]
    assert await ids(file_database) == list(range(1, 11))


async def test_a_deferred_constraint_fails_only_for_who_broke_it(file_url: str) -> None:
    async with Database(file_url, foreign_keys=True) as database:
        await database.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, "
            "name TEXT REFERENCES names DEFERRABLE INITIALLY DEFERRED)"
        )
        await database.execute("CREATE TABLE names (name TEXT PRIMARY KEY)")
        good = [
            database.execute(f"INSERT INTO users (id) VALUES ({number})") for number in range(1, 6)
        ]
        bad = database.execute("INSERT INTO users VALUES (99, 'nobody')")
        results = await together(database, *good[:3], bad, *good[3:])
        assert isinstance(results.pop(3), exceptions.IntegrityError)
        assert results == [1, 2, 3, 4, 5]
        assert await ids(database) == [1, 2, 3, 4, 5]


async def test_where_the_commit_fails_everybody_is_told_and_nothing_stays(
    file_database: Database,
) -> None:
    def refuse(action: int, what: str | None, *_: object) -> int:
        refused = action == sqlite3.SQLITE_TRANSACTION and what == "COMMIT"
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    writer(file_database).set_authorizer(refuse)
    results = await together(file_database, *[insert(file_database, n) for n in range(1, 11)])
    writer(file_database).set_authorizer(None)
    assert all(isinstance(result, exceptions.DatabaseError) for result in results)
    # Each has an error of his own, with his own place in it.
    assert len({id(result) for result in results}) == 10
    assert await ids(file_database) == []
    assert await insert(file_database, 1) == 1


@SQLITE_ONLY
async def test_one_that_is_cancelled_while_it_waits_does_not_run(database: Database) -> None:
    async with database.transaction():
        tasks = [asyncio.create_task(insert(database, number)) for number in range(1, 11)]
        await asyncio.sleep(0.01)
        for task in tasks[3:6]:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results[3:6]] == [asyncio.CancelledError] * 3
    assert await ids(database) == [1, 2, 3, 7, 8, 9, 10]


async def test_one_that_is_stopped_takes_nobody_with_it(file_database: Database) -> None:
    statements = [insert(file_database, number) for number in range(1, 21)]
    stopped = file_database.execute(LONG, timeout=0.1)
    results = await together(file_database, *statements[:10], stopped, *statements[10:])
    assert isinstance(results.pop(10), exceptions.QueryTimeoutError)
    assert results == list(range(1, 21))
    assert await ids(file_database) == list(range(1, 21))


async def test_what_changes_the_schema_goes_alone_and_in_its_turn(file_database: Database) -> None:
    results = await together(
        file_database,
        insert(file_database, 1),
        file_database.execute("ALTER TABLE users ADD COLUMN email TEXT"),
        file_database.execute("UPDATE users SET email = 'a@example.org'"),
        file_database.execute("VACUUM"),
        file_database.execute_many(INSERT, [{"id": 2, "name": "b"}, {"id": 3, "name": "c"}]),
        insert(file_database, 4),
    )
    assert not [result for result in results if isinstance(result, BaseException)]
    assert await ids(file_database) == [1, 2, 3, 4]
    assert await file_database.fetch_val("SELECT email FROM users WHERE id = 1") == "a@example.org"


async def test_single_statements_do_not_keep_a_transaction_waiting(
    file_database: Database,
) -> None:
    stop = asyncio.Event()

    async def write_on(number: int) -> None:
        while not stop.is_set():
            await insert(file_database, number, "INSERT OR REPLACE")

    writers = [asyncio.create_task(write_on(number)) for number in range(20)]
    async with asyncio.timeout(20):
        for number in range(20):
            async with file_database.transaction():
                await insert(file_database, 1000 + number)
    stop.set()
    await asyncio.gather(*writers)
    assert [number for number in await ids(file_database) if number >= 1000] == list(
        range(1000, 1020)
    )
