"""disconnect() again, at once with connect(), cancelled, and shown as a step."""

from __future__ import annotations

import asyncio

import pytest

from databases import Database, exceptions
from tests.library.kinds import MEMORY, Kind
from tests.library.seen import Seen
from tests.library.under_way import (
    LONG,
    Work,
    begin,
    is_refused,
    stopping,
)
from tests.library.users import count


async def test_a_second_disconnect_waits_for_the_same_end_and_may_hurry_it(
    kind: Kind, database: Database
) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    patient = await stopping(database, LONG)
    other = asyncio.create_task(database.disconnect(grace=LONG))
    await asyncio.sleep(0.05)
    assert not patient.done()
    assert not other.done()
    async with asyncio.timeout(20):
        await database.disconnect(grace=0)
        await asyncio.gather(patient, other)
    await database.disconnect()
    work.go.set()
    with pytest.raises(exceptions.NotConnectedError):
        await task


async def test_connect_waits_until_the_end_has_come(kind: Kind, database: Database) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    disconnecting = await stopping(database, LONG)
    connecting = asyncio.create_task(database.connect())
    await asyncio.sleep(0.05)
    assert not connecting.done()
    work.go.set()
    async with asyncio.timeout(20):
        await task
        await connecting
    await disconnecting
    assert database.is_connected
    if kind is not MEMORY:
        assert await count(database) == 2


async def test_a_disconnect_that_is_cancelled_takes_no_time_from_those_at_work(
    kind: Kind, database: Database
) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    disconnecting = await stopping(database, LONG)
    disconnecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await disconnecting
    assert not database.is_connected
    await is_refused(database)
    work.go.set()
    async with asyncio.timeout(20):
        await task
        await database.disconnect()
        await database.connect()
    if kind is not MEMORY:
        assert await count(database) == 2


async def test_the_end_is_one_step_told_when_it_has_come(kind: Kind, database: Database) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    seen = Seen(database)
    disconnecting = await stopping(database, LONG)
    assert seen.states() == []
    assert not database.statistics().connected
    work.go.set()
    await task
    await disconnecting
    states = seen.states()
    assert states[-1] == ("disconnect", "connected", "not connected")
    assert [state for state in states if state[0] == "disconnect"] == states[-1:]
    assert seen[-1].task == "the stopper"
    seen.leave()
