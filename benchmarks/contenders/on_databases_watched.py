"""This library, watched in one way for as long as it runs: its address is ``WAY|URL``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import databases
from contenders import on_databases, watching
from contenders.answering import SQLITE, Operations, answer

Database = databases.Database


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Connect to a database and watch it; the operations on it."""
    way, _, url = address.partition("|")
    async with connected(url) as (found, operations):
        found.begin(way)
        page = asyncio.create_task(found.read_page()) if way == watching.PAGE else None
        yield operations
        if page is not None:
            page.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await page


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[watching.Watching, Operations]]:
    """Connect to a database; the ways to watch it, and the operations on it."""
    made: list[Database] = []

    class Noted(Database):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    # The same operations as everywhere; only here it has to be known what they are done on.
    databases.Database = Noted  # type: ignore[misc]
    try:
        async with on_databases.opened(url) as operations:
            yield watching.Watching(made[0]), operations
    finally:
        databases.Database = Database  # type: ignore[misc]


if __name__ == "__main__":
    answer(opened, f"databases {databases.__version__}", SQLITE)
