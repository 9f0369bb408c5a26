"""A storm of tasks, cancellations, timeouts and errors: the pool stays whole."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from databases import exceptions
from databases.backends.network import NetworkBackend
from databases.stopping import Stop
from tests.library.fake_links import Ended, FakeServer, Gone, bound, connected, here, settled


class Storm:
    """Tasks that do at random whatever can be done with a pool, while its links break."""

    def __init__(self, seed: int, fake: FakeServer) -> None:
        self.dice = random.Random(seed)
        self.fake = fake
        self.backend: NetworkBackend
        self.users: dict[int, str] = {}

    async def run(self) -> None:
        dice = self.dice
        self.backend = await connected(
            self.fake,
            min_size=dice.choice([0, 1, 3]),
            max_size=4,
            max_waiting=dice.choice([0, 8]),
            max_lifetime=dice.choice([0.001, 3600]),
            max_idle=dice.choice([0, 300]),
            pool_timeout=dice.choice([0.005, 30]),
        )
        for _ in range(12):
            tasks = [asyncio.create_task(self._one()) for _ in range(25)]
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
                self._strike(tasks)
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                # Some are cancelled before their first step.
                assert result is None or isinstance(result, asyncio.CancelledError), result
            await self._calm()
        assert self.backend._pool is not None
        await self.backend.disconnect(Stop(5.0))
        assert not self.fake.open

    def _strike(self, tasks: list[asyncio.Task[None]]) -> None:
        dice = self.dice
        for task in dice.sample(tasks, 2):
            task.cancel()
        kind = dice.choice(["connect", "reset", "ping", "close", "SELECT 1", "SET a = 1", "BEGIN"])
        self.fake.errors.setdefault(kind, []).append(
            dice.choice([ValueError(), OSError(), Gone(), Ended()])
        )
        self.fake.breaking ^= {kind}
        if dice.random() < 0.3 and self.fake.open:
            dice.choice(self.fake.open).closed = True

    async def _one(self) -> None:
        # As it comes: some come in the same step, some later.
        for _ in range(self.dice.randrange(6)):
            await asyncio.sleep(0)
        work = self.dice.choice([self._statement, self._statement, self._held, self._transaction])
        with contextlib.suppress(
            asyncio.CancelledError,
            exceptions.PoolTimeout,
            exceptions.TooManyRequests,
            ValueError,
            OSError,
            Gone,
            Ended,
        ):
            async with asyncio.timeout(self.dice.choice([0.0, 0.0005, 30])):
                await work()

    async def _statement(self) -> None:
        text = self.dice.choice(
            ["SELECT 1", "SELECT 1", "SET a = 1", "CREATE TEMP TABLE t (a int)"]
        )
        await self.backend.execute(bound(text), here())

    async def _held(self) -> None:
        connection = await self.backend.acquire(here())
        link: Any = connection._slot.link
        number = link.number
        assert not link.dirty, "a session was not as good as new"
        assert number not in self.users, "two have the same connection"
        self.users[number] = "held"
        try:
            for _ in range(self.dice.randrange(3)):
                await connection.execute(bound("SET a = 1"), here())
        finally:
            del self.users[number]
            connection.release()

    async def _transaction(self) -> None:
        connection = await self.backend.acquire(here())
        try:
            await connection.begin({}, here(), lazy=False)
            await connection.execute(bound("SELECT 1"), here())
            await (connection.commit if self.dice.random() < 0.5 else connection.rollback)()
        finally:
            connection.release()

    async def _calm(self) -> None:
        """After the storm all connections are there, and work."""
        self.fake.errors.clear()
        self.fake.breaking.clear()
        backend = self.backend
        pool: Any = backend._pool
        await settled()
        while tasks := {*pool._leaving.tasks, *pool._opening.tasks}:
            await asyncio.wait(tasks)
            await settled()
        assert not pool._queue
        size, idle, lent = self.fake.counts(pool)
        assert (idle, lent) == (size, 0)
        held = await asyncio.gather(*[backend.acquire(here()) for _ in range(4)])
        for connection in held:
            link: Any = connection._slot.link
            assert not link.dirty
            assert not link.in_transaction()
            await connection.execute(bound("SELECT 2"), here())
            connection.release()


@pytest.mark.parametrize("seed", range(60))
async def test_in_a_storm_no_connection_is_lost_or_lent_twice_or_leaks(
    fake: FakeServer, seed: int
) -> None:
    async with asyncio.timeout(20):
        await Storm(seed, fake).run()
