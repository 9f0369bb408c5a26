"""A network on which each answer takes a fifth of a second."""

from __future__ import annotations

import asyncio
import random

from databases import Database
from tests.library.kinds import NETWORK_ONLY, Kind
from tests.library.pools import is_whole
from tests.servers.proxy import Proxy

LATENCY = 0.1
"""Seconds, each way."""


class Asking:
    """Asks for numbers, each time another one, and sees that it is that one that comes back.

    Args:
        kind: the kind of database.
        database: what is asked.
    """

    def __init__(self, kind: Kind, database: Database) -> None:
        self._kind = kind
        self._database = database
        self._chance = random.Random(6)
        self.answered = self.given_up = 0

    async def many_times(self, first: int) -> None:
        """Ask for a few numbers, in all ways there are, and give some up."""
        ways = [self._by_query, self._in_transaction, self._by_iterating, self._never]
        for number in range(first, first + 3):
            way = ways[number % len(ways)]
            limit = self._chance.uniform(0, 6 * LATENCY)
            limited = way == self._never or self._chance.random() < 0.5
            asking = asyncio.create_task(way(number, limit if limited else None))
            if self._chance.random() < 0.2:
                await asyncio.wait([asking], timeout=limit)
                asking.cancel()
            await asyncio.wait([asking])
            if asking.cancelled() or isinstance(asking.exception(), TimeoutError):
                self.given_up += 1
            else:
                assert asking.result() == number
                self.answered += 1

    async def _by_query(self, number: int, limit: float | None) -> object:
        return await self._database.fetch_val("SELECT :n + 0", {"n": number}, timeout=limit)

    async def _in_transaction(self, number: int, limit: float | None) -> object:
        async with asyncio.timeout(limit), self._database.transaction():
            return await self._by_query(number, None)

    async def _by_iterating(self, number: int, limit: float | None) -> object:
        query = f"SELECT i + :n AS i FROM ({self._kind.series(60)}) AS s"
        values = {"n": number}
        rows = [row.i async for row in self._database.iterate(query, values, timeout=limit)]
        assert rows == [*range(number + 1, number + 61)]
        return number

    async def _never(self, number: int, limit: float | None) -> object:
        return await self._database.fetch_val(self._kind.endless, timeout=limit)


@NETWORK_ONLY
async def test_with_cancellations_at_random_moments_everybody_gets_his_own_answer(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, min_size=4, max_size=4) as database:
        await is_whole(database)
        proxy.latency = LATENCY
        asking = Asking(kind, database)
        async with asyncio.timeout(60):
            await asyncio.gather(*[asking.many_times(10 * number) for number in range(10)])
        proxy.latency = 0
        await is_whole(database)
        assert asking.answered > 3
        assert asking.given_up > 10
