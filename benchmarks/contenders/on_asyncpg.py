"""Ten connections of asyncpg's, handed from task to task: what no pool above it can exceed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg

from contenders import queries
from contenders.answering import Operations, answer
from contenders.lending import CONNECTIONS, Lending

POINT, INSERT, READ_COUNTER, WRITE_COUNTER = (
    queries.positional(sql, "${}")
    for sql in (
        queries.POINT,
        queries.INSERT,
        queries.READ_COUNTER_FOR_UPDATE,
        queries.WRITE_COUNTER,
    )
)
NEW_ROWS = [(row["name"],) for row in queries.NEW_ROWS]


def operations(borrow: Callable[[], AbstractAsyncContextManager[Any]]) -> Operations:
    """The operations on connections that are borrowed for each of them."""
    ids = queries.random_ids()
    counters = queries.free_counters()

    async def point() -> None:
        async with borrow() as connection:
            row = await connection.fetchrow(POINT, next(ids))
        assert row["name"]

    async def rows() -> None:
        async with borrow() as connection:
            assert len(await connection.fetch(queries.SOME_ROWS)) == queries.ROWS

    async def insert() -> None:
        async with borrow() as connection:
            await connection.execute(INSERT, queries.NAME)

    async def many() -> None:
        async with borrow() as connection:
            await connection.executemany(INSERT, NEW_ROWS)

    async def transaction() -> None:
        counter = counters.pop()
        try:
            async with borrow() as connection, connection.transaction():
                value = await connection.fetchval(READ_COUNTER, counter)
                await connection.execute(WRITE_COUNTER, value + 1, counter)
        finally:
            counters.append(counter)

    async def iterate() -> None:
        seen = 0
        async with borrow() as connection, connection.transaction():
            async for _ in connection.cursor(queries.SOME_ROWS):
                seen += 1
        assert seen == queries.ROWS

    found = (point, rows, insert, many, transaction, iterate)
    return {operation.__name__: operation for operation in found}


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Open the connections; the operations on them."""
    connections = [await asyncpg.connect(address) for _ in range(CONNECTIONS)]
    yield operations(Lending(connections))
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    answer(opened, "asyncio.LifoQueue", f"asyncpg {asyncpg.__version__}")
