"""This library and databases 0.9.0: the same code, because it is a drop-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy

import databases
from sqlite_contenders import queries
from sqlite_contenders.answering import Operations, answer

users = sqlalchemy.Table(
    "users",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("name", sqlalchemy.Text),
    sqlalchemy.Column("email", sqlalchemy.Text),
)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Operations]:
    """Connect to a database; the operations on it."""
    ids = queries.random_ids()

    async with databases.Database(f"sqlite:///{path}") as database:

        async def point() -> None:
            row = await database.fetch_one(queries.POINT, {"id": next(ids)})
            assert row["name"]

        async def core() -> None:
            row = await database.fetch_one(users.select().where(users.c.id == next(ids)))
            assert row["name"]

        async def rows() -> None:
            assert len(await database.fetch_all(queries.SOME_ROWS)) == queries.ROWS

        async def all_rows() -> None:
            assert len(await database.fetch_all(queries.ALL_ROWS)) == queries.USERS

        async def insert() -> None:
            await database.execute(queries.INSERT, {"name": queries.NAME})

        async def many() -> None:
            await database.execute_many(queries.INSERT, queries.NEW_ROWS)

        async def transaction() -> None:
            async with database.transaction():
                value = await database.fetch_val(queries.READ_COUNTER, {"id": queries.COUNTER})
                values = {"id": queries.COUNTER, "value": value + 1}
                await database.execute(queries.WRITE_COUNTER, values)

        async def iterate() -> None:
            seen = 0
            async for _ in database.iterate(queries.SOME_ROWS):
                seen += 1
            assert seen == queries.ROWS

        operations = (point, core, rows, all_rows, insert, many, transaction, iterate)
        yield {operation.__name__: operation for operation in operations}


if __name__ == "__main__":
    answer(opened, f"databases {databases.__version__}")
