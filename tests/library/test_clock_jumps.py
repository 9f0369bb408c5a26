"""Somebody sets the computer's clock: what lasts takes as long as it takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from databases import Database, exceptions, slow_log
from databases.step import Step
from tests.inspector.recorded import recorded
from tests.library.kinds import ASYNCPG, FILE, NETWORK_ONLY, Kind, on
from tests.library.places import Place, until
from tests.library.pools import is_whole, pool_of

HOURS = 10 * 3600.0
SOON = 60
"""Seconds. Nothing here lasts longer."""

Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the clock forward, or back."""
    offset = 0.0
    real = time.time

    def jump(seconds: float) -> None:
        nonlocal offset
        offset += seconds

    monkeypatch.setattr(time, "time", lambda: real() + offset)
    return jump


async def under_way(query: asyncio.Task[Any], place: Place, database: Database) -> None:
    """Wait until it runs on the server, or is over already, as it may be on a slow machine."""
    await until(lambda: query.done() or place.is_busy(database))


@pytest.mark.parametrize("hours", [HOURS, -HOURS], ids=["forward", "back"])
async def test_a_time_limit_is_as_long_as_it_was(
    kind: Kind, place: Place, database: Database, jump: Jump, hours: float
) -> None:
    for limit in (0.2, SOON):
        endless = asyncio.create_task(database.fetch_val(kind.endless, timeout=limit))
        await under_way(endless, place, database)
        jump(hours)
        await asyncio.wait([endless], timeout=20 if limit < 1 else 0.1)
        assert endless.done() is (limit < 1)
        endless.cancel()
        await asyncio.wait([endless], timeout=20)
        assert endless.done()
    assert await database.fetch_val("SELECT 7", timeout=SOON) == 7


@NETWORK_ONLY
@pytest.mark.parametrize("hours", [HOURS, -HOURS], ids=["forward", "back"])
async def test_who_waits_for_a_connection_waits_as_long_and_no_connection_grows_old(
    kind: Kind, url: str, jump: Jump, hours: float
) -> None:
    async with (
        Database(url, max_size=1, pool_timeout=0.2) as impatient,
        Database(url, max_size=1) as patient,
    ):
        slots = set(pool_of(patient)._slots)
        async with impatient.connection(), patient.connection():
            late = asyncio.create_task(impatient.fetch_val("SELECT 1"))
            waiting = asyncio.create_task(patient.fetch_val("SELECT 1"))
            await until(
                lambda: pool_of(patient)._queue and (pool_of(impatient)._queue or late.done())
            )
            jump(hours)
            [held], [waits] = patient.statistics().held, patient.statistics().waiting
            for holder in (held.holder, waits.holder):
                assert holder is not None
                assert 0 <= holder.seconds < SOON
                assert abs(time.time() - holder.since) < SOON
            await asyncio.wait([late], timeout=20)
            assert isinstance(late.exception(), exceptions.PoolTimeout)
            assert not waiting.done()
        assert await waiting == 1
        await is_whole(patient)
        assert set(pool_of(patient)._slots) == slots


@on([FILE, ASYNCPG])
async def test_no_step_takes_hours_or_less_than_no_time(
    kind: Kind, database: Database, jump: Jump
) -> None:
    steps: list[Step] = []
    leave = database.steps.subscribe(lambda step, bound: steps.append(step))
    for hours in (HOURS, -2 * HOURS):
        for within in (False, True):
            steps.clear()
            if not within:
                jump(hours)
            with database.steps.request("GET", "/"):
                async with database.transaction():
                    await database.fetch_val("SELECT 1")
                    if within:
                        jump(hours)
                    await database.fetch_val("SELECT 2")
            for step in steps:
                assert 0 <= step.duration < SOON
                assert 0 <= (step.lasted or 0) < SOON
                assert step.request is not None
                assert 0 <= step.time - step.request.time < SOON
            times = [step.time for step in steps]
            assert times == sorted(times)
        # The next request has the time of day again.
        with database.steps.request("GET", "/"):
            assert abs(steps[-1].time - time.time()) < SOON
    leave()


@on([FILE, ASYNCPG])
async def test_no_connection_is_held_for_hours(
    kind: Kind, database: Database, jump: Jump, caplog: pytest.LogCaptureFixture
) -> None:
    for hours in (HOURS, -HOURS):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="databases.slow_log"):
            end = slow_log.watch(database, slow=SOON, held=0.05)
            async with database.connection() as connection:
                await connection.fetch_val("SELECT 1")
                jump(hours)
                await until(lambda: caplog.records)
            end()
        for record in caplog.records:
            assert 0 <= vars(record)["db_seconds"] < SOON


async def test_the_inspector_finds_nothing_that_lasts_for_hours(file_url: str, jump: Jump) -> None:
    async with recorded(FILE, file_url) as (database, recorder):
        for hours in (HOURS, -HOURS):
            async with database.transaction():
                await database.fetch_val("SELECT 1")
                jump(hours)
                assert recorder.found() == []
