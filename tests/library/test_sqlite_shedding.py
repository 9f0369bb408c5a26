"""Transactions whose turn to write would not come in time are told so at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from databases import Database, exceptions
from databases.backends.sqlite.turns import Turns
from tests.library.fake_links import here, settled


class Writers:
    """Transactions of a second each, by a clock of the imagination."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, timeout: float) -> None:
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("databases.backends.sqlite.turns.time", clock)
        self.turns = Turns(timeout)
        self.refused: list[exceptions.TooManyRequests] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.done = 0

    def comes(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._one())
        self.tasks.append(task)
        return task

    async def _one(self) -> None:
        try:
            turn = await self.turns.take(here(), at_work=False)
        except exceptions.TooManyRequests as error:
            self.refused.append(error)
            return
        end = self.now + 1.0
        try:
            while self.now < end:  # noqa: ASYNC110
                await asyncio.sleep(0)
            self.done += 1
        finally:
            self.turns.give(turn)

    async def come(self, a_second: int, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(a_second):
                self.comes()
            self.now += 1.0
            await settled(6)


async def test_more_transactions_than_can_be_served_are_refused_and_the_others_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writers = Writers(monkeypatch, timeout=100)
    await writers.come(a_second=4, seconds=300)
    waiting = len(writers.turns.waiting)
    assert 70 < waiting < 130
    assert len(writers.refused) > 600
    assert writers.done > 270
    message = str(writers.refused[-1])
    assert "others wait for the turn to write to SQLite already" in message
    assert "and 1 turns end a second" in message
    assert "timeout is 100 s" in message
    assert "SQLite's writer is held by" in message
    assert "in Writers._one" in message
    assert writers.refused[-1].retry_after == pytest.approx(80, rel=0.1)
    refused = len(writers.refused)
    for task in writers.tasks:
        task.cancel()
    await asyncio.wait(writers.tasks)
    await writers.come(a_second=1, seconds=30)
    assert len(writers.refused) == refused


async def test_a_slow_hour_refuses_no_transaction_of_the_next_rush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writers = Writers(monkeypatch, timeout=100)
    await writers.come(a_second=4, seconds=200)
    refused = len(writers.refused)
    for task in writers.tasks:
        task.cancel()
    await asyncio.wait(writers.tasks)
    rush = [writers.comes() for _ in range(200)]
    await settled()
    assert len(writers.refused) == refused > 0
    for task in rush:
        task.cancel()
    await asyncio.wait(rush)


async def test_single_statements_are_never_refused_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writers = Writers(monkeypatch, timeout=100)
    await writers.come(a_second=4, seconds=200)
    assert writers.refused
    shared = [writers.turns.share(here(), "INSERT") for _ in range(500)]
    assert len({id(turn) for turn, _ in shared}) == 1
    for task in writers.tasks:
        task.cancel()
    await asyncio.wait(writers.tasks)
    await settled()
    assert all(waiter is not None and waiter.done() for _, waiter in shared)


async def test_a_thousand_transactions_at_once_are_all_served(file_database: Database) -> None:
    async def one(number: int) -> None:
        async with file_database.transaction():
            await file_database.execute("INSERT INTO users (id) VALUES (:id)", {"id": number})

    await asyncio.gather(*[one(number) for number in range(1000)])
    assert await file_database.fetch_val("SELECT count(*) FROM users") == 1000
