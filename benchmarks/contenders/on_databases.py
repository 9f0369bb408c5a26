"""This library and databases 0.9.0: the same code, because it is a drop-in."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy

import databases
from contenders import queries
from contenders.answering import SQLITE, Operations, answer, version

DRIVERS = {
    "sqlite": SQLITE,
    "postgresql": "asyncpg",
    "postgresql+psycopg": "psycopg",
    "mysql": "aiomysql",
    "mysql+aiomysql": "aiomysql",
    "mysql+asyncmy": "asyncmy",
}
"""What is below it, for the scheme of an address."""

users = sqlalchemy.Table(
    "users",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("name", sqlalchemy.Text),
    sqlalchemy.Column("email", sqlalchemy.Text),
)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Connect to a database; the operations on it."""
    ids = queries.random_ids()
    if address.startswith("sqlite"):
        read_counter, counters = queries.READ_COUNTER, queries.shared_counters()
    else:
        read_counter, counters = queries.READ_COUNTER_FOR_UPDATE, queries.free_counters()

    async with databases.Database(address) as database:

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
            counter = counters.pop()
            try:
                async with database.transaction():
                    value = await database.fetch_val(read_counter, {"id": counter})
                    values = {"id": counter, "value": value + 1}
                    await database.execute(queries.WRITE_COUNTER, values)
            finally:
                counters.append(counter)

        async def iterate() -> None:
            seen = 0
            async for _ in database.iterate(queries.SOME_ROWS):
                seen += 1
            assert seen == queries.ROWS

        operations = (point, core, rows, all_rows, insert, many, transaction, iterate)
        yield {operation.__name__: operation for operation in operations}


if __name__ == "__main__":
    driver = DRIVERS[sys.argv[1].partition(":")[0]]
    answer(
        opened,
        f"databases {databases.__version__}",
        driver if driver is SQLITE else version(driver),
    )
