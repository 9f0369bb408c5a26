"""How a contender's process is talked to: a JSON object a line, in both directions.

It first says what it is made of and what it can do. Each line that it then gets names an operation,
a number of tasks and a time; it answers with what it measured, and waits without using the CPU.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlite_contenders.lag import lag
from sqlite_contenders.meter import Meter, measured

Operations = Mapping[str, Callable[[], Awaitable[None]]]


def answer(opened: Callable[[str], AbstractAsyncContextManager[Operations]], library: str) -> None:
    """Measure what is asked for, in an event loop.

    Args:
        opened: opens the database of a path; inside it has the operations.
        library: the contender's name and version.
    """
    asyncio.run(_answer(opened, library))


async def _answer(
    opened: Callable[[str], AbstractAsyncContextManager[Operations]], library: str
) -> None:
    async with opened(sys.argv[1]) as operations:
        _introduce(library, [*operations, *(["lag"] if "all_rows" in operations else [])])
        # In a thread, because what the library does when it is idle needs the loop.
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            if asked["operation"] == "lag":
                reads = operations["all_rows"], operations["point"]
                _say(await lag(*reads, asked["seconds"]))
            else:
                operation = operations[asked["operation"]]
                _say(await measured(operation, asked["tasks"], asked["seconds"]))


def answer_in_step(operations: Mapping[str, Callable[[], None]], library: str) -> None:
    """Measure what is asked for, without an event loop and so without concurrent tasks."""
    _introduce(library, operations)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        meter = Meter(asked["seconds"])
        meter.repeat_in_step(operations[asked["operation"]])
        _say(meter.result())


def _introduce(library: str, operations: Iterable[str]) -> None:
    _say(
        {
            "library": library,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "operations": sorted(operations),
        }
    )


def _say(answered: Mapping[str, Any]) -> None:
    print(json.dumps(answered), flush=True)
