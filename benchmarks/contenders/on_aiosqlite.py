"""aiosqlite: one connection that stays open, used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite

from contenders import queries
from contenders.answering import SQLITE, Operations, answer

POINT = queries.positional(queries.POINT, "?")
INSERT = queries.positional(queries.INSERT, "?")
NEW_ROWS = [(row["name"],) for row in queries.NEW_ROWS]


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Operations]:
    """Connect to a database; the operations on it."""
    ids = queries.random_ids()

    # Each statement is a transaction: tasks that share a connection cannot have longer ones.
    async with aiosqlite.connect(path, isolation_level=None) as connection:

        async def point() -> None:
            async with connection.execute(POINT, (next(ids),)) as cursor:
                row = await cursor.fetchone()
            assert row[1]

        async def rows() -> None:
            assert len(list(await connection.execute_fetchall(queries.SOME_ROWS))) == queries.ROWS

        async def insert() -> None:
            await connection.execute(INSERT, (queries.NAME,))

        async def many() -> None:
            await connection.execute("BEGIN")
            await connection.executemany(INSERT, NEW_ROWS)
            await connection.commit()

        async def iterate() -> None:
            seen = 0
            async with connection.execute(queries.SOME_ROWS) as cursor:
                async for _ in cursor:
                    seen += 1
            assert seen == queries.ROWS

        operations = (point, rows, insert, many, iterate)
        yield {operation.__name__: operation for operation in operations}


if __name__ == "__main__":
    answer(opened, f"aiosqlite {aiosqlite.__version__}", SQLITE)
