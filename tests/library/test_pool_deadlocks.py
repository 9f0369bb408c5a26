"""Tasks that hold a connection and wait for another one, which nobody can give back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.pool import Pool
from tests.library.fake_links import (
    Clock,
    FakeLink,
    FakeServer,
    here,
    hold_and,
    lent,
    opened,
    settled,
)
from tests.library.kinds import NETWORK_ONLY, Kind

Work = Coroutine[Any, Any, Any]


async def told(pool: Pool[FakeLink]) -> bool:
    """Wait for a connection, which is there or a deadlock."""
    try:
        pool.give_back(await pool.acquire(here()))
    except exceptions.PoolDeadlock:
        return True
    return False


async def as_such(work: Work) -> Any:
    return await work


async def gathered(work: Work) -> Any:
    return (await asyncio.gather(work))[0]


async def gathered_within(work: Work) -> Any:
    return (await asyncio.gather(asyncio.gather(work)))[0][0]


async def of_a_task(work: Work) -> Any:
    return await asyncio.create_task(work)


async def of_a_task_of_a_task(work: Work) -> Any:
    return await asyncio.create_task(of_a_task(work))


async def in_a_group(work: Work) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
    return task.result()


WAYS: dict[str, Callable[[Work], Work]] = {
    function.__name__: function
    for function in (
        as_such,
        gathered,
        gathered_within,
        of_a_task,
        of_a_task_of_a_task,
        in_a_group,
    )
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_waits_for_itself_is_told_at_once(fake: FakeServer, way: str) -> None:
    pool = fake.pool(max_size=1)
    slot = await pool.acquire(here())
    async with asyncio.timeout(0.5):
        assert await WAYS[way](told(pool))
    pool.give_back(slot)
    assert fake.counts(pool) == (1, 1, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_who_shares_the_connections_with_others_waits_for_those(
    fake: FakeServer, way: str
) -> None:
    pool = fake.pool(max_size=2)
    held = asyncio.Event()
    others = asyncio.create_task(hold_and(held, pool, None))
    await held.wait()
    mine = await pool.acquire(here())
    task = asyncio.create_task(WAYS[way](told(pool)))
    await settled()
    assert not task.done()
    slots = [slot for slot in pool._slots if slot is not mine]
    pool.give_back(slots[0])
    assert await task is False
    others.cancel()
    await asyncio.wait([others])


async def test_who_waited_once_and_works_now_is_waited_for(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2)
    mine, other = await lent(pool, 2)
    held = asyncio.Event()
    works = asyncio.create_task(hold_and(held, pool, None))
    await settled()
    pool.give_back(other)
    await held.wait()
    asyncio.get_running_loop().call_soon(pool.give_back, other)
    assert await told(pool) is False
    pool.give_back(mine)
    works.cancel()
    await asyncio.wait([works])


async def hold_and_await(pool: Pool[FakeLink], proceed: asyncio.Event) -> bool:
    """Hold one, and await a task that waits for another only later."""
    slot = await pool.acquire(here())
    child = asyncio.create_task(told(pool))
    await proceed.wait()
    try:
        return await child
    finally:
        pool.give_back(slot)


async def test_of_several_that_come_to_wait_for_each_other_one_is_told(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=3)
    proceed = asyncio.Event()
    holders = [asyncio.create_task(hold_and_await(pool, proceed)) for _ in range(3)]
    await settled()
    proceed.set()
    await settled()
    await clock.forward(1.1)
    async with asyncio.timeout(0.5):
        assert sum(await asyncio.gather(*holders)) == 1
    assert fake.counts(pool) == (3, 3, 0)


async def test_who_only_waits_is_not_told_in_the_place_of_who_holds_one(
    fake: FakeServer, clock: Clock
) -> None:
    pool = fake.pool(max_size=1)
    proceed = asyncio.Event()
    holder = asyncio.create_task(hold_and_await(pool, proceed))
    await settled()
    others = [asyncio.create_task(told(pool)) for _ in range(3)]
    await settled()
    proceed.set()
    await settled()
    await clock.forward(1.1)
    assert await asyncio.wait_for(holder, 0.5) is True
    assert await asyncio.gather(*others) == [False] * 3


async def test_a_task_started_within_a_transaction_but_awaited_after_it_gets_its_turn(
    fake: FakeServer, clock: Clock
) -> None:
    pool = fake.pool(max_size=1)
    async with asyncio.TaskGroup() as group:
        slot = await pool.acquire(here())
        task = group.create_task(told(pool))
        await clock.forward(2)
        await clock.forward(2)
        pool.give_back(slot)
    assert task.result() is False


async def test_of_tasks_that_all_need_a_second_one_one_is_told_and_all_others_go_on(
    fake: FakeServer,
) -> None:
    pool = fake.pool(max_size=10, min_size=10)
    await pool.open()
    all_hold = asyncio.Barrier(10)

    async def one() -> bool:
        slot = await pool.acquire(here())
        await all_hold.wait()
        try:
            return await told(pool)
        finally:
            pool.give_back(slot)

    async with asyncio.timeout(0.5):
        results = await asyncio.gather(*[one() for _ in range(10)])
    assert sum(results) == 1
    assert fake.counts(pool) == (10, 10, 0)


# On real servers.


@NETWORK_ONLY
async def test_a_query_within_iterate_with_one_connection_is_told_both_places(
    kind: Kind, url: str
) -> None:
    async with Database(url, max_size=1) as database, asyncio.timeout(20):
        with pytest.raises(exceptions.PoolDeadlock) as caught:
            async for _ in database.iterate(f"{kind.series(300)} -- outer"):
                await database.fetch_val("SELECT 1")
        message = str(caught.value)
        lines = message.splitlines()
        assert "is held by a task that waits for one itself" in lines[0]
        places = [line for line in lines if "test_pool_deadlocks.py" in line]
        assert len(places) == 2
        assert places[0] != places[1]
        assert "-- outer" in message
        assert "max_size=2" in message
        assert await database.fetch_val("SELECT 1") == 1


@NETWORK_ONLY
async def test_a_timeout_of_the_pool_is_not_taken_for_a_server_that_cannot_be_reached(
    kind: Kind, url: str
) -> None:
    async with Database(url, max_size=1, pool_timeout=0) as database, asyncio.timeout(20):
        held = asyncio.Event()
        done = asyncio.Event()

        async def hold() -> None:
            async with database.connection():
                held.set()
                await done.wait()

        holder = asyncio.create_task(hold())
        await held.wait()
        for call in (lambda: database.fetch_val("SELECT 1"), database.transaction().start):
            with pytest.raises(exceptions.PoolTimeout) as caught:
                await call()
            assert type(caught.value) is exceptions.PoolTimeout
            assert "listen" not in "".join(getattr(caught.value, "__notes__", ()))
        done.set()
        await holder


@NETWORK_ONLY
async def test_gathering_within_a_transaction_with_one_connection_is_told_at_once(
    kind: Kind, url: str
) -> None:
    async with Database(url, max_size=1) as database, asyncio.timeout(20):
        with pytest.raises(exceptions.PoolDeadlock, match="hand `connection` on"):
            async with database.transaction():
                await asyncio.gather(*[database.execute("SELECT 1") for _ in range(3)])
        assert await database.fetch_val("SELECT 1") == 1


@NETWORK_ONLY
async def test_all_but_one_of_ten_that_query_within_iterate_go_on(kind: Kind, url: str) -> None:
    all_iterate = asyncio.Barrier(10)

    async def one(database: Database) -> int:
        seen = 0
        async for _ in database.iterate(kind.series(150)):
            if not seen:
                await all_iterate.wait()
            seen += await database.fetch_val("SELECT 1")
        return seen

    async with Database(url, max_size=10) as database, asyncio.timeout(20):
        results = await asyncio.gather(*[one(database) for _ in range(10)], return_exceptions=True)
    told = [result for result in results if result != 150]
    assert [isinstance(each, exceptions.PoolDeadlock) for each in told] == [True]


@NETWORK_ONLY
async def test_breaking_off_an_iteration_frees_its_connection_at_once(kind: Kind, url: str) -> None:
    async with Database(url, max_size=1) as database, asyncio.timeout(20):
        for _ in range(3):
            async for _ in database.iterate(kind.series(5000)):
                break
            assert await database.fetch_val("SELECT 1") == 1


async def test_a_group_of_tasks_is_awaited_while_one_of_them_waits_still(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2)
    (own,) = await lent(pool, 1)
    held = asyncio.Event()
    members: list[asyncio.Task[Any]] = []

    async def parent() -> None:
        await pool.acquire(here())
        held.set()
        async with asyncio.TaskGroup() as group:
            members.extend(group.create_task(pool.acquire(here())) for _ in range(2))

    waiting = asyncio.create_task(parent())
    await held.wait()
    await settled()
    members[0].cancel()
    await settled()
    assert not waiting.done()
    with pytest.raises(exceptions.PoolDeadlock):
        async with asyncio.timeout(0.5):
            await pool.acquire(here())
    pool.give_back(own)
    await waiting
