"""Those who wait for a connection of a full pool: first come, first served, and not for ever.

Who could not be served in the time that he may wait is sent away when he comes.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from itertools import takewhile
from typing import Any

from databases.backends.pace import SURE, Pace
from databases.exceptions import PoolDeadlock, PoolTimeout, TooManyRequests
from databases.holding import Holding, parent_in_group, present_deadline
from databases.operations import waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from collections.abc import Set as AbstractSet

    from databases.backends.pool_options import PoolOptions
    from databases.pending import CallSite

_LOOK_AGAIN = 1.0
"""Seconds between two looks at who waits for whom."""

_SAY_AGAIN = 0.1
"""Seconds after which it is put into words again who holds the connections: of those who are sent
away there may be thousands a second."""


class Waiter(Holding):
    """Somebody in the queue, who will hold what is handed to him.

    Args:
        site: where in the user's code it was asked for.
        sql: the statement that it is for.
        task: his task.
        future: where it is handed to him.
        deadline: how long he waits, by the clock of the event loop.
    """

    __slots__ = ("deadline", "future")

    def __init__(
        self,
        site: CallSite,
        sql: str | None,
        task: asyncio.Task[Any] | None,
        future: asyncio.Future[Any],
        deadline: float,
    ) -> None:
        super().__init__(site, sql, task)
        self.future = future
        self.deadline = deadline


class Waiting:
    """The queue.

    Args:
        options: how long somebody may wait, and how many at a time.
        loop: the event loop.
        take_back: called with what was handed to somebody who had given up in the same moment.
        stuck: where nobody but those who wait could let a connection go, those for whom it is so.
        held: those who hold the connections.
        holders: says the same, for messages.
    """

    def __init__(
        self,
        options: PoolOptions,
        loop: asyncio.AbstractEventLoop,
        take_back: Callable[[Any], None],
        stuck: Callable[[Collection[asyncio.Task[Any] | None]], AbstractSet[asyncio.Task[Any]]],
        held: Callable[[], list[Holding]],
        holders: Callable[[], str],
    ) -> None:
        self._options = options
        self.what = f"one of {options.max_size} connections"
        """What is waited for, in words."""
        self._loop = loop
        self._take_back = take_back
        self._stuck = stuck
        self._held = held
        self._holders = holders
        self.queue: OrderedDict[Waiter, None] = OrderedDict()
        """Those who wait; the longest first. Whoever gives up leaves at once, wherever he is."""
        self._pace = Pace(options.max_size, options.pool_timeout)
        # So many may wait without a closer look, which takes a while.
        self._few = min(options.max_size, options.max_waiting or options.max_size)
        self._crowd: float = self._few
        # Those who wait, and how often: who awaits a group does so for each that waits in it.
        self._tasks: dict[asyncio.Task[Any] | None, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._said, self._said_at = "", -math.inf

    async def wait(
        self, site: CallSite, sql: str | None, deadline: float, *, again: bool = False
    ) -> Waiter:
        """Wait until something is handed over; it is the result of the waiter's future.

        Args:
            site: where in the user's code it was asked for.
            sql: the statement that it is for.
            deadline: how long to wait, by the clock of the event loop.
            again: whether what was handed over was of no use: it is still the same one's turn.

        Raises:
            PoolTimeout: where nothing was by then.
            PoolDeadlock: where nothing can be.
            TooManyRequests: where that can be told in advance, or ``max_waiting`` others wait.
        """
        queue, task = self.queue, asyncio.current_task()
        if not queue:
            self._pace.begin(self._loop.time())
            self._crowd = self._few
        elif (len(queue) >= self._crowd or present_deadline.get() < deadline) and not again:
            self._admit(deadline)
        future = self._loop.create_future()
        waiter = Waiter(site, sql, task, future, deadline)
        # Who awaits a group of tasks waits for what they wait for.
        parent = None if task is None else parent_in_group(task)
        tasks = {task} if parent is None else {task, parent}
        known = self._tasks
        for each in tasks:
            known[each] = known.get(each, 0) + 1
        try:
            if not tasks.isdisjoint(self._stuck(known)):
                raise self._deadlock(waiter)
            queue[waiter] = None
            if again:
                # Before all who came after him. Before him are others whose turn it still is.
                before = list(takewhile(lambda other: other.deadline < deadline, queue))
                for other in (waiter, *reversed(before)):
                    queue.move_to_end(other, last=False)
            waits(self.what, self._held)
            if self._timer is None:
                self._watch()
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled() and future.exception() is None:
                    self._take_back(future.result())
                queue.pop(waiter, None)
                raise
            waiter.started()
            return waiter
        finally:
            for each in tasks:
                known[each] -= 1
                if not known[each]:
                    del known[each]

    def hand(self, something: object) -> bool:
        """Hand something to whoever waits longest; False where nobody waits."""
        queue = self.queue
        while queue:
            future = queue.popitem(last=False)[0].future
            if not future.done():
                self._pace.handed += 1
                future.set_result(something)
                return True
        return False

    def close(self, error: Callable[[], Exception]) -> None:
        """Send everybody home: the database is disconnected."""
        if self._timer is not None:
            self._timer.cancel()
        while self.queue:
            self._fail(next(iter(self.queue)), error())

    def _watch(self) -> None:
        """Look after those who wait, for as long as anybody does."""
        self._timer = None
        queue, now = self.queue, self._loop.time()
        self._crowd = self._few
        self._pace.seconds(now)
        while queue and (first := next(iter(queue))).deadline <= now:
            self._fail(first, self._timeout(first))
        stuck = self._stuck(self._tasks) if queue else ()
        for waiter in [waiter for waiter in queue if waiter.task in stuck][-1:]:
            self._fail(waiter, self._deadlock(waiter))
        if queue:
            delay = min(_LOOK_AGAIN, next(iter(queue)).deadline - now)
            self._timer = self._loop.call_later(delay, self._watch)

    def _fail(self, waiter: Waiter, error: Exception) -> None:
        del self.queue[waiter]
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def _admit(self, deadline: float) -> None:
        """Send away who comes when too many wait, or as many as cannot be served in time."""
        options, ahead = self._options, len(self.queue)
        if options.max_waiting and ahead >= options.max_waiting:
            raise self._too_many(f"max_waiting is {options.max_waiting}", "raise max_waiting")
        if ahead < options.max_size:
            return
        now, own = self._loop.time(), present_deadline.get()
        left, pace = min(deadline, own) - now, self._pace.seconds(now)
        wait = ahead * pace
        if wait and wait >= SURE * left:
            limit = "pool_timeout" if deadline <= own else "the timeout of the call"
            raise self._too_many(
                f"they come back at {1 / pace:.3g} a second: it would take {wait:.1f} s, and "
                f"{limit} is over in {max(0, left):.1f} s",
                "hold connections for a shorter time, or allow more: "
                f"max_size={options.max_size * 2}",
                wait,
            )
        # Far from it, it is enough to look again once they are twice as many.
        near = ahead * SURE * left / wait / 2 if wait else math.inf
        self._crowd = min(near, 2 * ahead, options.max_waiting or math.inf)

    def _too_many(self, why: str, advice: str, seconds: float = 1.0) -> TooManyRequests:
        later = f"Answer such requests later (503 with Retry-After: {math.ceil(seconds)})"
        return TooManyRequests(
            f"{len(self.queue)} others wait for {self.what} already, and {why}. {later}, {advice}."
            f"\n{self._who()}",
            seconds,
        )

    def _who(self) -> str:
        """Who holds the connections, a moment ago at most."""
        now = self._loop.time()
        if now >= self._said_at + _SAY_AGAIN:
            self._said, self._said_at = self._holders(), now
        return self._said

    def _timeout(self, waiting: Waiter) -> PoolTimeout:
        options = self._options
        return PoolTimeout(
            f"Waited {options.pool_timeout:g} s for one of {options.max_size} connections, at\n"
            f"  {waiting.site}\n{self._who()}\n"
            "Hold connections for a shorter time (no slow calls inside connection(), "
            f"transaction() and iterate()), or allow more: max_size={options.max_size * 2}"
        )

    def _deadlock(self, waiting: Waiter) -> PoolDeadlock:
        return PoolDeadlock(
            "This would wait for ever: every connection is held by a task that waits for one "
            f"itself. It was asked for at\n  {waiting.site}\n{self._holders()}\n"
            "Use one connection for both: inside `async with database.connection() as connection` "
            "or a transaction hand `connection` on to the tasks that you await there. Inside "
            "`async for row in database.iterate(...)` each query needs a second connection: allow "
            f"more (max_size={self._options.max_size * 2}), or read the rows first, with fetch_all."
        )
