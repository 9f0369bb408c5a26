"""This library with every read handed to a thread: what the fast lane brings, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import databases
from databases.backends.sqlite import lane
from sqlite_contenders import on_databases
from sqlite_contenders.answering import Operations, answer


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Operations]:
    """Connect to a database; the reads on it, none of which ever counts as short."""
    lane._SHORT = 0.0
    async with on_databases.opened(path) as operations:
        yield {name: operations[name] for name in ("point", "core", "all_rows")}


if __name__ == "__main__":
    answer(opened, f"databases {databases.__version__} without the fast lane")
