"""Holding: who holds something that others wait for, where, and for how long."""

from __future__ import annotations

import contextvars
import math
import time
import weakref
from typing import Any

from databases.exceptions import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from databases.pending import CallSite
    from databases.steps import Request

present_request: contextvars.ContextVar[Request | None] = contextvars.ContextVar(
    "databases.request", default=None
)
"""The request of the web application that the present task answers, as far as it is watched."""

present_deadline: contextvars.ContextVar[float] = contextvars.ContextVar(
    "databases.deadline", default=math.inf
)
"""When the ``timeout`` of the present task's call is over, by the clock of its event loop."""


class Holding:
    """What the present task holds; its text is for the messages of those who wait for it.

    Args:
        site: where in the user's code it was asked for.
        sql: the statement that it is for, or the last one run on it.
        task: the present task, where the caller has it at hand.
    """

    __slots__ = ("_task", "request", "running_since", "since", "site", "sql")

    def __init__(
        self, site: CallSite, sql: str | None = None, task: asyncio.Task[Any] | None = None
    ) -> None:
        self.site = site
        self.sql = sql
        if task is None:
            import asyncio

            task = asyncio.current_task()
        # Weak: a task that ended without letting go must not be kept for its sake.
        self._task = None if task is None else weakref.ref(task)
        self.request = present_request.get()
        self.since = time.monotonic()
        """Since when, by ``time.monotonic``."""
        self.running_since: float | None = None
        """Since when a statement runs for it, by the same clock; None while none does."""

    def started(self) -> None:
        """Count the time held from now on."""
        self.since = time.monotonic()

    def passes_on(self, site: CallSite, sql: str) -> None:
        """The present task holds it now, for a statement of its own."""
        import asyncio

        task = asyncio.current_task()
        self._task = None if task is None else weakref.ref(task)
        self.site, self.sql, self.request = site, sql, present_request.get()

    def runs(self, sql: str) -> None:
        """A statement runs for it from now on."""
        self.sql = sql
        self.running_since = time.monotonic()

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task, while it exists."""
        return None if self._task is None else self._task()

    def waits_for(self, waiting: Collection[asyncio.Task[Any] | None]) -> asyncio.Task[Any] | None:
        """Which of those that wait the task that holds it is, or awaits; None for none of them.

        It cannot let go as long as that one waits. As far as asyncio tells: ``await task``,
        ``gather()``, and tasks that are awaited by those.
        """
        task = self.task
        return None if task is None else _awaited(task, waiting)

    def __str__(self) -> str:
        task = self.task
        name = "a task that has ended" if task is None else task.get_name()
        if self.request is not None:
            name += f" ({self.request})"
        held = time.monotonic() - self.since
        sql = f"\n  Its last SQL: {shortened(self.sql)}" if self.sql else ""
        return f"{name}, for {held:.1f} s\n  {self.site}{sql}"


def parent_in_group(task: asyncio.Task[Any]) -> asyncio.Task[Any] | None:
    """The task that awaits another one at the end of an ``asyncio.TaskGroup``, if one does."""
    for callback, _ in getattr(task, "_callbacks", None) or ():
        group = getattr(callback, "__self__", None)
        if group is None:
            continue
        # Not before: most have none, and everybody who waits asks.
        import asyncio

        if isinstance(group, asyncio.TaskGroup):
            parent: asyncio.Task[Any] | None = getattr(group, "_parent_task", None)
            end = getattr(group, "_on_completed_fut", None)
            if end is not None and getattr(parent, "_fut_waiter", None) is end:
                return parent
    return None


def _awaited(future: Any, others: Collection[Any]) -> asyncio.Task[Any] | None:
    """Which of the others a task or a gathering is, or awaits."""
    if future in others:
        found: asyncio.Task[Any] = future
        return found
    for awaited in (getattr(future, "_fut_waiter", None), *getattr(future, "_children", ())):
        if awaited is not None and (other := _awaited(awaited, others)) is not None:
            return other
    return None
