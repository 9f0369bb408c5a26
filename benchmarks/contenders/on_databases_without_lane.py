"""This library with every read handed to a thread: what the fast lane brings, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import databases
from contenders import on_databases
from contenders.answering import SQLITE, Operations, answer
from databases.backends.sqlite import lane


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Operations]:
    """Connect to a database; the reads on it, none of which ever counts as short."""
    lane._SHORT = 0.0
    async with on_databases.opened(address) as operations:
        yield {name: operations[name] for name in ("point", "core", "all_rows")}


if __name__ == "__main__":
    answer(opened, f"databases {databases.__version__} without the fast lane", SQLITE)
