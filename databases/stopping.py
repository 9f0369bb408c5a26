"""Stopping: what is under way when a database is disconnected gets some time to finish."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from databases.exceptions import (
    CommitUnknown,
    NotConnectedError,
    UnknownOptionError,
    combined,
    disconnected,
)
from databases.holding import parent_in_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from databases.holding import Holding
    from databases.pending import CallSite

CLOSING = 5.0
"""Seconds after the time of grace in which what was under way has to stop. A server that has not
answered by then, or a thread, is left behind."""

_LAST = 1.0
"""Seconds of grace that are left once the event loop ends."""

_LOOK_AGAIN = 0.01
"""Seconds between two looks at what is under way still."""


def checked(grace: Any) -> float:
    """Return the seconds of grace.

    Raises:
        UnknownOptionError: (a ``TypeError``) for what is no number.
    """
    if isinstance(grace, int | float) and not math.isnan(grace):
        return grace
    raise UnknownOptionError(
        "grace is the seconds for which what is under way may go on, 0 for none and math.inf for "
        f"no limit, not {grace!r}: await database.disconnect(grace=30)"
    )


class Stop:
    """The end of a database that is being disconnected: when it comes, and who waits for it.

    Args:
        grace: seconds for which what is under way may go on.
        site: where in the user's code it was asked for.
    """

    def __init__(self, grace: float, site: CallSite | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        """The event loop in which it was asked for."""
        self._until = self.loop.time() + grace
        self.site = site
        task = asyncio.current_task()
        self.by = "" if task is None else task.get_name()
        """The name of the task that asked for it."""
        self._waiting: list[asyncio.Task[Any]] = []
        self._ending: asyncio.Task[None] | None = None

    def begin(self, ending: Coroutine[Any, Any, None]) -> None:
        """Have the end come: whoever waits for it may give up, it comes all the same."""
        self._ending = self.loop.create_task(ending, name=self.by)

    @property
    def is_ending(self) -> bool:
        """Whether the present task is the one that brings the end."""
        return self._ending is asyncio.current_task()

    async def join(self, grace: float) -> None:
        """Wait for the end, which comes after ``grace`` seconds more at the latest."""
        assert self._ending is not None
        self._until = min(self._until, self.loop.time() + grace)
        task = asyncio.current_task()
        parent = None if task is None else parent_in_group(task)
        waiting = [each for each in (task, parent) if each is not None]
        self._waiting += waiting
        try:
            if self.loop is asyncio.get_running_loop():
                await asyncio.shield(self._ending)
            else:
                await self.wait_while(lambda: not self.has_come, math.inf)
        finally:
            for each in waiting:
                self._waiting.remove(each)

    @property
    def has_come(self) -> bool:
        """Whether it has, or never will: its event loop has ended."""
        return self._ending is None or self._ending.done() or not self.loop.is_running()

    @property
    def left(self) -> float:
        """Seconds for which work may go on; less than 0 once that time is over."""
        return self._until - self.loop.time()

    def has_time(self, holding: Holding) -> bool:
        """Whether somebody can use the time of grace.

        Nobody waits for a task that has ended without letting go, nor for one that waits for the
        end itself.
        """
        task = holding.task
        if task is None or task.done() or task.get_loop().is_closed():
            return False
        return not self._waiting or holding.waits_for(self._waiting) is None

    async def wait_while(self, at_work: Callable[[], bool], more: float = 0.0) -> None:
        """Wait until all work is done, or the time of grace is over.

        Args:
            at_work: whether somebody is at work.
            more: seconds after that time for which what should not be cut short may go on.
        """
        while at_work() and (left := self.left + more) > 0:
            try:
                await asyncio.sleep(min(_LOOK_AGAIN, left))
            except asyncio.CancelledError:
                if not self.is_ending:
                    raise
                # The event loop ends, which cancels those at work too: they let go in a moment.
                self._until = min(self._until, self.loop.time() + _LAST)

    def error(self) -> NotConnectedError:
        """The error for what was refused or stopped."""
        return disconnected(f"disconnected at {self.site}, by {self.by}")

    def unknown(self) -> CommitUnknown:
        """The error for what was stopped and may have been kept all the same."""
        error = self.error()
        return combined(CommitUnknown, NotConnectedError)(
            f"{error}\nThe database had the statement already: whether it was kept is not known. "
            "Look before you run it again."
        )
