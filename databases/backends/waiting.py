"""Those who wait for a connection of a full pool: first come, first served, and not for ever."""

from __future__ import annotations

import asyncio
import collections
from typing import Any

from databases.exceptions import PoolDeadlock, PoolTimeout, TooManyRequests
from databases.holding import Holding, parent_in_group
from databases.operations import waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from databases.backends.pool_options import PoolOptions
    from databases.pending import CallSite

_LOOK_AGAIN = 1.0
"""Seconds between two looks at who waits for whom."""


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
        stuck: Callable[[Collection[asyncio.Task[Any] | None]], set[asyncio.Task[Any]]],
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
        self.queue: collections.deque[Waiter] = collections.deque()
        """Those who wait; the longest first."""
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, site: CallSite, sql: str | None) -> Waiter:
        """Wait until something is handed over; it is the result of the waiter's future.

        Raises:
            PoolTimeout: where nothing was in ``pool_timeout`` seconds.
            PoolDeadlock: where nothing can be.
            TooManyRequests: where ``max_waiting`` others wait already.
        """
        options, queue, task = self._options, self.queue, asyncio.current_task()
        if options.max_waiting and len(queue) >= options.max_waiting:
            raise self._too_many()
        future = self._loop.create_future()
        waiter = Waiter(site, sql, task, future, self._loop.time() + options.pool_timeout)
        # Who awaits a group of tasks waits for what they wait for.
        tasks = {task, None if task is None else parent_in_group(task)}
        self._tasks |= tasks
        try:
            if not tasks.isdisjoint(self._stuck(self._tasks)):
                raise self._deadlock(waiter)
            queue.append(waiter)
            waits(self.what, self._held)
            if self._timer is None:
                self._watch()
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled() and future.exception() is None:
                    self._take_back(future.result())
                elif waiter in queue:
                    queue.remove(waiter)
                raise
            waiter.started()
            return waiter
        finally:
            self._tasks -= tasks

    def hand(self, something: object) -> bool:
        """Hand something to whoever waits longest; False where nobody waits."""
        queue = self.queue
        while queue:
            future = queue.popleft().future
            if not future.done():
                future.set_result(something)
                return True
        return False

    def close(self, error: Callable[[], Exception]) -> None:
        """Send everybody home: the database is disconnected."""
        if self._timer is not None:
            self._timer.cancel()
        while self.queue:
            self._fail(self.queue.popleft(), error())

    def _watch(self) -> None:
        """Look after those who wait, for as long as anybody does."""
        self._timer = None
        queue, now = self.queue, self._loop.time()
        while queue and queue[0].deadline <= now:
            waiter = queue.popleft()
            self._fail(waiter, self._timeout(waiter))
        stuck = self._stuck(self._tasks) if queue else ()
        for waiter in [waiter for waiter in queue if waiter.task in stuck][-1:]:
            queue.remove(waiter)
            self._fail(waiter, self._deadlock(waiter))
        if queue:
            delay = min(_LOOK_AGAIN, queue[0].deadline - now)
            self._timer = self._loop.call_later(delay, self._watch)

    def _fail(self, waiter: Waiter, error: Exception) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def _too_many(self) -> TooManyRequests:
        options = self._options
        return TooManyRequests(
            f"{len(self.queue)} others wait for one of {options.max_size} connections already, "
            f"and max_waiting is {options.max_waiting}. Answer such requests later (503), or raise "
            f"max_waiting.\n{self._holders()}"
        )

    def _timeout(self, waiting: Waiter) -> PoolTimeout:
        options = self._options
        return PoolTimeout(
            f"Waited {options.pool_timeout:g} s for one of {options.max_size} connections, at\n"
            f"  {waiting.site}\n{self._holders()}\n"
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
