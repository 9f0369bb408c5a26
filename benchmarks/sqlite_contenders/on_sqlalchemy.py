"""SQLAlchemy's asyncio engine over aiosqlite, as create_async_engine() makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from sqlite_contenders import queries
from sqlite_contenders.answering import Operations, answer

POINT = sqlalchemy.text(queries.POINT)
SOME_ROWS = sqlalchemy.text(queries.SOME_ROWS)
INSERT = sqlalchemy.text(queries.INSERT)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Operations]:
    """Make an engine; the operations on it."""
    ids = queries.random_ids()
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

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
    answer(opened, f"SQLAlchemy {sqlalchemy.__version__}")
