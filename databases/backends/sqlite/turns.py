"""Turns: who may write, in first-come order, and who holds up whom.

SQLite lets one connection write at a time and makes the others poll. Within a process tasks wait
here instead: fairly, without a thread each, and knowing for whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque

from databases.exceptions import StateError, WaitTimeoutError, combined
from databases.holding import Holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.pending import CallSite


class Turn(Holding):
    """One task's turn to write.

    Args:
        site: where in the user's code it was asked for.
    """

    __slots__ = ("ending", "ready")

    def __init__(self, site: CallSite) -> None:
        super().__init__(site)
        # Set once it will be given back whatever the task does: nobody waits for himself then.
        self.ending = False
        self.ready: asyncio.Future[None] | None = None


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
