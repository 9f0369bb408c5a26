"""iterate() on SQLite: what a read that is open means there."""

from __future__ import annotations

import asyncio

import pytest

from databases import Database, exceptions

UPDATE = "UPDATE users SET name = 'x' || id WHERE id = :id"


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
