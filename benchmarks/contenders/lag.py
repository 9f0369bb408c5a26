"""How late an event loop runs what is due while a contender reads."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from contenders.meter import Meter

SLEEP = 0.001
READERS = 10


async def lag(
    read_all: Callable[[], Awaitable[None]],
    read_one: Callable[[], Awaitable[None]],
    seconds: float,
) -> dict[str, Any]:
    """Measure how late a task wakes up beside one that reads all rows and ten that read one each.

    Returns:
        The milliseconds that it was late (median, 99th percentile, longest), and the rate of single
        reads meanwhile.
    """
    meter = Meter(seconds, READERS)
    late: list[float] = []

    async def read_on() -> None:
        while not meter.closed:
            await read_all()

    async def probe() -> None:
        while not meter.closed:
            began = time.perf_counter()
            await asyncio.sleep(SLEEP)
            if meter.open:
                late.append((time.perf_counter() - began - SLEEP) * 1000)

    await asyncio.gather(read_on(), probe(), *(meter.repeat(read_one) for _ in range(READERS)))
    percentiles = statistics.quantiles(late, n=100)
    return {**meter.result(), "p50": percentiles[49], "p99": percentiles[98], "max": max(late)}
