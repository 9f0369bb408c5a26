"""Turns: who may write, in first-come order, and who holds up whom.

SQLite lets one connection write at a time and makes the others poll. Within a process tasks wait
here instead: fairly, without a thread each, and knowing for whom. A transaction has a turn for
itself; single statements that come at the same time share one, and are committed together.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque

from databases.backends.pace import SURE, Pace
from databases.backends.sqlite.faults import LockedError
from databases.exceptions import StateError, TooManyRequests, disconnected
from databases.holding import Holding, parent_in_group
from databases.operations import running_loop, waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.exceptions import NotConnectedError
    from databases.forking import Forked
    from databases.pending import CallSite
    from databases.stopping import Stop


WRITER = "the turn to write to SQLite"
"""What is waited for, in words."""

_CROWD = 10
"""So many may wait before it is asked how long the next one would."""

_AWAITED_INSIDE = """\
This would wait for ever: the transaction that holds SQLite's only writer, begun at
  {site}
awaits this task before it ends, and other tasks are not part of a task's transaction.
  wrong:  async with database.transaction():
              await asyncio.gather(database.execute(...), database.execute(...))
  right:  async with database.transaction():
              await database.execute(...)
              await database.execute(...)
  or:     async with database.connection() as connection, connection.transaction():
              await asyncio.gather(connection.execute(...), connection.execute(...))"""


class Turn(Holding):
    """One task's turn to write.

    Args:
        site: where in the user's code it was asked for.
        at_work: whether the task has a connection already, with which it may go on while the
            database is being disconnected.
    """

    __slots__ = ("at_work", "ending", "refused", "waiters")

    def __init__(self, site: CallSite, *, at_work: bool = False) -> None:
        super().__init__(site)
        self.at_work = at_work
        self.refused = False
        # Set once it will be given back whatever the task does: nobody waits for himself then.
        self.ending = False
        self.waiters: list[asyncio.Future[None]] = []

    def refuse(self) -> None:
        """Raise an error where it can never be given back while the present task waits for it."""
        task = asyncio.current_task()
        if task is None or self.ending:
            return
        if task is self.task:
            raise StateError(
                "This task would wait for itself: it holds SQLite's only writer already, in "
                f"a transaction begun at\n  {self.site}\n"
                "Use the connection of that transaction, or end it first."
            )
        # Who awaits a group of tasks waits for what they wait for.
        if self.waits_for({task, parent_in_group(task) or task}) is not None:
            raise StateError(_AWAITED_INSIDE.format(site=self.site))

    def wake(self) -> bool:
        """Tell those who wait for it that it has come; False where nobody waits any more."""
        waiters, self.waiters = self.waiters, []
        self.started()
        woken = [_settle(future) for future in waiters]
        return any(woken)


class SharedTurn(Turn):
    """The turn of all single statements that come while it waits, or while nobody waits for it."""

    __slots__ = ("members", "queue")

    def __init__(self, site: CallSite) -> None:
        super().__init__(site)
        self.members = 0
        self.queue: dict[asyncio.Future[None], Holding] = {}
        """Those who wait for it to come."""

    def refuse(self) -> None:
        """Never: its statements end whatever their tasks do."""

    def __str__(self) -> str:
        last = super().__str__()
        return f"{self.members} single statements, committed together; the last: {last}"


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
        self._pace = Pace(1, timeout)
        # Given back, but not worked off yet.
        self._returned: deque[Turn] = deque()
        self._stop: Stop | Forked | None = None
        self._closed = False
        # The shared turn that single statements can still join.
        self._open: SharedTurn | None = None

    @property
    def holder(self) -> Turn | None:
        """Who may write at this moment."""
        return self._holder

    @property
    def waiting(self) -> list[Holding]:
        """Those who wait for their turn; the longest first."""
        with self._guard:
            turns = list(self._waiting)
        found: list[Holding] = []
        for turn in turns:
            found += list(turn.queue.values()) if isinstance(turn, SharedTurn) else [turn]
        return found

    async def take(self, site: CallSite, *, at_work: bool) -> Turn:
        """Wait for a turn to write.

        Args:
            site: where in the user's code it was asked for.
            at_work: whether the task has a connection already.

        Raises:
            WaitTimeoutError: after ``timeout`` seconds; the message names the holder.
            TooManyRequests: where that can be told in advance.
            StateError: where the task would wait for itself.
            NotConnectedError: where the database is disconnected.
        """
        turn = Turn(site, at_work=at_work)
        waiter = None
        try:
            with self._guard:
                if self._closed:
                    raise self._disconnected()
                if self._holder is None:
                    self._holder = turn
                else:
                    waiter = self._wait_in_line(turn)
                    self._admit(site)
                    self._append(turn)
                    if self._holder is self._open:
                        # It would never end if statements went on joining it.
                        self._open = None
        finally:
            self._work_off()
        if waiter is not None:
            await self.wait_for(turn, waiter, site)
        return turn

    def share(self, site: CallSite, sql: str) -> tuple[SharedTurn, asyncio.Future[None] | None]:
        """Take part in the next turn of single statements; to be given back like any other.

        Returns:
            The turn, and what to ``wait_for()`` first; None where it has come already.

        Raises:
            StateError: as for ``take()``.
        """
        waiter = None
        try:
            with self._guard:
                turn = self._open
                if turn is None:
                    turn = SharedTurn(site)
                    if self._holder is None:
                        self._holder = turn
                    else:
                        waiter = self._wait_in_line(turn)
                        self._append(turn)
                    self._open = turn
                elif turn is not self._holder:
                    waiter = self._wait_in_line(turn)
                if waiter is not None:
                    turn.queue[waiter] = Holding(site, sql)
                turn.members += 1
                turn.passes_on(site, sql)
        finally:
            self._work_off()
        return turn, waiter

    def give(self, turn: Turn) -> None:
        """Give a turn back, or stop waiting for it."""
        # The garbage collector ends abandoned tasks at any moment, also while this thread has the
        # guard: so nobody waits for it here.
        self._returned.append(turn)
        self._work_off()

    def stop(self, stop: Stop) -> None:
        """Send home who waits and has no connection yet: the database is being disconnected."""
        self._stop = stop
        self._send_home()

    def close(self) -> None:
        """Send everybody home: the database is disconnected."""
        self._closed = True
        self._send_home()

    def leave_alone(self, forked: Forked) -> None:
        """In a child process, where somebody who is not there may have the guard: refuse all."""
        self._stop, self._closed = forked, True
        self._guard = threading.Lock()

    def _send_home(self) -> None:
        with self._guard:
            for turn in self._waiting:
                if self._closed or not turn.at_work:
                    turn.refused = True
                    turn.wake()
        self._work_off()

    def _disconnected(self) -> NotConnectedError:
        return disconnected() if self._stop is None else self._stop.error()

    def _work_off(self) -> None:
        """Go through what was given back. To be called each time the guard is free again."""
        while self._returned and self._guard.acquire(blocking=False):
            try:
                while self._returned:
                    self._end(self._returned.popleft())
            finally:
                self._guard.release()

    def _end(self, turn: Turn) -> None:
        if isinstance(turn, SharedTurn):
            turn.members -= 1
            if turn.members > 0:
                return
        if turn is self._open:
            self._open = None
        if self._holder is not turn:
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            return
        self._holder = None
        while self._waiting and self._holder is None:
            following = self._waiting.popleft()
            if following.wake():
                self._holder = following
                self._pace.handed += 1
            if following is self._open and (self._waiting or self._holder is None):
                self._open = None

    def _append(self, turn: Turn) -> None:
        if not self._waiting:
            self._pace.begin(time.monotonic())
        self._waiting.append(turn)

    def _admit(self, site: CallSite) -> None:
        """Send a transaction away whose turn would not come in time.

        Single statements are always let in: however many they are, they share a turn.
        """
        ahead = len(self._waiting)
        if ahead < _CROWD:
            return
        pace = self._pace.seconds(time.monotonic())
        wait = ahead * pace
        if wait <= SURE * self._timeout:
            return
        raise TooManyRequests(
            f"{ahead} others wait for {WRITER} already, and {1 / pace:.3g} turns end a second: it "
            f"would take {wait:.1f} s, and timeout is {self._timeout:g} s. Asked for at\n  {site}\n"
            f"SQLite's writer is held by {self._holder}\nAnswer such requests later (503 with "
            f"Retry-After: {math.ceil(wait)}), make transactions shorter (await nothing slow "
            "inside them), or wait longer: sqlite:///...?timeout=60",
            wait,
        )

    def _wait_in_line(self, turn: Turn) -> asyncio.Future[None]:
        assert self._holder is not None
        if self._closed:
            raise self._disconnected()
        self._holder.refuse()
        waiter = asyncio.get_running_loop().create_future()
        turn.waiters.append(waiter)
        return waiter

    async def wait_for(self, turn: Turn, waiter: asyncio.Future[None], site: CallSite) -> None:
        """Wait until a turn has come; if it does not, it is given back.

        Raises:
            WaitTimeoutError: after ``timeout`` seconds; the message names the holder.
        """
        holder = self._holder
        waits(WRITER, lambda: [] if holder is None else [holder])
        try:
            async with asyncio.timeout(self._timeout):
                await waiter
        except BaseException as error:
            holder = self._holder
            if isinstance(turn, SharedTurn):
                turn.queue.pop(waiter, None)
            self.give(turn)
            waited_for = f"SQLite's writer is held by {holder or 'nobody any more'}"
            if isinstance(error, TimeoutError):
                raise LockedError(
                    f"database is locked: waited {self._timeout:g} s for the turn to write, at\n"
                    f"  {site}\n{waited_for}\n"
                    "End that transaction sooner (await nothing slow inside it), or wait longer: "
                    "sqlite:///...?timeout=60"
                ) from None
            # For whoever set the time limit that ended this.
            error.add_note(waited_for)
            raise
        if turn.refused or self._closed:
            self.give(turn)
            raise self._disconnected()


def _settle(future: asyncio.Future[None]) -> bool:
    """Tell a waiting task that its turn has come; False where it waits no more."""
    if future.done():
        return False
    loop = future.get_loop()
    if loop is running_loop():
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
