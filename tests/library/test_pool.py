"""The pool: how many connections there are, which one is lent, and whether it works still."""

from __future__ import annotations

import asyncio

import pytest

from databases.stopping import Stop
from tests.library.fake_links import SELECT, Clock, FakeServer, Gone, here, lent, opened, settled


async def test_the_first_connections_are_opened_at_once_the_others_on_demand(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, min_size=2, max_size=4)
    assert fake.counts(pool) == (2, 2, 0)
    slots = await lent(pool, 2)
    assert fake.counts(pool) == (2, 0, 2)
    slots += await lent(pool, 2)
    assert fake.counts(pool) == (4, 0, 4)
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    assert not waiting.done()
    assert len(fake.links) == 4
    pool.give_back(slots[0])
    assert (await waiting).link is slots[0].link
    await pool.close(Stop(0.0))
    assert not fake.open


async def test_no_more_than_max_size_are_opened_by_many_at_once(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=3)
    most = 0

    async def use() -> None:
        nonlocal most
        slot = await pool.acquire(here())
        most = max(most, len(fake.open))
        await asyncio.sleep(0)
        pool.give_back(slot)

    await asyncio.gather(*[use() for _ in range(50)])
    assert most == 3
    assert fake.counts(pool) == (3, 3, 0)


async def test_the_one_that_was_used_last_is_lent_first(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=3)
    first, second, third = await lent(pool, 3)
    for slot in (first, third, second):
        pool.give_back(slot)
    assert pool.ready(here(), SELECT) is second
    assert await pool.acquire(here(), SELECT) is third
    pool.give_back(second)
    assert await pool.acquire(here()) is second


async def test_one_connection_is_enough_for_those_that_come_one_after_the_other(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=10)
    for _ in range(20):
        slot = pool.ready(here(), SELECT) or await pool.acquire(here(), SELECT)
        await asyncio.sleep(0)
        pool.give_back(slot)
    assert len(fake.links) == 1


async def test_those_too_many_are_closed_once_idle_for_max_idle(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, min_size=2, max_size=5, max_idle=100)
    for slot in await lent(pool, 5):
        pool.give_back(slot)
    for _ in range(5):
        await clock.forward(99 / 5)
        pool.give_back(await pool.acquire(here()))
    assert len(fake.open) == 5
    for _ in range(10):
        await clock.forward(20)
        pool.give_back(await pool.acquire(here()))
        await settled()
    assert fake.counts(pool) == (2, 2, 0)


async def test_one_that_reached_its_lifetime_is_replaced_when_it_comes_back(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_lifetime=100)
    slot = await pool.acquire(here())
    await clock.forward(101)
    pool.give_back(slot)
    await settled()
    assert slot.link.closed
    assert fake.counts(pool) == (0, 0, 0)
    assert (await pool.acquire(here())).link.number == 2


async def test_one_that_reached_its_lifetime_is_replaced_after_a_reset_too(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_lifetime=100)
    slot = await pool.acquire(here())
    await clock.forward(101)
    pool.give_back_used(slot)
    await settled()
    assert slot.link.closed
    assert fake.counts(pool) == (0, 0, 0)


async def test_one_that_reached_its_lifetime_while_idle_is_not_lent_again(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_lifetime=100)
    await clock.forward(101)
    slot = pool.ready(here(), SELECT) or await pool.acquire(here(), SELECT)
    assert slot.link.number == 2


async def test_those_opened_together_are_not_replaced_together(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, min_size=40, max_size=40, max_lifetime=1000)

    async def closed_by_now() -> int:
        for slot in await lent(pool, 40):
            pool.give_back(slot)
        await settled()
        return sum(link.closed for link in fake.links[:40])

    await clock.forward(899)
    assert await closed_by_now() == 0
    await clock.forward(50)
    assert 0 < await closed_by_now() < 40
    await clock.forward(52)
    assert await closed_by_now() == 40


