"""The end of a pool: who has time, who is sent home, and what is closed."""

from __future__ import annotations

import asyncio
import gc

import pytest

from databases import exceptions
from databases.stopping import Stop
from tests.library.fake_links import (
    SELECT,
    UPDATE,
    Clock,
    FakeServer,
    Gone,
    bound,
    connected,
    here,
    lent,
    opened,
    run,
    settled,
)


async def test_closing_gives_time_to_statements_and_to_what_is_held(
    fake: FakeServer, clock: Clock
) -> None:
    backend = await connected(fake, max_size=3)
    fake.gates[SELECT] = asyncio.Event()
    single = asyncio.create_task(run(backend, SELECT))
    await settled()
    go = asyncio.Event()

    async def hold() -> None:
        connection = await backend.acquire(here())
        await go.wait()
        await connection.execute(bound(UPDATE), here())
        connection.release()

    holder = asyncio.create_task(hold())
    await run(backend, UPDATE)
    closing = asyncio.create_task(backend.disconnect(Stop(60.0)))
    await settled()
    assert [link.closed for link in fake.links] == [False, True, False]
    with pytest.raises(exceptions.NotConnectedError):
        await run(backend, SELECT)
    fake.gates[SELECT].set()
    assert await single == 1
    await clock.forward(30)
    assert [link.closed for link in fake.links] == [True, True, False]
    go.set()
    await holder
    await closing
    assert not fake.open


@pytest.mark.parametrize("sql", [SELECT, UPDATE])
async def test_closing_does_not_wait_for_ever(fake: FakeServer, clock: Clock, sql: str) -> None:
    backend = await connected(fake)
    fake.gates[sql] = asyncio.Event()
    fake.errors[sql] = [Gone()]
    single = asyncio.create_task(run(backend, sql))
    await settled()

    async def hold() -> None:
        connection = await backend.acquire(here())
        await fake.gates[sql].wait()
        await connection.execute(bound(sql), here())

    holder = asyncio.create_task(hold())
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(60.0)))
    await settled()
    await clock.forward(30)
    assert not closing.done()
    await clock.forward(31)
    await closing
    assert not fake.open
    fake.gates[sql].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await single
    # Nobody knows whether what writes was done.
    assert isinstance(caught.value, exceptions.CommitUnknown) is (sql == UPDATE)
    with pytest.raises(exceptions.NotConnectedError):
        await holder


