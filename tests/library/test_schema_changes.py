"""The schema changes while connections are open that have prepared statements for the old one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from databases import Database
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, POSTGRESQL_ONLY, Kind
from tests.library.places import OnServer
from tests.library.users import INSERT, count

SELECT = "SELECT * FROM users WHERE id = :id"


async def on_every_connection(database: Database, sql: str) -> list[dict[str, Any]]:
    """What all connections of the pool answer, each having run it often."""
    together = asyncio.Barrier(5)

    async def hold() -> list[Any]:
        async with database.connection() as connection:
            await together.wait()
            return [await connection.fetch_one(sql, {"id": 1}) for _ in range(8)]

    answers = await asyncio.gather(*[hold() for _ in range(5)])
    return [dict(row) for rows in answers for row in rows]


@CONCURRENT
@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("ADD COLUMN email VARCHAR(9) DEFAULT 'none'", {"id": 1, "name": "Ada", "email": "none"}),
        ("DROP COLUMN extra", {"id": 1, "name": "Ada"}),
        ("RENAME COLUMN name TO called", {"id": 1, "called": "Ada"}),
    ],
)
async def test_single_statements_see_the_new_columns(
    database: Database, change: str, row: dict[str, Any]
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    if "DROP" in change:
        await database.execute("ALTER TABLE users ADD COLUMN extra INTEGER")
    before = (await on_every_connection(database, SELECT))[0]
    assert before != row
    await database.execute(f"ALTER TABLE users {change}")
    singles = [database.fetch_one(SELECT, {"id": 1}) for _ in range(20)]
    assert [dict(found or {}) for found in await asyncio.gather(*singles)] == [row] * 20
    assert [dict(found) async for found in database.iterate(SELECT, {"id": 1})] == [row]
    assert await on_every_connection(database, SELECT) == [row] * 40


@NETWORK_ONLY
async def test_single_statements_see_what_somebody_else_changed(
    database: Database, server: OnServer
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    await on_every_connection(database, SELECT)
    server.rows("ALTER TABLE users ADD COLUMN number INTEGER DEFAULT 7")
    singles = [database.fetch_val(SELECT, {"id": 1}, "number") for _ in range(20)]
    assert await asyncio.gather(*singles) == [7] * 20


@POSTGRESQL_ONLY
async def test_a_column_of_another_type_is_read_and_written(
    database: Database, server: OnServer
) -> None:
    await database.execute(INSERT, {"name": "5"})
    query = "SELECT id, name FROM users WHERE name = :name"
    for _ in range(10):
        assert await database.fetch_val(query, {"name": "5"}, "name") == "5"
    server.rows("ALTER TABLE users ALTER COLUMN name TYPE INTEGER USING name::integer")
    singles = [database.fetch_val("SELECT name FROM users") for _ in range(20)]
    assert await asyncio.gather(*singles) == [5] * 20
    await database.execute(INSERT, {"name": 6})
    await database.execute_many(INSERT, [{"name": 7}, {"name": 8}])
    assert await count(database) == 4


@NETWORK_ONLY
async def test_an_expression_sees_the_new_type(
    kind: Kind, database: Database, server: OnServer
) -> None:
    users = sa.table("users", sa.column("id", sa.Integer), sa.column("name"))
    await database.execute(INSERT, {"name": "5"})
    for _ in range(10):
        assert await database.fetch_val(sa.select(users.c.name)) == "5"
    server.rows("ALTER TABLE users DROP COLUMN name")
    server.rows("ALTER TABLE users ADD COLUMN name INTEGER DEFAULT 6")
    singles = [database.fetch_val(sa.select(users.c.name)) for _ in range(20)]
    assert await asyncio.gather(*singles) == [6] * 20


@NETWORK_ONLY
async def test_a_table_that_was_dropped_and_made_again_is_found(
    kind: Kind, database: Database, server: OnServer
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    await on_every_connection(database, SELECT)
    server.rows("DROP TABLE users")
    with pytest.raises(kind.missing_table):
        await database.fetch_one(SELECT, {"id": 1})
    server.rows(f"CREATE TABLE users (name VARCHAR(9), id {kind.key})")
    await database.execute(INSERT, {"name": "Grace"})
    singles = [database.fetch_val(SELECT, {"id": 1}) for _ in range(20)]
    assert await asyncio.gather(*singles) == ["Grace"] * 20
