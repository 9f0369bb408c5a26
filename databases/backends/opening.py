"""Opening: as many connections as a pool may have, and as its server has room for.

Each of them has a place, from before it is opened until it is closed. Where a place comes free,
whoever waits longest may open another one in it.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import Generic

from databases.backends import descriptors
from databases.backends.slot import LinkT, Slot, free_name
from databases.backends.sockets import keep_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from databases.backends.pool_options import PoolOptions
    from databases.backends.waiting import Waiting

_OPENING = 10.0
"""Seconds that opening a connection may take at least, although whoever wanted it gives up sooner:
somebody else will want it."""

_FULL = 1.0
"""Seconds after which it is tried again where there was no room for a connection more."""


class Opening(Generic[LinkT]):
    """Opens the connections of a pool, and counts them.

    Args:
        connect: opens a connection.
        options: how many, for how long.
        is_full: whether an error of ``connect`` says that the server has no room for one more.
        waiting: those who wait for a connection, or for the right to open one.
        keep: takes a connection that nobody waits for any more.
        stopped: the error for whoever wanted one when it was stopped.
        prefix: of the connections' names.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LinkT]],
        options: PoolOptions,
        is_full: Callable[[BaseException], bool],
        waiting: Waiting,
        keep: Callable[[Slot[LinkT]], None],
        stopped: Callable[[], Exception],
        prefix: str,
    ) -> None:
        self._connect = connect
        self._options = options
        self._is_full = is_full
        self._waiting = waiting
        self._keep = keep
        self._stopped = stopped
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self.slots: set[Slot[LinkT]] = set()
        """The connections that are open, and not on their way out."""
        self.size = 0
        """How many places are taken: also by what is being opened or closed at this moment."""
        self.tasks: set[asyncio.Task[Slot[LinkT] | None]] = set()
        """Those in which connections are being opened."""
        # Set while there is no room for more: when it is tried again.
        self._growing: asyncio.TimerHandle | None = None
        self._no_room = ""

    @property
    def no_room(self) -> str:
        """Why there was no room for a connection more, a moment ago; empty where there was."""
        return "" if self._growing is None else self._no_room

    def take_place(self) -> bool:
        """Take a place for a connection more, if who finds none idle may open one himself."""
        if self.size >= self._options.max_size or self._waiting.queue:
            return False
        if self._growing is not None and self.size:
            return False
        self.size += 1
        return True

    def free_place(self) -> None:
        """One connection less: whoever waits longest may open another one."""
        if not self._waiting.hand(None):
            self.size -= 1

    async def open(self, deadline: float = math.inf) -> Slot[LinkT] | None:
        """Open a connection in a place that was taken for it.

        Whoever wanted it may give up, or have waited long enough: it is opened all the same, and
        goes to the next one.

        Returns:
            The connection, or None where one of those that are there has to do.
        """
        opening = self._loop.create_task(self._open())
        self.tasks.add(opening)
        opening.add_done_callback(self._ended)
        # Where nobody shall wait for others a connection may be opened all the same.
        seconds = deadline - self._loop.time() if self._options.pool_timeout else None
        try:
            await asyncio.wait([opening], timeout=seconds)
        except asyncio.CancelledError:
            opening.add_done_callback(self._opened_in_vain)
            raise
        if not opening.done():
            opening.add_done_callback(self._opened_in_vain)
            raise _too_slow(self._options.pool_timeout)
        if opening.cancelled():
            raise self._stopped()
        return opening.result()

    async def _open(self) -> Slot[LinkT] | None:
        limit = max(self._options.pool_timeout, _OPENING)
        try:
            async with asyncio.timeout(limit) as within:
                link = await self._connect()
        except Exception as error:
            no_room = self._why_no_room(error)
            if self.size > 1 and no_room:
                # Rather one of the others in a while than none.
                self.size -= 1
                self._no_room = no_room
                if self._growing is None:
                    self._growing = self._loop.call_later(_FULL, self._grow)
                return None
            self.free_place()
            if within.expired():
                raise _too_slow(limit) from None
            raise
        keep_alive(link.fileno())
        lifetime = self._options.max_lifetime
        # Those opened together must not be closed together.
        expires = self._loop.time() + lifetime * random.uniform(0.9, 1.0)
        slot = Slot(link, expires, free_name(self.slots, self._prefix))
        self.slots.add(slot)
        self._grow()
        return slot

    def _why_no_room(self, error: BaseException) -> str:
        if self._is_full(error):
            return "The server has no room for more at the moment"
        used_up = descriptors.are_used_up(error)
        return "This process may open no more sockets at the moment (ulimit -n)" if used_up else ""

    def _grow(self) -> None:
        """Let whoever waits open a connection more: there may be room for it again."""
        if self._growing is not None:
            self._growing.cancel()
            self._growing = None
        if self._waiting.queue and self.size < self._options.max_size:
            self.size += 1
            self.free_place()

    def _ended(self, opening: asyncio.Task[Slot[LinkT] | None]) -> None:
        self.tasks.discard(opening)
        # Whoever cancels all tasks that there are cancels this one too, maybe before it begins.
        if opening.cancelled():
            self.free_place()

    def _opened_in_vain(self, opening: asyncio.Task[Slot[LinkT] | None]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            slot = opening.result()
            if slot is not None:
                self._keep(slot)

    def close(self) -> None:
        """Try no more whether there is room."""
        if self._growing is not None:
            self._growing.cancel()


def _too_slow(seconds: float) -> TimeoutError:
    return TimeoutError(f"A connection could not be opened within {seconds:g} s")
