"""Ten connections of asyncmy's or aiomysql's, handed from task to task: what no pool can exceed.

Which of the two it is stands in the address: mysql+asyncmy:// or mysql+aiomysql://. They have the
same interface.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from contenders import queries
from contenders.answering import Operations, answer, version
from contenders.lending import CONNECTIONS, Lending

POINT, INSERT, READ_COUNTER, WRITE_COUNTER = (
    queries.positional(sql, "%s")
    for sql in (
        queries.POINT,
        queries.INSERT,
        queries.READ_COUNTER_FOR_UPDATE,
        queries.WRITE_COUNTER,
    )
)
NEW_ROWS = [(row["name"],) for row in queries.NEW_ROWS]


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Open the connections; the operations on them."""
    driver: Any = importlib.import_module(name_of_driver(address))
    place = urlsplit(address)
    connections = [
        await driver.connect(
            host=place.hostname,
            port=place.port,
            user=place.username,
            db=place.path.removeprefix("/"),
            autocommit=True,
        )
        for _ in range(CONNECTIONS)
    ]
    borrow = Lending(connections)
    unbuffered = importlib.import_module(f"{driver.__name__}.cursors").SSCursor
    ids = queries.random_ids()
    counters = queries.free_counters()

    async def point() -> None:
        async with borrow() as connection, connection.cursor() as cursor:
            await cursor.execute(POINT, (next(ids),))
            row = await cursor.fetchone()
        assert row[1]

    async def rows() -> None:
        async with borrow() as connection, connection.cursor() as cursor:
            await cursor.execute(queries.SOME_ROWS)
            assert len(await cursor.fetchall()) == queries.ROWS

    async def insert() -> None:
        async with borrow() as connection, connection.cursor() as cursor:
            await cursor.execute(INSERT, (queries.NAME,))

    async def many() -> None:
        async with borrow() as connection, connection.cursor() as cursor:
            await cursor.executemany(INSERT, NEW_ROWS)

    async def transaction() -> None:
        counter = counters.pop()
        try:
            async with borrow() as connection, connection.cursor() as cursor:
                await connection.begin()
                await cursor.execute(READ_COUNTER, (counter,))
                (value,) = await cursor.fetchone()
                await cursor.execute(WRITE_COUNTER, (value + 1, counter))
                await connection.commit()
        finally:
            counters.append(counter)

    async def iterate() -> None:
        seen = 0
        async with borrow() as connection, connection.cursor(unbuffered) as cursor:
            await cursor.execute(queries.SOME_ROWS)
            while await cursor.fetchone():
                seen += 1
        assert seen == queries.ROWS

    found = (point, rows, insert, many, transaction, iterate)
    yield {operation.__name__: operation for operation in found}
    for connection in connections:
        connection.close()


def name_of_driver(address: str) -> str:
    """The module behind the + of an address."""
    return urlsplit(address).scheme.partition("+")[2]


if __name__ == "__main__":
    answer(opened, "asyncio.LifoQueue", version(name_of_driver(sys.argv[1])))