@pytest.mark.parametrize("opened_before", [0, 2])
async def test_where_one_cannot_be_opened_at_first_none_stays_open(
    fake: FakeServer, opened_before: int
) -> None:
    pool = fake.pool(min_size=4)
    fake.gates["connect"] = gate = asyncio.Event()
    opening = asyncio.create_task(pool.open())
    gate.set()
    while len(fake.links) < opened_before:  # noqa: ASYNC110
        await asyncio.sleep(0)
    fake.errors["connect"] = [OSError("no route")]
    with pytest.raises(OSError, match="no route"):
        await opening
    assert fake.counts(pool) == (0, 0, 0)
    assert len(fake.links) == opened_before


async def test_connecting_that_is_cancelled_leaves_nothing_open(fake: FakeServer) -> None:
    pool = fake.pool(min_size=3)
    opening = asyncio.create_task(pool.open())
    while len(fake.links) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await settled()
    assert fake.counts(pool) == (0, 0, 0)
    assert not pool._leaving.tasks, "closing waits for something still"


async def test_one_that_cannot_be_opened_is_the_error_of_who_asked_and_the_next_one_tries(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=2)
    (held,) = await lent(pool, 1)
    fake.errors["connect"] = [OSError("refused"), OSError("refused again")]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(4)]
    await settled()
    assert str(tasks[0].exception()) == "refused"
    assert str(tasks[1].exception()) == "refused again"
    assert tasks[2].result().link.number == 2
    assert not tasks[3].done()
    pool.give_back(held)
    assert await tasks[3] is held
    assert fake.counts(pool) == (2, 0, 2)


# Health.


async def test_one_in_use_is_not_asked_for_a_sign_of_life(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake)
    for seconds in (0.0, 0.005, 0.5, 0.99):
        await clock.forward(seconds)
        slot = pool.ready(here(), SELECT) or await pool.acquire(here(), SELECT)
        pool.give_back(slot)
    assert fake.calls == []
    assert len(fake.links) == 1


async def test_one_idle_for_more_than_a_second_is(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake)
    await clock.forward(1.01)
    assert pool.ready(here(), SELECT) is None
    slot = await pool.acquire(here(), SELECT)
    assert fake.calls == ["ping 1"]
    assert slot.link.number == 1


@pytest.mark.parametrize("seconds", [0.02, 2.0])
async def test_one_whose_socket_has_news_is_replaced_unasked(
    fake: FakeServer, clock: Clock, seconds: float
) -> None:
    pool = await opened(fake, min_size=3)
    fake.hangs_up()
    await clock.forward(seconds)
    slot = await pool.acquire(here(), SELECT)
    assert slot.link.number == 4
    assert fake.calls == []
    assert fake.counts(pool) == (1, 0, 1)


async def test_one_that_does_not_answer_is_not_told_goodbye_while_others_wait_for_its_place(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=1)
    await clock.forward(2)
    fake.gates["ping"] = fake.gates["close"] = asyncio.Event()
    task = asyncio.create_task(pool.acquire(here(), SELECT))
    await settled()
    await clock.forward(5.1)
    assert (await asyncio.wait_for(task, 0.1)).link.number == 2


async def test_one_that_does_not_answer_is_replaced(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, min_size=2)
    await clock.forward(2)
    fake.gates["ping"] = asyncio.Event()
    task = asyncio.create_task(pool.acquire(here(), SELECT))
    await settled()
    assert not task.done()
    await clock.forward(5.1)
    fake.errors["ping"] = [Gone()]
    fake.gates["ping"].set()
    assert (await task).link.number == 3
    assert fake.counts(pool) == (1, 0, 1)


async def test_cancelled_while_it_is_asked_for_a_sign_of_life_nothing_is_lost(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=1)
    await clock.forward(2)
    fake.gates["ping"] = asyncio.Event()
    task = asyncio.create_task(pool.acquire(here(), SELECT))
    waiting = asyncio.create_task(pool.acquire(here(), SELECT))
    await settled()
    task.cancel()
    assert (await waiting).link.number == 2
    assert task.cancelled()
    assert fake.counts(pool) == (1, 0, 1)
