"""Waiting for a connection of a full pool: first come, first served, and not for ever."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from databases import exceptions
from databases.backends.pool import Pool
from databases.backends.slot import Slot
from tests.library.fake_links import Clock, FakeLink, FakeServer, here, hold_and, settled


async def full(fake: FakeServer, **options: Any) -> tuple[Pool[FakeLink], list[Slot[FakeLink]]]:
    """A pool of which another task holds all connections."""
    pool = fake.pool(**({"max_size": 1} | options))
    await pool.open()

    async def hold() -> list[Slot[FakeLink]]:
        return [await pool.acquire(here()) for _ in range(pool._options.max_size)]

    return pool, await asyncio.create_task(hold(), name="holder")


class Queue:
    """Tasks that wait, in the order in which they came, and the order in which they got it."""

    def __init__(self, pool: Pool[FakeLink], count: int) -> None:
        self.got: list[int] = []
        self.slots: dict[int, Slot[FakeLink]] = {}
        self.tasks = [asyncio.create_task(self._wait(pool, number)) for number in range(count)]

    async def _wait(self, pool: Pool[FakeLink], number: int) -> None:
        self.slots[number] = await pool.acquire(here(), "SELECT 1")
        self.got.append(number)


async def test_first_come_first_served(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 5)
    await settled()
    for number in range(5):
        pool.give_back(slot)
        # Whoever comes now comes last.
        assert pool.ready(here(), "SELECT 1") is None
        await queue.tasks[number]
    assert queue.got == [0, 1, 2, 3, 4]


async def test_it_is_held_from_when_it_was_handed_over(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 1)
    await settled()
    handed = time.monotonic()
    pool.give_back(slot)
    await queue.tasks[0]
    assert slot.holding is not None
    assert slot.holding.since >= handed


async def test_a_newcomer_does_not_overtake_who_is_about_to_get_it(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 1)
    await settled()
    pool.give_back(slot)
    newcomer = asyncio.create_task(pool.acquire(here()))
    await settled()
    assert queue.got == [0]
    assert not newcomer.done()
    pool.give_back(slot)
    assert await newcomer is slot


@pytest.mark.parametrize("cancelled", [0, 2, 4])
@pytest.mark.parametrize("when", ["before", "at the moment", "after"])
async def test_one_that_is_cancelled_passes_it_on(
    fake: FakeServer, cancelled: int, when: str
) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 5)
    await settled()
    for number in range(cancelled):
        pool.give_back(slot)
        await queue.tasks[number]
    if when != "after":
        queue.tasks[cancelled].cancel()
    if when == "before":
        await settled()
    pool.give_back(slot)
    if when == "after":
        queue.tasks[cancelled].cancel()
    for number in range(cancelled + 1, 5):
        await queue.tasks[number]
        pool.give_back(slot)
    await settled()
    assert queue.got == [number for number in range(5) if number != cancelled]
    assert fake.counts(pool) == (1, 1, 0)


async def test_all_cancelled_at_the_moment_of_handing_over_leave_it_idle(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 5)
    await settled()
    pool.give_back(slot)
    for task in queue.tasks:
        task.cancel()
    await settled()
    assert fake.counts(pool) == (1, 1, 0)
    assert await pool.acquire(here(), "SELECT 1") is slot


async def test_one_cancelled_who_was_handed_the_right_to_open_one_passes_that_on(
    fake: FakeServer,
) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 2)
    await settled()
    slot.link.closed = True
    pool.drop(slot)
    queue.tasks[0].cancel()
    await settled()
    assert queue.got == [1]
    assert fake.counts(pool) == (1, 0, 1)


async def test_one_cancelled_while_it_opens_one_passes_that_on(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake)
    queue = Queue(pool, 2)
    await settled()
    fake.gates["connect"] = asyncio.Event()
    slot.link.closed = True
    pool.drop(slot)
    await settled()
    queue.tasks[0].cancel()
    fake.gates["connect"].set()
    await settled()
    assert queue.got == [1]
    assert fake.counts(pool) == (1, 0, 1)


# Not for ever.


async def test_the_timeout_names_task_place_sql_and_time_of_every_holder(
    fake: FakeServer, clock: Clock
) -> None:
    pool = fake.pool(max_size=2, pool_timeout=3)
    holders = []
    for name, text in (("Ada", None), ("Grace", "SELECT pg_sleep(60)")):
        held = asyncio.Event()
        holders.append(asyncio.create_task(hold_and(held, pool, text), name=name))
        await held.wait()
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(2.9)
    assert not waiting.done()
    await clock.forward(0.2)
    with pytest.raises(exceptions.PoolTimeout) as caught:
        await waiting
    assert isinstance(caught.value, TimeoutError)
    assert not isinstance(caught.value, exceptions.PoolDeadlock)
    message = str(caught.value)
    assert "Waited 3 s for one of 2 connections" in message
    for name in ("Ada", "Grace"):
        assert f"{name}, for 0.0 s\n" in message
    assert message.count(f'fake_links.py", line {hold_and.__code__.co_firstlineno + 1}') == 2
    assert "in hold_and" in message
    assert "Its last SQL: SELECT pg_sleep(60)" in message
    assert "in test_the_timeout_names_task_place_sql_and_time_of_every_holder" in message
    assert "max_size=4" in message
    for holder in holders:
        holder.cancel()
    await asyncio.wait(holders)


async def test_each_waits_as_long_as_it_may_from_when_it_came(
    fake: FakeServer, clock: Clock
) -> None:
    pool, (slot,) = await full(fake, pool_timeout=10)
    first = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(6)
    second = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(4.1)
    assert isinstance(first.exception(), exceptions.PoolTimeout)
    assert not second.done()
    pool.give_back(slot)
    assert await second is slot


async def test_one_that_gave_up_leaves_no_trace(fake: FakeServer, clock: Clock) -> None:
    pool, (slot,) = await full(fake, pool_timeout=1)
    queue = Queue(pool, 3)
    await settled()
    await clock.forward(1.1)
    for task in queue.tasks:
        assert isinstance(task.exception(), exceptions.PoolTimeout)
    pool.give_back(slot)
    assert fake.counts(pool) == (1, 1, 0)
    assert pool.ready(here(), "SELECT 1") is slot


async def test_nobody_waits_where_the_timeout_is_nought(fake: FakeServer) -> None:
    pool, _ = await full(fake, pool_timeout=0)
    with pytest.raises(exceptions.PoolTimeout):
        await pool.acquire(here())


async def test_more_than_may_wait_are_sent_away(fake: FakeServer) -> None:
    pool, (slot,) = await full(fake, max_waiting=2)
    queue = Queue(pool, 2)
    await settled()
    with pytest.raises(exceptions.TooManyRequests) as caught:
        await pool.acquire(here())
    message = str(caught.value)
    assert "2 others wait for one of 1 connections already, and max_waiting is 2" in message
    assert "Held by a task that has ended, for 0.0 s" in message
    assert "in full.<locals>.hold" in message
    pool.give_back(slot)
    await queue.tasks[0]
    third = asyncio.create_task(pool.acquire(here()))
    await settled()
    assert not third.done()
    pool.give_back(slot)
    await queue.tasks[1]
    pool.give_back(slot)
    assert await third is slot
