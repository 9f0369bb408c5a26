"""Leaving: how a pool lets connections go, and makes those as good as new that shall stay.

Both ask the server, while nobody waits for the answer.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Generic

from databases.backends.slot import LinkT, Slot
from databases.stopping import CLOSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from databases.backends.opening import Opening

MENDING = 5.0
"""Seconds that a reset, a sign of life or a farewell may take before a connection is dropped."""

_LAST = 1.0
"""Seconds in which what is given up has to let go."""


class Leaving(Generic[LinkT]):
    """Takes leave of the connections of a pool.

    Args:
        opening: has opened them, and counts them.
        stays: takes a connection whose session was reset; False where it is to leave after all.
    """

    def __init__(self, opening: Opening[LinkT], stays: Callable[[Slot[LinkT]], bool]) -> None:
        self._opening = opening
        self._stays = stays
        self._loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        """Those in which a server is asked."""

    def reset(self, slot: Slot[LinkT]) -> None:
        """Make a session as good as new; where that does not work, the connection leaves."""
        self._ask(slot, self._reset(slot))

    def drop(self, slot: Slot[LinkT]) -> None:
        """Take leave of a connection; its place is free once the server has answered."""
        if slot.link.is_closed() or self._loop.is_closed():
            self.give_up(slot)
        else:
            self._opening.slots.discard(slot)
            self._ask(slot, self._farewell(slot))

    def give_up(self, slot: Slot[LinkT]) -> None:
        """Close a connection without a word, which might never be answered."""
        self._opening.slots.discard(slot)
        slot.link.terminate()
        self._opening.free_place()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start something that nobody waits for."""
        task = self._loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait until nothing is being opened or closed; what takes too long is given up."""
        this, give_up = asyncio.current_task(), self._loop.time() + CLOSING
        while tasks := {*self._opening.tasks, *self.tasks} - {this}:
            left = give_up - self._loop.time()
            if left <= 0:
                # Cancelled at once, what is being opened could leave a session on the server.
                for task in tasks:
                    task.cancel()
            if left <= -_LAST:
                break
            await asyncio.wait(tasks, timeout=max(left, _LAST))
        for slot in self._opening.slots:
            # It was asked for a sign of life: whoever waits for that shall wait no longer.
            slot.link.terminate()

    def _ask(self, slot: Slot[LinkT], work: Coroutine[Any, Any, None]) -> None:
        self.start(work).add_done_callback(partial(self._asked, slot=slot))

    def _asked(self, asking: asyncio.Task[None], slot: Slot[LinkT]) -> None:
        # Whoever cancels all tasks that there are cancels this one too, maybe before it begins.
        if asking.cancelled():
            self.give_up(slot)

    async def _reset(self, slot: Slot[LinkT]) -> None:
        try:
            async with asyncio.timeout(MENDING):
                await slot.link.reset()
            slot.tenant = None
        except Exception:
            slot.link.terminate()
        if not self._stays(slot):
            self._opening.slots.discard(slot)
            await self._farewell(slot)

    async def _farewell(self, slot: Slot[LinkT]) -> None:
        try:
            async with asyncio.timeout(MENDING):
                await slot.link.close()
        except Exception:
            pass  # what cannot be told goodbye is dropped
        slot.link.terminate()
        self._opening.free_place()
