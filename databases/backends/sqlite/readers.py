"""Readers: the connections that run single statements which only read.

One does nearly all the work: threads of one process share the interpreter, so more of them make
short reads slower, not faster. But nobody shall wait for somebody else's long read: while one goes
on, others take what waits behind it.
"""

from __future__ import annotations

import asyncio
import queue
import time
from typing import Any, NamedTuple, TypeVar

from databases.backends.sqlite.worker import ConnectionThread
from databases.holding import present_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.crew import Crew
    from databases.backends.sqlite.inserts import EngineConnection
    from databases.backends.sqlite.jobs import Inbox
    from databases.backends.sqlite.options import SQLiteOptions
    from databases.pending import CallSite
    from databases.steps import Request

T = TypeVar("T")

_LONG = 0.05
"""Seconds after which a read counts as long. A short one can take 10 ms in all, because its thread
has to wait for the interpreter several times while the event loop is busy."""

_IDLE = 1.0
"""Seconds without work after which an additional connection is closed again."""


class Asked(NamedTuple):
    """A read that is to be done."""

    site: CallSite
    sql: str
    since: float
    """Since when, by ``time.monotonic``."""
    request: Request | None


class Readers:
    """Connections that share one queue of reads.

    Args:
        options: how they are opened, and how many there may be: beyond that, reads wait for long
            ones to end.
        crew: the threads of the database.
    """

    def __init__(self, options: SQLiteOptions, crew: Crew) -> None:
        self._options = options
        self._crew = crew
        self._inbox: Inbox = queue.SimpleQueue()
        self._first = ConnectionThread(options, crew, self._inbox, name=crew.take_name("reader"))
        self._others: list[ConnectionThread] = []
        # By those that have ended.
        self._done = 0
        self.asked: dict[asyncio.Future[Any], Asked] = {}
        """The reads that are not done, by what waits for each."""
        self._watched_by: asyncio.AbstractEventLoop | None = None

    async def connect(self) -> None:
        """Open the first connection."""
        await self._first.connect()

    async def read(self, job: Callable[[EngineConnection], T], sql: str, site: CallSite) -> T:
        """Have a read done. Cancelled, it is interrupted inside SQLite."""
        future = self._first.submit(job)
        if self.asked:
            self._watch()
        self.asked[future] = Asked(site, sql, time.monotonic(), present_request.get())
        try:
            return await future
        except asyncio.CancelledError:
            for thread in self.threads():
                thread.interrupt(future)
            raise
        finally:
            del self.asked[future]
            # Its error's traceback leads to this frame: no cycle for the collector.
            del future

    def post(self, job: Callable[[EngineConnection], object]) -> None:
        """Have a read done that nobody waits for."""
        self._first.post(job)

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for a read still."""
        return any(not future.get_loop().is_closed() for future in list(self.asked))

    @property
    def is_idle(self) -> bool:
        """Whether no connection does anything, be it that nobody waits for it any more."""
        return self._first.given == self._done + sum(thread.done for thread in self.threads())

    def threads(self) -> list[ConnectionThread]:
        """The threads of all connections that are open."""
        return [self._first, *self._others]

    def _watch(self) -> None:
        """Look in a moment whether somebody waits behind a long read."""
        loop = asyncio.get_running_loop()
        if self._watched_by is not loop:
            self._watched_by = loop
            loop.call_later(_LONG, self._relieve)

    def _relieve(self) -> None:
        self._watched_by = None
        if self._inbox.empty() or self._first.closing:
            return
        self._done += sum(thread.done for thread in self._others if thread.ended)
        self._others = [thread for thread in self._others if not thread.ended]
        threads = self.threads()
        if len(threads) < self._options.readers and all(
            thread.busy_for >= _LONG for thread in threads
        ):
            name = self._crew.take_name("reader")
            another = ConnectionThread(
                self._options, self._crew, self._inbox, idle=_IDLE, name=name
            )
            another.start()
            self._others.append(another)
        self._watch()
