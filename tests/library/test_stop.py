"""When the end of a database comes, and who it waits for: without any database."""

from __future__ import annotations

import asyncio

from databases import Database
from databases.holding import Holding
from databases.stopping import Stop
from tests.library.fake_links import Clock, here, settled


async def test_who_asks_for_it_again_can_hurry_it_but_not_put_it_off() -> None:
    stop, go = Stop(10.0), asyncio.Event()
    stop.begin(_waited(go))
    patient = asyncio.create_task(stop.join(60.0))
    await settled()
    assert stop.left <= 10.0
    hurried = asyncio.create_task(stop.join(1.0))
    await settled()
    assert stop.left <= 1.0
    go.set()
    await asyncio.gather(patient, hurried)


async def test_who_waits_for_the_end_no_longer_has_his_time_again() -> None:
    stop, go = Stop(60.0), asyncio.Event()
    stop.begin(_waited(go))
    holds = Holding(here())
    assert stop.has_time(holds)
    try:
        async with asyncio.timeout(0):
            await stop.join(60.0)
    except TimeoutError:
        pass
    assert stop.has_time(holds)
    go.set()
    await stop.join(60.0)


async def test_nobody_waits_for_a_task_that_has_ended_without_letting_go() -> None:
    async def hold() -> Holding:
        return Holding(here())

    task = asyncio.create_task(hold())
    holds = await task
    assert not Stop(60.0).has_time(holds)
    assert task.done()  # and is known still


async def test_cancelled_with_all_tasks_it_gives_those_at_work_a_moment_to_let_go(
    clock: Clock,
) -> None:
    stop, at_work = Stop(60.0), ["somebody"]
    stop.begin(stop.wait_while(lambda: at_work != []))
    ending = stop._ending
    assert ending is not None
    try:
        await settled()
        ending.cancel()
        await settled()
        assert not ending.done()
        assert 0 < stop.left <= 1.0
        await clock.forward(1.1)
        await asyncio.wait([ending], timeout=1)
        assert ending.done()
        assert not ending.cancelled()
    finally:
        at_work.clear()


async def test_who_left_a_shared_connection_does_not_take_another_ones_time() -> None:
    database = Database("sqlite://", force_rollback=True)
    await database.connect()
    leave, go = asyncio.Event(), asyncio.Event()

    async def hold(until: asyncio.Event) -> int:
        async with database.connection() as connection:
            await until.wait()
            return int(await connection.fetch_val("SELECT 1"))

    first, second = asyncio.create_task(hold(leave)), asyncio.create_task(hold(go))
    await settled()
    leave.set()
    assert await first == 1
    disconnecting = asyncio.ensure_future(database.disconnect(grace=60))
    await asyncio.sleep(0.05)
    assert not disconnecting.done()
    go.set()
    assert await second == 1
    await disconnecting


async def _waited(event: asyncio.Event) -> None:
    await event.wait()
