"""asyncpg's own pool, used as its documentation shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from contenders import on_asyncpg
from contenders.answering import Operations, answer
from contenders.lending import CONNECTIONS


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Open the pool; the operations on it."""
    async with asyncpg.create_pool(address, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        # Not pool.fetchrow(), which does the same with a call more in between.
        yield on_asyncpg.operations(pool.acquire)


if __name__ == "__main__":
    answer(opened, "asyncpg.Pool", f"asyncpg {asyncpg.__version__}")
