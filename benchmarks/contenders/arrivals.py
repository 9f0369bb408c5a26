"""Load that comes whether or not it is served: so many a second, as from a world of clients."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

TICK = 0.001
"""Seconds between two looks at how many are due."""

SERVED = "served"


class Arrivals:
    """Clients, each of whom asks for one thing, and what became of them.

    Args:
        ask: asks for it; returns what became of it, ``SERVED`` or the name of something worse.
    """

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._end = 0.0
        self.counts: Counter[str] = Counter()
        self._times: dict[str, list[float]] = defaultdict(list)
        self._in_time = 0

    async def at_once(self, tasks: int, seconds: float) -> dict[str, Any]:
        """So many ask all the time: what can be served at most."""

        async def ask_again() -> None:
            while time.perf_counter() < self._end:
                await self._one(time.perf_counter())

        return await self._timed(seconds, lambda: [ask_again() for _ in range(tasks)])

    async def a_second(self, rate: float, seconds: float) -> dict[str, Any]:
        """So many come a second."""
        return await self._timed(seconds, lambda: [self._come(rate)])

    async def _come(self, rate: float) -> None:
        start, come = time.perf_counter(), 0
        async with asyncio.TaskGroup() as clients:
            while (now := time.perf_counter()) < self._end:
                while come < (now - start) * rate:
                    # Late is late, whosever fault it is.
                    clients.create_task(self._one(start + come / rate))
                    come += 1
                await asyncio.sleep(TICK)

    async def _one(self, due: float) -> None:
        became = await self._ask()
        now = time.perf_counter()
        self.counts[became] += 1
        self._times[became].append(now - due)
        self._in_time += became == SERVED and now < self._end

    async def _timed(self, seconds: float, work: Callable[[], list[Any]]) -> dict[str, Any]:
        start, cpu = time.perf_counter(), time.process_time()
        self._end = start + seconds
        await asyncio.gather(*work())
        return {
            "rate": self._in_time / seconds,
            "counts": self.counts,
            "cpu": time.process_time() - cpu,
            "times": {became: _percentiles(times) for became, times in self._times.items()},
        }


def _percentiles(times: list[float]) -> list[float]:
    """The median and the 99th percentile."""
    times.sort()
    return [times[int(part * (len(times) - 1))] for part in (0.5, 0.99)]
