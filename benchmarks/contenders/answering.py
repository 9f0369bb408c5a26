"""How a contender's process is talked to: a JSON object a line, in both directions.

It first says what it is made of and what it can do. Each line that it then gets names an operation,
a number of tasks and a time; it answers with what it measured, and waits without using the CPU.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import platform
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from contenders.lag import lag
from contenders.meter import Meter, measured

Operations = Mapping[str, Callable[[], Awaitable[None]]]

SQLITE = f"SQLite {sqlite3.sqlite_version}"


def version(package: str) -> str:
    """The name of an installed package with its version."""
    return f"{package} {importlib.metadata.version(package)}"


def answer(
    opened: Callable[[str], AbstractAsyncContextManager[Operations]], library: str, below: str
) -> None:
    """Measure what is asked for, in an event loop.

    Args:
        opened: opens the database of an address; inside it has the operations.
        library: the contender's name and version.
        below: those of the driver under it, or of the database itself.
    """
    asyncio.run(_answer(opened, library, below))


async def _answer(
    opened: Callable[[str], AbstractAsyncContextManager[Operations]], library: str, below: str
) -> None:
    async with opened(sys.argv[1]) as operations:
        lags = ["lag"] if "all_rows" in operations else []
        _introduce(library, below, [*operations, *lags])
        # In a thread, because what the library does when it is idle needs the loop.
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            if asked["operation"] == "lag":
                reads = operations["all_rows"], operations["point"]
                _say(await lag(*reads, asked["seconds"]))
            else:
                operation = operations[asked["operation"]]
                limits = asked["seconds"], asked["patience"]
                _say(await measured(operation, asked["tasks"], *limits))


def answer_in_step(operations: Mapping[str, Callable[[], None]], library: str, below: str) -> None:
    """Measure what is asked for, without an event loop and so without concurrent tasks."""
    _introduce(library, below, operations)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        meter = Meter(asked["seconds"])
        meter.repeat_in_step(operations[asked["operation"]])
        _say(meter.result())


def _introduce(library: str, below: str, operations: Iterable[str]) -> None:
    _say(
        {
            "library": library,
            "python": platform.python_version(),
            "below": below,
            "operations": sorted(operations),
        }
    )


def _say(answered: Mapping[str, Any]) -> None:
    print(json.dumps(answered), flush=True)
