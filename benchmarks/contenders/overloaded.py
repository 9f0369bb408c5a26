"""A pool of ten connections to PostgreSQL, and work that takes ten milliseconds on the server.

The address says how: ``shedding``, ``waiting`` (ours without what it refuses), ``original``
(databases 0.9.0) or ``asyncpg`` (its pool), then the URL. Nobody waits longer than ``LIMIT``.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from contenders.arrivals import SERVED, Arrivals

LIMIT = 0.5
WORK = "SELECT pg_sleep(0.01)"


@asynccontextmanager
async def asking(how: str, url: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """What asks the database once and says what became of it."""
    if how == "asyncpg":
        import asyncpg

        async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:

            async def ask() -> None:
                async with pool.acquire(timeout=LIMIT) as connection:
                    await connection.fetchval(WORK)

            yield _told(ask)
        return
    import databases

    limit = "" if how == "original" else f"&pool_timeout={LIMIT}"
    async with databases.Database(f"{url}?min_size=10&max_size=10{limit}") as database:

        async def ask() -> None:
            await database.fetch_val(WORK)

        async def ask_within() -> None:
            await asyncio.wait_for(database.fetch_val(WORK), LIMIT)

        if how == "waiting":
            from databases.backends import waiting

            waiting.SURE = math.inf
        yield _told(ask_within if how == "original" else ask)


def _told(ask: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[str]]:
    async def told() -> str:
        try:
            await ask()
        except TimeoutError:
            return "in vain"
        except Exception as error:
            return "refused" if type(error).__name__ == "TooManyRequests" else repr(error)
        return SERVED

    return told


async def answer() -> None:
    """Answer each line with what came of so many who ask at once, or a second."""
    async with asking(*sys.argv[1].split()) as ask:
        print("{}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            arrivals = Arrivals(ask)
            method = getattr(arrivals, asked["operation"])
            print(json.dumps(await method(asked["tasks"], asked["seconds"])), flush=True)


if __name__ == "__main__":
    asyncio.run(answer())
