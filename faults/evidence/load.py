"""Tasks that work while something is done to the database."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

PATIENCE = 30.0
"""Seconds in which cancelled tasks have to end."""


class Load:
    """What is known of the tasks in the end."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        """What is wrong with them: they hang, or failed with an error that nobody caught."""


@contextlib.asynccontextmanager
async def at_work(works: Iterable[Coroutine[Any, Any, object]]) -> AsyncIterator[Load]:
    """Within the block the tasks work; at its end they are cancelled, and must end."""
    load = Load()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: load.broken.append(f"unhandled: {context}"))
    # Each has a context of its own, as requests have.
    tasks = [asyncio.create_task(work, context=contextvars.Context()) for work in works]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        done, hang = await asyncio.wait(tasks, timeout=PATIENCE)
        loop.set_exception_handler(before)
    if hang:
        load.broken.append(f"{len(hang)} tasks do not end")
    load.broken += [
        f"a task failed: {error!r}"
        for task in done
        if not task.cancelled() and (error := task.exception())
    ]
