"""Turns: who may write, in first-come order, and who holds up whom.

SQLite lets one connection write at a time and makes the others poll. Within a process tasks wait
here instead: fairly, without a thread each, and knowing for whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
import weakref
from collections import deque
from typing import Any

from databases.exceptions import StateError, WaitTimeoutError, combined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.pending import CallSite


class Turn:
    """One task's turn to write.

    Args:
        site: where in the user's code it was asked for.
    """

    __slots__ = ("_since", "_task", "ending", "ready", "site", "sql")

    def __init__(self, site: CallSite) -> None:
        self.site = site
        task = asyncio.current_task()
        self._task = None if task is None else weakref.ref(task)
        self.sql: str | None = None
        # Set once it will be given back whatever the task does: nobody waits for himself then.
        self.ending = False
        self.ready: asyncio.Future[None] | None = None
        self._since = time.monotonic()

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task, while it exists."""
        return None if self._task is None else self._task()

    def started(self) -> None:
        """Count the time held from now on."""
        self._since = time.monotonic()

    def __str__(self) -> str:
        task = self.task
        name = "a task that has ended" if task is None else task.get_name()
        held = time.monotonic() - self._since
        sql = f"\n  Its last SQL: {' '.join(self.sql.split())[:500]}" if self.sql else ""
        return f"{name}, for {held:.1f} s\n  {self.site}{sql}"


class Turns:
    """A first-come lock that knows its holder, and works across event loops.

    Args:
        timeout: the longest time to wait for a turn, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._guard = threading.Lock()
        self._holder: Turn | None = None
        self._waiting: deque[Turn] = deque()

    async def take(self, site: CallSite) -> Turn:
        """Wait for the turn to write.

        Raises:
            WaitTimeoutError: after ``timeout`` seconds; the message names the holder.
            StateError: where the task would wait for itself.
        """
        turn = Turn(site)
        with self._guard:
            holder = self._holder
            if holder is None:
                self._holder = turn
                return turn
            if holder.task is turn.task and turn.task is not None and not holder.ending:
                raise StateError(
                    "This task would wait for itself: it holds SQLite's only writer already, in "
                    f"a transaction begun at\n  {holder.site}\n"
                    "Use the connection of that transaction, or end it first."
                )
            turn.ready = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._timeout):
                await turn.ready
        except BaseException as error:
            holder = self._holder
            self.give(turn)
            if isinstance(error, TimeoutError):
                # Code that is ready for "database is locked" is ready for this.
                raise combined(WaitTimeoutError, sqlite3.OperationalError)(
                    f"Waited {self._timeout:g} s for the turn to write, at\n  {site}\n"
                    f"SQLite's writer is held by {holder or 'nobody any more'}\n"
                    "End that transaction sooner (await nothing slow inside it), or wait longer: "
                    "sqlite:///...?timeout=60"
                ) from None
            raise
        return turn

    def give(self, turn: Turn) -> None:
        """Give a turn back, or stop waiting for it."""
        with self._guard:
            if self._holder is not turn:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
                return
            self._holder = None
            while self._waiting and self._holder is None:
                following = self._waiting.popleft()
                if _wake(following):
                    self._holder = following


def _wake(turn: Turn) -> bool:
    """Tell a waiting task that its turn has come; False where it waits no more."""
    future = turn.ready
    if future is None or future.done():
        return False
    turn.started()
    loop = future.get_loop()
    if loop is _running_loop():
        future.set_result(None)
        return True
    try:
        loop.call_soon_threadsafe(_set, future)
    except RuntimeError:  # that loop is closed
        return False
    return True


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
