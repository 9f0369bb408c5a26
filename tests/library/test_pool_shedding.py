"""Sending away at once who could not be served in time, and nobody else."""

from __future__ import annotations

import asyncio
import collections
import gc
import math
import random
import re

import pytest

from databases import Database, exceptions
from databases.backends.pool import Pool
from databases.holding import present_deadline
from tests.library.fake_links import Clock, FakeLink, FakeServer, here, opened, settled
from tests.library.kinds import NETWORK_ONLY, Kind
from tests.library.places import until
from tests.library.pools import is_whole, notes_of, sleeping


class Load:
    """Clients who come one by one, are served or sent away, and count what became of them."""

    def __init__(self, pool: Pool[FakeLink], clock: Clock, seconds: float) -> None:
        self.pool = pool
        self.clock = clock
        self.seconds = seconds
        self.served: list[float] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.errors: list[exceptions.TooManyRequests] = []
        self.tasks: list[asyncio.Task[None]] = []

    def comes(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._one())
        self.tasks.append(task)
        return task

    async def _one(self) -> None:
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            slot = await self.pool.acquire(here(), "SELECT 1")
        except exceptions.DatabaseError as error:
            self.counts[type(error).__name__] += 1
            if isinstance(error, exceptions.TooManyRequests):
                self.errors.append(error)
                assert loop.time() - came < 0.01
            return
        self.served.append(loop.time() - came)
        done = loop.time() + self.seconds
        while loop.time() < done:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.pool.give_back(slot)

    async def run(self, rate: float, seconds: float) -> None:
        """So many come a second, by the clock of the imagination."""
        step = self.seconds / 20
        with self.clock.standing_still():
            for number in range(round(seconds / step)):
                for _ in range(int((number + 1) * step * rate) - int(number * step * rate)):
                    self.comes()
                self.clock.ahead(step)
                await settled(4)

    async def rest(self) -> None:
        with self.clock.standing_still():
            while not all(task.done() for task in self.tasks):
                self.clock.ahead(self.seconds / 20)
                await settled(4)


@pytest.mark.parametrize("overload", [1.5, 4.0])
@pytest.mark.parametrize("size", [1, 10])
async def test_under_overload_those_too_many_are_refused_and_the_others_served(
    fake: FakeServer, clock: Clock, size: int, overload: float
) -> None:
    pool = await opened(fake, min_size=size, max_size=size, pool_timeout=20)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=overload * size, seconds=150)
    await load.rest()
    peak = size * 150
    assert load.counts["TooManyRequests"] > 0.3 * (overload - 1) * peak
    assert len(load.served) > 0.95 * peak
    # But for those who came before it could be known, nobody waits in vain.
    assert load.counts["PoolTimeout"] < 0.05 * peak
    assert max(load.served) < 20.1
    assert fake.counts(pool) == (size, size, 0)


async def test_below_the_limit_nobody_is_refused_however_slow_it_is(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=10, pool_timeout=30)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=10, seconds=50)
    for _ in range(150):
        load.comes()
    await load.rest()
    assert load.counts == {}
    assert len(load.served) == 650


async def test_ten_thousand_who_come_at_once_are_served_where_it_is_fast_enough(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=10, pool_timeout=30)

    async def one() -> None:
        for _ in range(2):
            slot = pool.ready(here(), "SELECT 1") or await pool.acquire(here(), "SELECT 1")
            await asyncio.sleep(0)
            pool.give_back(slot)

    await asyncio.gather(*[one() for _ in range(10_000)])
    assert fake.counts(pool) == (10, 10, 0)


async def test_a_slow_hour_refuses_nobody_of_the_next_rush(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, max_size=10, pool_timeout=30)
    slow = Load(pool, clock, seconds=2.0)
    await slow.run(rate=5, seconds=10)
    for _ in range(100):
        slow.comes()
    await slow.rest()
    fast = Load(pool, clock, seconds=0.02)
    for _ in range(1000):
        fast.comes()
    await fast.rest()
    assert (slow.counts, fast.counts) == ({}, {})


async def test_once_the_rush_is_over_nobody_is_refused(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=10)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=8, seconds=40)
    assert load.counts["TooManyRequests"]
    await load.rest()
    load.counts.clear()
    await load.run(rate=2, seconds=20)
    await load.rest()
    assert load.counts == {}


async def test_of_a_server_that_answers_nothing_newcomers_are_told_before_others_time_out(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, min_size=10, max_size=10, pool_timeout=30)
    load = Load(pool, clock, seconds=math.inf)
    for _ in range(10 + 300):
        load.comes()
    await settled()
    assert load.counts == {}
    for _ in range(12):
        await clock.forward(1)
    load.comes()
    await settled()
    assert load.counts == {"TooManyRequests": 1}
    for task in load.tasks:
        task.cancel()
    await asyncio.wait(load.tasks)


async def test_clients_that_went_away_count_no_more(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=10)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=8, seconds=40)
    refused = load.counts["TooManyRequests"]
    assert refused
    waiting = [task for task in load.tasks if not task.done()]
    dice = random.Random(1)
    for task in dice.sample(waiting[2:], len(waiting) - 6):
        task.cancel()
    await settled()
    assert len(pool._queue) == 4
    load.comes()
    await load.rest()
    assert load.counts["TooManyRequests"] == refused


