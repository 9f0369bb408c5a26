"""The pool: the connections of one network database, lent to one user at a time.

Connections are opened when somebody needs one and none is idle, up to ``max_size``; the one that
was used last is lent first, so that those too many grow old and are closed. Who finds all of them
lent waits in a queue, first come, first served. What holds a connection is on record, so that an
error can tell whom one waited for.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Any, Generic

from databases.backends.leaving import MENDING, Leaving
from databases.backends.opening import Opening
from databases.backends.slot import LinkT, Slot
from databases.backends.sockets import has_news
from databases.backends.waiting import Waiter, Waiting
from databases.exceptions import disconnected
from databases.holding import Holding
from databases.home import Home
from databases.statistics import ConnectionState, Statistics, waiters
from databases.stopping import Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from collections.abc import Set as AbstractSet

    from databases.backends.link import Link
    from databases.backends.pool_options import PoolOptions
    from databases.exceptions import DatabaseError, NotConnectedError
    from databases.forking import Forked
    from databases.pending import CallSite

_TRUSTED = 1.0
"""Seconds of idleness after which a connection is asked for a sign of life before it is lent."""

_LOOKED_AT = 0.01
"""Seconds of idleness after which its socket is looked at: a server that has gone has closed it,
but the event loop may not have come to notice."""

_COMMITTING = 2.0
"""Seconds for which a COMMIT may go on although the time of grace is over."""

_NOBODY: frozenset[asyncio.Task[Any]] = frozenset()


async def _answers(link: Link) -> bool:
    await link.ping()
    return True


class Pool(Generic[LinkT]):
    """The connections of one database.

    Args:
        connect: opens a connection.
        options: how many, for how long.
        is_full: whether an error of ``connect`` says that the server has no room for one more.
        is_well: asks the server of a connection for a sign of life, and whether it is the right one
            still.
        name: of the server, where the connections of several have to be told apart.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LinkT]],
        options: PoolOptions,
        is_full: Callable[[BaseException], bool],
        is_well: Callable[[LinkT], Awaitable[bool]] = _answers,
        name: str = "",
    ) -> None:
        self._options = options
        self._is_well = is_well
        self._prefix = f"{name}, " if name else ""
        self.home = Home()
        """The event loop that its connections belong to."""
        self.loop = self.home.loop
        self._now = self.loop.time
        self._idle: list[Slot[LinkT]] = []
        self._waiting = Waiting(
            options, self.loop, self._not_wanted, self._stuck, self._held, self._holders
        )
        if name:
            self._waiting.what += f" to {name}"
        self._queue = self._waiting.queue
        self._opening = Opening(
            connect,
            options,
            is_full,
            self._waiting,
            self._next,
            self.disconnected,
            self._prefix,
        )
        self._leaving = Leaving(self._opening, self._stays)
        self._slots = self._opening.slots
        self._pinned = 0
        self._closed = False
        self._stop: Stop | Forked | None = None
        self._shrinking: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Open the first connections; where one fails, none stays open.

        Fewer have to do where the server has no room for all of them.
        """
        try:
            for _ in range(max(1, self._options.min_size)):
                if not self._opening.take_place() or (slot := await self._opening.open()) is None:
                    break
                self._next(slot)
        except asyncio.CancelledError:
            # Whoever connects may have waited long enough.
            self._leaving.start(self.close(Stop(0.0)))
            raise
        except BaseException:
            await self.close(Stop(0.0))
            raise

    def ready(self, site: CallSite, sql: str) -> Slot[LinkT] | None:
        """Lend a connection for one statement, if one can be had without any waiting."""
        idle = self._idle
        if not idle or self._queue:
            return None
        slot = idle[-1]
        now = self._now()
        # One that was closed since it was last used fails before it sends anything.
        if now - slot.idle_since > _LOOKED_AT or now > slot.expires or slot.tenant is not None:
            return None
        idle.pop()
        slot.holding = Holding(site, sql, asyncio.current_task())
        slot.lent = True
        return slot

    async def acquire(self, site: CallSite, sql: str | None = None) -> Slot[LinkT]:
        """Lend a connection; without ``sql`` it is held for more than one statement.

        Raises:
            PoolTimeout: where none came free in ``pool_timeout`` seconds.
            PoolDeadlock: where none can come free, because all wait for each other.
            TooManyRequests: where none will be free in that time, or ``max_waiting`` others wait.
            TimeoutError: where none could be opened in that time.
        """
        deadline = self._now() + self._options.pool_timeout
        holding: Waiter | None = None
        slot: Slot[LinkT] | None = None
        again = False
        while slot is None:
            while self._idle and not self._queue:
                idle = self._idle.pop()
                if await self._is_fit(idle):
                    return self._lend(idle, Holding(site, sql), pinned=sql is None)
            if self._closed:
                raise self.disconnected()
            if self._opening.take_place():
                slot = await self._opening.open(deadline)
            else:
                holding = await self._waiting.wait(site, sql, deadline, again=again)
                # What is handed over is a connection, or None: the right to open one.
                slot = holding.future.result() or await self._opening.open(deadline)
            again = True
        if self._closed:
            self._leaving.drop(slot)
            raise self.disconnected()
        return self._lend(slot, holding or Holding(site, sql), pinned=sql is None)

    def give_back(self, slot: Slot[LinkT]) -> None:
        """Take a connection back whose session is as good as new."""
        if not self._took_back(slot):
            return
        if self._closed or self._now() >= slot.expires:
            self._leaving.drop(slot)
        else:
            self._next(slot)

    def give_back_used(self, slot: Slot[LinkT]) -> None:
        """Take a connection back whose session has to be made as good as new first."""
        if not self._took_back(slot):
            return
        if self._closed or slot.link.is_closed():
            self._leaving.drop(slot)
        else:
            self._leaving.reset(slot)

    def give_back_to_task(self, slot: Slot[LinkT]) -> None:
        """Take a connection back on which a task may go on, although its session is not as new."""
        task = asyncio.current_task()
        if self._queue or task is None:
            self.give_back_used(slot)
        else:
            slot.tenant = weakref.ref(task)
            self.give_back(slot)

    def drop(self, slot: Slot[LinkT]) -> None:
        """Take a connection back that is not to be lent again."""
        if self._took_back(slot):
            self._leaving.drop(slot)

    def distrust(self) -> None:
        """Look at each idle connection before it is lent again: the server may have gone."""
        for slot in self._idle:
            slot.idle_since = -math.inf

    async def close(self, stop: Stop) -> None:
        """Close all connections: what is under way has its time, then it is stopped."""
        self._stop = stop
        self._closed = True
        self._stop_watching()
        try:
            while self._idle:
                self._leaving.drop(self._idle.pop())
            await stop.wait_while(lambda: any(map(stop.has_time, self._held())))
            for slot in list(self._slots):
                if not slot.is_committing:
                    self.drop(slot)
            await stop.wait_while(self._is_committing, _COMMITTING)
            for slot in list(self._slots):
                self.drop(slot)
            await self._leaving.finish()
        except BaseException:
            # The event loop ends.
            self.terminate()
            raise

    def _is_committing(self) -> bool:
        return any(slot.is_committing for slot in self._slots)

    def disconnected(self) -> NotConnectedError:
        """The error for what is under way while it is closed."""
        return disconnected() if self._stop is None else self._stop.error()

    def cut_short(self, *, maybe_kept: bool) -> DatabaseError:
        """The error for a statement that was stopped because it is closed."""
        return self.disconnected() if self._stop is None or not maybe_kept else self._stop.unknown()

    def terminate(self) -> None:
        """Close all sockets at once: the event loop is gone, or nobody refers to the database."""
        self._closed = True
        self._stop_watching()
        for slot in self._slots:
            slot.lent = slot.pinned = False
            slot.link.terminate()

    def leave_alone(self, forked: Forked) -> None:
        """In a child process: take all connections from whoever has them, and do nothing more."""
        self._stop = forked
        self._closed = True
        self._idle.clear()
        for slot in self._slots:
            slot.lent = slot.pinned = False

    def _stop_watching(self) -> None:
        if not self.loop.is_closed():
            self._waiting.close(self.disconnected)
        self._opening.close()
        if self._shrinking is not None:
            self._shrinking.cancel()

    def statistics(self) -> Statistics:
        """Which connections there are, who has them and who waits for one."""
        slots = sorted(self._slots, key=lambda slot: (len(slot.name), slot.name))
        opening = sum(not task.done() for task in self._opening.tasks)
        connections = [slot.state() for slot in slots]
        new = ConnectionState(f"{self._prefix}a new connection", "opening")
        connections += [new] * opening
        lent = [slot.name for slot in slots if slot.lent]
        waiting = waiters(self._queue, self._waiting.what, lent)
        return Statistics(True, self._options.max_size, tuple(connections), waiting)

    @property
    def busy(self) -> int:
        """How many connections are in use, and how many tasks wait for one."""
        return self._opening.size - len(self._idle) + len(self._queue)

    # Lending.

    def _lend(self, slot: Slot[LinkT], holding: Holding, *, pinned: bool = False) -> Slot[LinkT]:
        slot.holding = holding
        slot.lent = True
        if pinned:
            slot.pinned = True
            self._pinned += 1
        return slot

    async def _is_fit(self, slot: Slot[LinkT]) -> bool:
        """Whether an idle connection can be lent to the present task; it is gone where not."""
        link, idle = slot.link, self._now() - slot.idle_since
        others = slot.tenant is not None and slot.tenant() is not asyncio.current_task()
        if self._now() > slot.expires:
            self._leaving.drop(slot)
            return False
        fit = not (link.is_closed() or (idle > _LOOKED_AT and has_news(link.fileno())))
        if fit and (idle > _TRUSTED or others):
            try:
                async with asyncio.timeout(min(MENDING, self._options.pool_timeout or MENDING)):
                    if others:
                        await link.reset()
                        slot.tenant = None
                    else:
                        fit = await self._is_well(link)
            except TimeoutError:
                fit = False
                self._give_up_stale()
            except Exception:
                fit = False
            except BaseException:
                self._leaving.drop(slot)
                raise
        if fit and not self._closed:
            return True
        self._leaving.give_up(slot)
        return False

    def _give_up_stale(self) -> None:
        """Give up what has been idle for long: there is no time to ask one after the other."""
        while self._idle and self._now() - self._idle[0].idle_since > _TRUSTED:
            self._leaving.give_up(self._idle.pop(0))

    def _took_back(self, slot: Slot[LinkT]) -> bool:
        """Whether it was lent still: closing the pool takes back what is held."""
        if not slot.lent:
            return False
        slot.lent = False
        if slot.pinned:
            slot.pinned = False
            self._pinned -= 1
        return True

    def _next(self, slot: Slot[LinkT]) -> None:
        """Hand a connection to whoever waits longest; nobody does: keep it."""
        if self._queue and slot.tenant is not None:
            self._leaving.reset(slot)
            return
        if self._queue and self._waiting.hand(slot):
            return
        if self._closed:
            self._leaving.drop(slot)
            return
        slot.idle_since = self._now()
        self._idle.append(slot)
        if self._shrinking is None and self._opening.size > self._options.min_size:
            self._shrinking = self.loop.call_later(self._options.max_idle, self._shrink)

    def _stays(self, slot: Slot[LinkT]) -> bool:
        """Take a connection back whose session was reset; False where it is of no use."""
        if self._closed or slot.link.is_closed() or self._now() >= slot.expires:
            return False
        self._next(slot)
        return True

    def _shrink(self) -> None:
        """Close connections that are too many and have been idle for too long."""
        self._shrinking = None
        idle, least = self._idle, self._options.min_size
        latest = self._now() - self._options.max_idle
        # Of those that are told goodbye at this moment none is in _slots.
        while idle and len(self._slots) > least and idle[0].idle_since <= latest:
            self._leaving.drop(idle.pop(0))
        if idle and len(self._slots) > least:
            due = idle[0].idle_since + self._options.max_idle
            self._shrinking = self.loop.call_at(due, self._shrink)

    def _not_wanted(self, slot: Slot[LinkT] | None) -> None:
        """Take back what came for somebody in the moment in which he gave up."""
        if slot is None:
            self._opening.free_place()
        else:
            self._next(slot)

    def _stuck(
        self, waiting: Collection[asyncio.Task[Any] | None]
    ) -> AbstractSet[asyncio.Task[Any]]:
        """Where all connections are held by tasks that wait, or await one that does: those."""
        if self._pinned < self._opening.size:
            return _NOBODY
        stuck: set[asyncio.Task[Any]] = set()
        for slot in self._slots:
            task = None if slot.holding is None else slot.holding.waits_for(waiting)
            if task is None:
                return _NOBODY
            stuck.add(task)
        return stuck

    def _held(self) -> list[Holding]:
        return [slot.holding for slot in self._slots if slot.lent and slot.holding is not None]

    def _holders(self) -> str:
        held = [str(holding) for holding in self._held()]
        more = f"\nand {len(held) - 10} more" if len(held) > 10 else ""
        busy = self._opening.size - len(held)
        opening = f"\n{busy} more are being opened or reset" if busy else ""
        no_room = f"\n{self._opening.no_room}" if self._opening.no_room else ""
        return "Held by " + "\n        ".join(held[:10]) + more + opening + no_room