async def test_of_what_the_server_stopped_in_time_it_is_known_that_it_is_not_kept(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    fake.gates[UPDATE] = asyncio.Event()
    stopped = Gone("canceling statement due to user request")
    stopped.sqlstate = "57014"  # type: ignore[attr-defined]
    fake.errors[UPDATE] = [stopped]
    single = asyncio.create_task(run(backend, UPDATE))
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    fake.gates[UPDATE].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await single
    assert not isinstance(caught.value, exceptions.CommitUnknown)
    await closing


async def test_a_commit_that_is_under_way_is_not_cut_short(
    fake: FakeServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.backends.pool._COMMITTING", 60)
    backend = await connected(fake, max_size=2)
    fake.gates["COMMIT"] = asyncio.Event()

    async def transact() -> None:
        connection = await backend.acquire(here())
        try:
            await connection.begin({}, here(), lazy=False)
            await connection.commit()
        finally:
            connection.release()

    tasks = [asyncio.create_task(transact()) for _ in range(2)]
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await clock.forward(30)
    assert len(fake.open) == 2
    fake.gates["COMMIT"].set()
    await asyncio.gather(*tasks)
    await closing
    assert not fake.open


async def test_of_a_commit_that_does_not_end_it_is_said_that_its_fate_is_not_known(
    fake: FakeServer, clock: Clock
) -> None:
    backend = await connected(fake)
    fake.gates["COMMIT"] = asyncio.Event()
    fake.errors["COMMIT"] = [Gone()]

    async def transact() -> None:
        connection = await backend.acquire(here())
        await connection.begin({}, here(), lazy=False)
        await connection.commit()

    task = asyncio.create_task(transact())
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    await clock.forward(2.1)
    await closing
    fake.gates["COMMIT"].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await task
    assert isinstance(caught.value, exceptions.CommitUnknown)


async def test_who_waits_is_sent_home_by_closing(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    held = await backend.acquire(here())
    waiting = [asyncio.create_task(run(backend, SELECT)) for _ in range(3)]
    await settled()
    await backend.disconnect(Stop(0.0))
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, exceptions.NotConnectedError)
    held.release()
    assert not fake.open


async def test_who_was_just_handed_a_connection_is_sent_home_by_closing(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=1)
    (slot,) = await lent(pool, 1)
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    closing = asyncio.create_task(pool.close(Stop(0.0)))
    pool.give_back(slot)
    results = await asyncio.gather(waiting, closing, return_exceptions=True)
    assert isinstance(results[0], exceptions.NotConnectedError)
    await settled()
    assert fake.counts(pool) == (0, 0, 0)


async def test_what_is_being_opened_while_it_closes_is_closed_too(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=2)
    await backend.acquire(here())
    fake.gates["connect"] = asyncio.Event()
    opening = asyncio.create_task(run(backend, SELECT))
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    fake.gates["connect"].set()
    with pytest.raises(exceptions.NotConnectedError):
        await opening
    await closing
    assert not fake.open


async def test_closing_that_is_cancelled_closes_all_the_same(fake: FakeServer) -> None:
    backend = await connected(fake)
    fake.gates["close"] = asyncio.Event()
    closing = asyncio.create_task(backend.disconnect(Stop(5.0)))
    await settled()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    fake.gates["close"].set()
    await settled()
    assert not fake.open
    await backend.disconnect(Stop(5.0))


@pytest.mark.parametrize("hangs", [False, True])
async def test_one_that_cannot_be_told_goodbye_is_closed(
    fake: FakeServer, clock: Clock, hangs: bool
) -> None:
    backend = await connected(fake)
    if hangs:
        fake.gates["close"] = asyncio.Event()
    else:
        fake.errors["close"] = [ValueError()]
    closing = asyncio.create_task(backend.disconnect(Stop(5.0)))
    await settled()
    await clock.forward(5.1)
    await closing
    assert not fake.open


async def test_what_nobody_refers_to_any_more_is_closed(fake: FakeServer) -> None:
    backend = await connected(fake, min_size=3)
    await run(backend, SELECT)
    del backend
    gc.collect()
    assert not fake.open


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("what", ["reset", "close", "connect"])
async def test_what_is_cancelled_with_all_tasks_gives_its_place_free(
    fake: FakeServer, what: str, begun: bool
) -> None:
    pool = await opened(fake, max_size=1)
    (slot,) = await lent(pool, 1)
    fake.gates[what] = asyncio.Event()
    if what == "reset":
        pool.give_back_used(slot)
    else:
        pool.drop(slot)
    if what == "connect":
        await settled()
        opening = asyncio.create_task(pool.acquire(here()))
        await asyncio.sleep(0)
    await settled(20 if begun else 0)
    for task in asyncio.all_tasks():
        if any(word in repr(task.get_coro()) for word in ("Pool.", "Opening.", "Leaving.")):
            task.cancel()
    del fake.gates[what]
    await settled()
    if what == "connect":
        assert opening.cancelled()
    assert fake.counts(pool) == (0, 0, 0)
    assert fake.open == []
    async with asyncio.timeout(20):
        pool.give_back(await pool.acquire(here()))


async def test_closing_does_not_leave_one_behind_that_is_asked_for_a_sign_of_life(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=1)
    clock.ahead(10)
    fake.gates["ping"] = asyncio.Event()
    asking = asyncio.create_task(pool.acquire(here(), SELECT))
    await settled()
    await pool.close(Stop(1.0))
    assert fake.open == []
    fake.gates["ping"].set()
    with pytest.raises(exceptions.NotConnectedError):
        await asking
    assert fake.counts(pool) == (0, 0, 0)
