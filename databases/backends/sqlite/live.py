"""The live state of a SQLite database: what each connection does, for whom, and who waits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from databases.backends.sqlite.turns import WRITER, SharedTurn
from databases.statistics import ConnectionState, Holder, Statistics, Waiter, waiters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databases.backends.sqlite.readers import Asked, Readers
    from databases.backends.sqlite.turns import Turns
    from databases.backends.sqlite.worker import ConnectionThread
    from databases.holding import Holding

    Future = asyncio.Future[Any]

LANE = "fast lane"
"""The name of the connection that the event loop's own thread reads with."""


def of_one(thread: ConnectionThread, turns: Turns) -> Statistics:
    """The state of a database in memory, where one connection does everything."""
    state = _held(thread, turns.holder)
    waiting = waiters(turns.waiting, WRITER, [state.name])
    return Statistics(True, 1, (state,), waiting)


def of_all(
    writer: ConnectionThread,
    readers: Readers,
    lent: Mapping[ConnectionThread, Holding],
    idle: Iterable[ConnectionThread],
    turns: Turns,
) -> Statistics:
    """The state of a database in a file."""
    holder = turns.holder
    # A transaction has its turn for a connection that was lent to it.
    for_writer = holder if isinstance(holder, SharedTurn) else None
    connections = (
        _held(writer, for_writer),
        *(_reading(thread, readers.asked) for thread in readers.threads()),
        ConnectionState(LANE, "idle"),
        *(_held(thread, holding) for thread, holding in list(lent.items())),
        *(ConnectionState(thread.name, "idle") for thread in list(idle)),
    )
    in_the_way = [
        thread.name
        for thread, holding in list(lent.items())
        if holder is not None and holding.task is holder.task
    ]
    waiting = waiters(turns.waiting, WRITER, in_the_way or [writer.name])
    return Statistics(True, None, connections, (*waiting, *_unread(readers)))


def _held(thread: ConnectionThread, holding: Holding | None) -> ConnectionState:
    if holding is None:
        return ConnectionState(thread.name, "idle")
    busy = thread.busy_for
    holding.running_since = time.monotonic() - busy if busy else None
    return ConnectionState.held_by(thread.name, holding)


def _reading(thread: ConnectionThread, asked: Mapping[Future, Asked]) -> ConnectionState:
    job = thread.current
    question = None if job is None or job.future is None else asked.get(job.future)
    if job is None or job.future is None or question is None:
        return ConnectionState(thread.name, "idle")
    holder = _asked_by(job.future, question, thread.busy_for)
    return ConnectionState(thread.name, "in flight", holder)


def _unread(readers: Readers) -> list[Waiter]:
    """The reads that no connection has begun."""
    reading = {job.future: thread.name for thread in readers.threads() if (job := thread.current)}
    return [
        Waiter(_asked_by(future, asked, None), "a reader", tuple(reading.values()))
        for future, asked in list(readers.asked.items())
        if future not in reading and not future.done()
    ]


def _asked_by(future: Future, asked: Asked, running: float | None) -> Holder:
    """Who awaits a read. That costs something only here: most reads are never looked at."""
    tasks = (getattr(callback, "__self__", None) for callback, _ in future._callbacks or ())
    task = next((task for task in tasks if isinstance(task, asyncio.Task)), None)
    seconds = time.monotonic() - asked.since
    name = "a task that has ended" if task is None else task.get_name()
    since = time.time() - seconds
    return Holder(name, asked.request, asked.site, since, seconds, asked.sql, running)
