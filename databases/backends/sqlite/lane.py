"""The fast lane: short reads run in the event loop's own thread.

Handing a read to a thread and its rows back takes the loop longer than a read by key takes SQLite.
So a statement that has proved short on a reader runs here from then on, within bounds: SQLite
stops it after a deadline, refuses long values and waits for no lock, and a reader does it then.
After a number of reads the loop goes round once, so that others get their turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from functools import partial

from databases.backends.sqlite import work
from databases.backends.sqlite.opening import has_moved
from databases.operations import running_loop
from databases.statements import LONGEST_KEPT, Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.crew import Crew
    from databases.backends.sqlite.inserts import EngineConnection
    from databases.records import Result
    from databases.statements import Bound

_SHORT = 0.000_1
"""Seconds of a thread's own time that a read may take on a reader to count as short."""

_DEADLINE = 0.000_25
"""Seconds after which a read is stopped here and given to a reader."""

_STEPS = 250
"""Instructions of SQLite's between two looks at the clock; a read by key takes about ten."""

_LONGEST = 100_000
"""Bytes of the longest value: SQLite copies one without looking at the clock."""

_NO_LIMIT = 2**31 - 1
"""More than SQLite's own limit, which it then takes instead."""

_ROUND = 0.000_2
"""Seconds of reading after which the event loop goes round before the next read."""

_TRIALS = 2
"""Short runs on a reader before a statement is let in."""

_MOST_TRIALS = 1000
"""The same for one that has been long again and again."""

_LOOK_AT_FILE = 0.1
"""Seconds after which it is looked at whether the file is still the same."""


class Conduct:
    """How a statement has behaved."""

    __slots__ = ("needed", "trials")

    def __init__(self) -> None:
        self.trials = self.needed = _TRIALS
        """How many short runs on a reader it needs still, and how many it needed last."""

    def took(self, seconds: float) -> None:
        """It ran on a reader for so long, waiting not counted."""
        if seconds < _SHORT:
            self.trials = max(0, self.trials - 1)
        elif seconds > _DEADLINE:
            self.trials = self.needed = min(10 * self.needed, _MOST_TRIALS)


class FastLane:
    """Reads in the event loop's own thread.

    Args:
        connection: a connection for these reads alone.
        loop: the event loop; in others nothing is let in.
        crew: the threads of the database.
        hand_over: has work done by a reader that nobody waits for.
    """

    def __init__(
        self,
        connection: EngineConnection,
        loop: asyncio.AbstractEventLoop,
        crew: Crew,
        hand_over: Callable[[Callable[[EngineConnection], object]], None],
    ) -> None:
        self._hand_over = hand_over
        self._crew = crew
        self._reopened = crew.reopened
        self._loop: asyncio.AbstractEventLoop = loop
        self._stop_at = 0.0
        self._look_at = 0.0
        self._spent = 0.0
        self.needs_pause = False
        """Whether the event loop should go round before the next read: ``await lane.pause()``."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._conduct: Kept[str, Conduct] = Kept(1000)
        self.use(connection)

    def use(self, connection: EngineConnection) -> None:
        """Let reads in, which run on a connection from now on."""
        # Locks are for a reader to wait for.
        connection.execute("PRAGMA busy_timeout = 0").close()
        self._bound(connection)
        self._connection = connection
        self._closed = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether a read may run at this moment, in another thread than the caller's."""
        return self._loop.is_running() and running_loop() is not self._loop

    @property
    def is_open(self) -> bool:
        """Whether it lets reads in."""
        return not self._closed

    def admits(self, sql: str) -> Conduct | None:
        """Whether a statement has proved short, and may run here now.

        Only in the event loop that this is for, and not while a thread is at work: both would get
        the interpreter from each other at every step, which makes either slow and the loop late.
        """
        conduct = self._conduct.get(sql)
        if conduct is None or conduct.trials or self._closed or self._crew.at_work:
            return None
        return conduct if asyncio.get_running_loop() is self._loop else None

    def fetch(self, conduct: Conduct, bound: Bound, limit: int | None) -> Result | None:
        """Run a statement; None where it has to be done by a reader after all."""
        return self._fetch(self._connection, conduct, bound, limit)

    def fetch_on(
        self, connection: EngineConnection, conduct: Conduct, bound: Bound, limit: int | None
    ) -> Result | None:
        """The same on somebody's own connection, which nothing else uses at this moment."""
        self._bound(connection)
        try:
            return self._fetch(connection, conduct, bound, limit)
        finally:
            connection.set_progress_handler(None, 0)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _NO_LIMIT)

    def _bound(self, connection: EngineConnection) -> None:
        """Bound how long a read on a connection can take."""
        connection.set_progress_handler(self._is_late, _STEPS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)

    def _fetch(
        self, connection: EngineConnection, conduct: Conduct, bound: Bound, limit: int | None
    ) -> Result | None:
        started = time.perf_counter()
        self._stop_at = started + _DEADLINE
        result = None
        try:
            result = work.fetch(connection, bound, limit)
        except Exception:
            # Too long, a value too long, or locked. Any other error is the reader's to raise.
            pass
        took = time.perf_counter() - started
        self._spent += took
        self.needs_pause = self._spent > _ROUND
        if took > _DEADLINE:
            # It may be long, or have had to wait for a processor: a reader finds out.
            conduct.trials = max(1, conduct.trials)
            if result is not None:
                self._hand_over(partial(self.trial, bound=bound, limit=limit))
        if started > self._look_at or self._crew.reopened != self._reopened:
            self._look_at = started + _LOOK_AT_FILE
            self._reopened = self._crew.reopened
            if has_moved(self._connection):
                self.close()
                return None
        return result

    def trial(self, connection: EngineConnection, bound: Bound, limit: int | None) -> Result:
        """Run a statement on a reader, in its thread, and see whether it is short."""
        # The thread's own time: waiting for the interpreter says nothing about the statement.
        started = time.thread_time()
        result = work.fetch(connection, bound, limit)
        took = time.thread_time() - started
        sql = bound.statement.sql
        conduct = self._conduct.get(sql)
        if conduct is None:
            conduct = Conduct()
            if len(sql) <= LONGEST_KEPT:
                self._conduct[sql] = conduct
        conduct.took(took)
        return result

    def close(self) -> None:
        """Let nothing in any more, and close the connection."""
        self._closed = True
        if self.is_elsewhere:
            # A read may be under way there.
            self._loop.call_soon_threadsafe(self._connection.close)
        else:
            self._connection.close()

    def _is_late(self) -> bool:
        return time.perf_counter() > self._stop_at

    async def pause(self) -> None:
        """Wait until the event loop has gone round; tasks that wait here go on one by one."""
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._begin_round)
        await waiter

    def _begin_round(self) -> None:
        self._spent = 0.0
        self.needs_pause = False
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        if self._waiting:
            self._loop.call_soon(self._begin_round)
