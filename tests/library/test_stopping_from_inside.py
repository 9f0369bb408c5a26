"""disconnect() by who holds a connection himself: nobody waits for him."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import MEMORY, Kind
from tests.library.places import Place
from tests.library.under_way import (
    LONG,
)
from tests.library.users import INSERT


async def inside(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await database.disconnect(grace=LONG)


async def by_hand(database: Database) -> None:
    transaction = await database.transaction()
    await database.execute(INSERT, {"name": "Ada"})
    await database.disconnect(grace=LONG)
    with pytest.raises(exceptions.StateError, match="in by_hand"):
        await transaction.commit()


async def by_a_child(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await asyncio.create_task(database.disconnect(grace=LONG))


async def by_one_of_a_group(database: Database) -> None:
    async with database.connection(), asyncio.TaskGroup() as group:
        await database.fetch_val("SELECT 1")
        group.create_task(database.disconnect(grace=LONG))


async def by_one_that_is_gathered(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await asyncio.gather(database.disconnect(grace=LONG), asyncio.sleep(0))


async def by_each_of_two(database: Database) -> None:
    together = asyncio.Barrier(2)

    async def one() -> None:
        async with database.connection():
            await together.wait()
            await database.disconnect(grace=LONG)

    await asyncio.gather(one(), one())


async def after_one_that_never_let_go(database: Database) -> None:
    async def fixture() -> object:
        return await database.transaction()

    kept = await asyncio.create_task(fixture())
    await database.disconnect(grace=LONG)
    assert kept


@pytest.mark.parametrize(
    "disconnects",
    [
        inside,
        by_hand,
        by_a_child,
        by_one_of_a_group,
        by_one_that_is_gathered,
        by_each_of_two,
        after_one_that_never_let_go,
    ],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("force_rollback", [False, True], ids=["", "force_rollback"])
async def test_nobody_waits_for_who_waits_for_the_end_himself(
    kind: Kind,
    url: str,
    place: Place,
    database: Database,
    disconnects: Callable[[Database], Coroutine[Any, Any, None]],
    force_rollback: bool,
) -> None:
    if kind is not MEMORY:
        await database.disconnect()
        database = Database(url, force_rollback=force_rollback)
        await database.connect()
    async with asyncio.timeout(20):
        await disconnects(database)
    assert not database.is_connected
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()