async def test_who_gives_up_is_not_kept(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=1)
    slot = await pool.acquire(here())
    tasks = [asyncio.create_task(pool.acquire(here(), "SELECT 1")) for _ in range(1000)]
    await settled()
    for task in tasks[1:]:
        task.cancel()
    await settled()
    (waiter,) = pool._queue
    assert waiter.task is tasks[0]
    del tasks[1:], task
    gc.collect()
    assert len([task for task in asyncio.all_tasks() if "acquire" in str(task.get_coro())]) == 1
    pool.give_back(slot)
    assert await tasks[0] is slot


async def test_the_refusal_says_how_many_wait_how_fast_it_goes_and_what_to_do(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=10)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=8, seconds=40)
    error = load.errors[-1]
    message = str(error)
    assert "others wait for one of 2 connections already" in message
    assert re.search(r"they come back at 2(\.\d+)? a second: it would take 8\.\d s", message)
    assert "pool_timeout is over in 10.0 s" in message
    assert "503 with Retry-After: 9" in message
    assert "max_size=4" in message
    assert "Held by Task-" in message
    assert "in Load._one" in message
    assert error.retry_after == pytest.approx(8, abs=1)
    await load.rest()


async def within(pool: Pool[FakeLink], seconds: float) -> None:
    """What a call with a time limit of its own does."""
    present_deadline.set(asyncio.get_running_loop().time() + seconds)
    pool.give_back(await pool.acquire(here(), "SELECT 1"))


async def test_a_call_with_a_time_limit_of_its_own_is_refused_where_that_is_too_short(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=60)
    load = Load(pool, clock, seconds=1.0)
    await load.run(rate=3, seconds=30)
    assert len(pool._queue) > 10
    # Of one without, who comes far from the limit, nobody has to look again soon.
    load.comes()
    await settled(2)
    hasty = asyncio.create_task(within(pool, 3))
    await settled(2)
    patient = asyncio.create_task(within(pool, 40))
    await settled()
    with pytest.raises(exceptions.TooManyRequests, match=r"timeout of the call is over in 3\.0 s"):
        await hasty
    assert not patient.done()
    await load.rest()
    await patient
    assert load.counts == {}


async def test_with_fewer_before_him_than_there_are_connections_nobody_is_refused(
    fake: FakeServer, clock: Clock
) -> None:
    """They may all come back in the next moment, whatever the pace."""
    pool = await opened(fake, min_size=10, max_size=10, pool_timeout=12)
    load = Load(pool, clock, seconds=1.0)
    for _ in range(75):
        load.comes()
    await settled(2)
    while len(load.served) < 70:
        clock.ahead(0.05)
        await settled(4)
    # Ten are at work for a second, as all that came before: five wait.
    assert len(pool._queue) == 5
    clock.ahead(0.9)
    hasty = asyncio.create_task(within(pool, 0.3))
    await settled(4)
    assert not hasty.done()
    clock.ahead(0.15)
    await settled()
    await hasty
    await load.rest()
    assert load.counts == {}


async def test_words_about_the_holders_are_found_once_for_many(
    fake: FakeServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await opened(fake, max_size=1, max_waiting=1)
    said = 0

    def holders() -> str:
        nonlocal said
        said += 1
        return "Held by somebody"

    monkeypatch.setattr(pool._waiting, "_holders", holders)
    slot = await pool.acquire(here())
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    for _ in range(100):
        with pytest.raises(exceptions.TooManyRequests):
            await pool.acquire(here())
    assert said == 1
    await clock.forward(1)
    with pytest.raises(exceptions.TooManyRequests):
        await pool.acquire(here())
    assert said == 2
    pool.give_back(slot)
    await waiting


# On real servers.


@NETWORK_ONLY
async def test_four_times_too_much_is_refused_and_the_rest_is_served(kind: Kind, url: str) -> None:
    served: list[float | None] = []
    refused: dict[float | None, list[exceptions.TooManyRequests]] = {None: [], 0.2: []}
    async with Database(url, min_size=2, max_size=2, pool_timeout=0.7) as database:

        async def one(seconds: float | None = None) -> None:
            try:
                await database.fetch_val(f"SELECT {sleeping(kind, 0.01)}", timeout=seconds)
            except exceptions.TooManyRequests as error:
                refused[seconds].append(error)
            except (exceptions.PoolTimeout, exceptions.QueryTimeoutError):
                pass  # it came before it could be known
            else:
                served.append(seconds)
            # The limit was that of the call alone.
            assert present_deadline.get() == math.inf

        tasks = []
        for _ in range(100):
            tasks += [asyncio.create_task(one()) for _ in range(7)]
            tasks.append(asyncio.create_task(one(0.2)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        assert len(refused[None]) > 50
        assert len(served) > 50
        assert "pool_timeout is over in 0.7 s" in str(refused[None][0])
        assert "the timeout of the call is over in 0.2 s" in str(refused[0.2][0])
        assert "test_pool_shedding.py" in notes_of(refused[None][0])
        await is_whole(database)


@NETWORK_ONLY
async def test_a_transaction_that_is_refused_is_told_its_place(url: str) -> None:
    async with Database(url, max_size=1, max_waiting=1) as database:

        async def hold() -> None:
            async with database.transaction():
                await done.wait()

        done = asyncio.Event()
        tasks = [asyncio.create_task(hold()) for _ in range(2)]
        await until(lambda: database.statistics().waiting)
        with pytest.raises(exceptions.TooManyRequests) as caught:
            await database.transaction().start()
        assert "in test_a_transaction_that_is_refused" in notes_of(caught.value)
        done.set()
        await asyncio.gather(*tasks)
