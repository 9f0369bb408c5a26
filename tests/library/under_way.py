"""Work under way on a database, and what must be true of it when the database is stopped."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import ON_SQLITE, Kind
from tests.library.places import until
from tests.library.pools import sleeping
from tests.library.users import INSERT, count

LONG = 60.0
"""Seconds of grace that no test can take."""

SHORT = 0.05


class Work:
    """Something that is under way on a database: at a point it says so, and waits to go on."""

    def __init__(self, kind: Kind, database: Database) -> None:
        self.kind = kind
        self.database = database
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def until_told(self) -> None:
        self.begun.set()
        await self.go.wait()

    # What finishes.

    async def statement(self) -> None:
        self.begun.set()
        seconds = f"SELECT {sleeping(self.kind, 0.2)}"
        count = f"SELECT count(*) FROM ({self.kind.series(1_500_000)})"
        await self.database.execute(count if self.kind in ON_SQLITE else seconds)

    async def connection(self) -> None:
        async with self.database.connection() as connection:
            await self.until_told()
            await connection.execute(INSERT, {"name": "Ada"})
            await self.database.execute(INSERT, {"name": "Grace"})
            async with connection.transaction():
                assert await count(self.database) == 2

    async def transaction(self) -> None:
        async with self.database.transaction():
            await self.database.execute(INSERT, {"name": "Ada"})
            await self.until_told()
            async with self.database.transaction():
                await self.database.execute(INSERT, {"name": "Grace"})
            assert await count(self.database) == 2

    async def iteration(self) -> None:
        rows = 0
        async for _ in self.database.iterate(self.kind.series(5000)):
            if not rows:
                await self.until_told()
            rows += 1
        assert rows == 5000

    # What does not.

    async def endless(self) -> None:
        self.begun.set()
        await self.database.fetch_val(self.kind.endless)

    async def endless_write(self) -> None:
        self.begun.set()
        await self.database.execute(self.kind.endless_write)

    async def endless_in_transaction(self) -> None:
        async with self.database.transaction():
            await self.database.execute(INSERT, {"name": "Ada"})
            self.begun.set()
            await self.database.fetch_val(self.kind.endless)

    async def endless_on_connection(self) -> None:
        async with self.database.connection() as connection:
            self.begun.set()
            await connection.execute(self.kind.endless_write)


WORK = {
    "statement": Work.statement,
    "connection": Work.connection,
    "transaction": Work.transaction,
    "iteration": Work.iteration,
}
ENDLESS = {
    "read": Work.endless,
    "write": Work.endless_write,
    "in a transaction": Work.endless_in_transaction,
    "on a connection": Work.endless_on_connection,
}


def begin(
    kind: Kind, database: Database, function: Callable[[Work], Coroutine[Any, Any, None]]
) -> tuple[Work, asyncio.Task[None]]:
    work = Work(kind, database)
    return work, asyncio.create_task(function(work), name="the worker")


async def stopping(database: Database, grace: float) -> asyncio.Task[None]:
    task = asyncio.create_task(database.disconnect(grace=grace), name="the stopper")
    await until(lambda: not database.is_connected)
    return task


async def is_refused(database: Database) -> None:
    for new in (
        database.fetch_val("SELECT 1"),
        database.execute_many(INSERT, [{"name": "new"}]),
        database.transaction().start(),
        database.connection().__aenter__(),
        database.iterate("SELECT 1").__anext__(),
    ):
        with pytest.raises(exceptions.NotConnectedError, match=r"disconnected at:\n  File") as said:
            await new
        assert "in stopping" in str(said.value)


def was_stopped(error: BaseException | None) -> bool:
    """Whether an error says that it was disconnected, by whom and where."""
    assert isinstance(error, exceptions.NotConnectedError), error
    said = re.search(r"\n  disconnected at File .*under_way.*, by (.*)", str(error))
    assert said, str(error)
    assert said[1] == "the stopper"
    return True


async def no_thread_is_left() -> None:
    await until(lambda: not any(t.name.startswith("databases-") for t in threading.enumerate()))
