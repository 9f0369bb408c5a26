"""iterate(): rows one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import operator
from pathlib import Path

import pytest

from databases import Database, exceptions

MANY = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most)
SELECT i FROM n"""
UPDATE = "UPDATE users SET name = 'x' || id WHERE id = :id"


async def test_it_yields_every_row_in_order(database: Database) -> None:
    rows = [row.i async for row in database.iterate(MANY, {"most": 1000})]
    assert rows == list(range(1, 1001))
    assert [row async for row in database.iterate("SELECT 1 WHERE 0")] == []
    async with database.connection() as connection:
        assert len([row async for row in connection.iterate(MANY, {"most": 600})]) == 600


async def test_other_queries_run_inside_the_loop(database: Database) -> None:
    await database.execute_many(
        "INSERT INTO users (name) VALUES (:n)", [{"n": str(i)} for i in range(600)]
    )
    async with asyncio.timeout(20):
        async for row in database.iterate("SELECT id FROM users WHERE id <= 600"):
            if row.id % 50 == 0:
                await database.execute(
                    "UPDATE users SET name = 'x' || id WHERE id = :i", {"i": row.id}
                )
                async with database.transaction():
                    await database.execute("DELETE FROM users WHERE id > 600")
        async with database.transaction():
            async for row in database.iterate("SELECT id FROM users"):
                await database.execute(UPDATE, {"id": row.id})


async def test_leaving_the_loop_early_frees_the_connection(file_database: Database) -> None:
    backend = file_database._engine._backend
    for _ in range(30):
        async for _row in file_database.iterate(MANY, {"most": 100_000}):
            break
        await asyncio.sleep(0)
    assert len(backend._idle) == 1  # type: ignore[union-attr]
    with contextlib.suppress(ValueError):
        async for _row in file_database.iterate(MANY, {"most": 100_000}):
            raise ValueError
    rows = file_database.iterate(MANY, {"most": 100_000})
    await rows.__anext__()
    await rows.aclose()
    with pytest.raises(StopAsyncIteration):
        await rows.__anext__()
    del rows, _row
    gc.collect()
    assert not backend._lent  # type: ignore[union-attr]


SLOW_START = """SELECT users.id, (WITH RECURSIVE n(i) AS (
    SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n) FROM users"""


async def test_one_cancelled_while_it_starts_leaves_no_read_open(file_database: Database) -> None:
    insert = "INSERT INTO users (name) VALUES (:name)"
    await file_database.execute_many(insert, [{"name": "a"}, {"name": "b"}])
    rows = file_database.iterate(SLOW_START)
    starting = asyncio.ensure_future(rows.__anext__())
    await asyncio.sleep(0.02)
    starting.cancel()
    await asyncio.wait([starting])
    await file_database.execute(insert, {"name": "c"})
    # A read that was open still would have seen an older state: "database is locked".
    async with file_database.transaction():
        await file_database.execute(insert, {"name": "d"})


async def test_it_holds_a_bounded_number_of_rows(file_database: Database) -> None:
    rows = file_database.iterate(MANY, {"most": 1_000_000})
    for _ in range(150):
        await rows.__anext__()
    assert 0 < operator.length_hint(rows._ready) < 1000
    await rows.aclose()


async def test_an_error_frees_the_connection_and_names_the_place(file_database: Database) -> None:
    with pytest.raises(exceptions.OperationalError) as caught:
        async for _ in file_database.iterate("SELECT * FROM missing"):
            pass
    assert Path(__file__).name in "\n".join(caught.value.__notes__)
    assert not file_database._engine._backend._lent  # type: ignore[union-attr]


async def test_used_in_another_way_it_says_how(database: Database) -> None:
    with pytest.raises(exceptions.ForgottenAwaitError, match="async for row"):
        list(database.iterate("SELECT 1"))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"rows = await database\.fetch_all\(query\)"):
        await database.iterate("SELECT 1")  # type: ignore[misc]


@pytest.mark.parametrize("block", ["connection", "transaction"])
async def test_one_left_open_in_a_block_ends_with_it(file_database: Database, block: str) -> None:
    await file_database.execute_many("INSERT INTO users (id) VALUES (:id)", numbered(500))
    async with getattr(file_database, block)():
        rows = file_database.iterate("SELECT id FROM users")
        await anext(rows)
    await file_database.execute("INSERT INTO users (id) VALUES (501)")
    # Whoever gets the connection next is not inside the snapshot of that read.
    async with file_database.connection() as connection:
        assert await connection.fetch_val("SELECT count(*) FROM users") == 501
    async with file_database.transaction():
        await file_database.execute("INSERT INTO users (id) VALUES (502)")
    with pytest.raises(exceptions.StateError, match="inside the `async with` block"):
        async for _ in rows:
            pass


@pytest.mark.parametrize("block", ["connection", "transaction"])
async def test_a_time_limit_beside_it_stops_nothing_else(
    file_database: Database, block: str
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    await file_database.execute_many("INSERT INTO users (id) VALUES (:id)", numbered(3000))
    seen = 0
    async with getattr(file_database, block)():
        async for _ in file_database.iterate("SELECT id FROM users"):
            seen += 1
            if seen == 50:
                with pytest.raises(exceptions.QueryTimeoutError):
                    await file_database.fetch_val(endless, timeout=0.05)
                assert await file_database.fetch_val("SELECT count(*) FROM users") == 3000
                await file_database.execute("UPDATE users SET name = 'x' WHERE id = 1")
    assert seen == 3000
    assert await file_database.fetch_val("SELECT name FROM users WHERE id = 1") == "x"


async def test_with_a_rollback_journal_others_can_write_meanwhile(file_url: str) -> None:
    async with Database(file_url, journal_mode="delete", timeout=2) as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        await database.execute_many("INSERT INTO users (id) VALUES (:id)", numbered(500))
        async for row in database.iterate("SELECT id FROM users"):
            await database.execute(UPDATE, {"id": row.id})
            if row.id == 5:
                break
        assert await database.fetch_val("SELECT count(name) FROM users") == 5


def numbered(count: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(1, count + 1)]
