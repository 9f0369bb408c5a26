"""SQLAlchemy's asyncio engine, used as its documentation shows.

A read is a transaction too, which is rolled back in the end: connect() begins one by itself.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from contenders import queries
from contenders.answering import Operations, answer, version
from contenders.lending import CONNECTIONS

POINT = sqlalchemy.text(queries.POINT)
SOME_ROWS = sqlalchemy.text(queries.SOME_ROWS)
INSERT = sqlalchemy.text(queries.INSERT)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Make an engine, for SQLite with the pool that it gets by itself; the operations on it."""
    ids = queries.random_ids()
    size = {} if address.startswith("sqlite") else {"pool_size": CONNECTIONS, "max_overflow": 0}
    engine = create_async_engine(address, **size)

    async def point() -> None:
        async with engine.connect() as connection:
            row = (await connection.execute(POINT, {"id": next(ids)})).one()
            assert row.name

    async def rows() -> None:
        async with engine.connect() as connection:
            assert len((await connection.execute(SOME_ROWS)).all()) == queries.ROWS

    async def insert() -> None:
        async with engine.begin() as connection:
            await connection.execute(INSERT, {"name": queries.NAME})

    async def many() -> None:
        async with engine.begin() as connection:
            await connection.execute(INSERT, queries.NEW_ROWS)

    yield {operation.__name__: operation for operation in (point, rows, insert, many)}
    await engine.dispose()


if __name__ == "__main__":
    driver = sys.argv[1].partition(":")[0].partition("+")[2]
    answer(opened, f"SQLAlchemy {sqlalchemy.__version__}", version(driver))
