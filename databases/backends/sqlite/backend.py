"""The SQLite backend: which connection runs what.

A file has connections that stay open: one for single statements that write, readers for those that
read, and one for reads so short that no thread is worth it. Transactions, ``connection()`` and
``iterate()`` borrow others, kept for the next. A database in memory has one for everything.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, TypeVar

from databases import forking
from databases.backends.sqlite import forking as sqlite_forking
from databases.backends.sqlite import live, work
from databases.backends.sqlite.adapters import ADAPTERS
from databases.backends.sqlite.connection import SQLiteConnection
from databases.backends.sqlite.crew import Crew
from databases.backends.sqlite.ending import end
from databases.backends.sqlite.forking import Rest
from databases.backends.sqlite.jobs import Kind
from databases.backends.sqlite.lane import FastLane
from databases.backends.sqlite.live import LANE
from databases.backends.sqlite.opening import open_connection
from databases.backends.sqlite.options import SQLiteOptions
from databases.backends.sqlite.readers import Readers
from databases.backends.sqlite.turns import SharedTurn, Turns
from databases.backends.sqlite.worker import ConnectionThread
from databases.exceptions import disconnected
from databases.holding import Holding
from databases.operations import sent
from databases.statements import Bound, Dialect
from databases.url import DatabaseURL
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Dialect as CoreDialect

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.exceptions import NotConnectedError
    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch
    from databases.statistics import Statistics
    from databases.stopping import Stop

T = TypeVar("T")

_TOGETHER = (Verb.INSERT, Verb.WRITE)
"""What is committed together with others that wait at the same time."""

_KEPT = 8
"""Idle connections that are kept open for the next transaction."""


def _core_dialect() -> CoreDialect:
    from sqlalchemy.dialects.sqlite import pysqlite

    return pysqlite.dialect(paramstyle="qmark")


class SQLiteBackend:
    """A SQLite database, in a file or in memory.

    Args:
        url: ``sqlite:///path``, or ``sqlite://`` for a database in memory.
        **options: keywords that win over the URL's options; ``options`` lists them.

    Raises:
        UnknownOptionError: for an option that is not known, or a value that it cannot take.
    """

    dialect = Dialect(
        name="sqlite",
        placeholder=lambda number: "?",
        # Source: sqlite.org/lang_keywords.html (four ways to quote), sqlite.org/lang_comment.html.
        opaque=(
            r"""'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)"""
            r"""|--[^\n]*|/\*.*?(?:\*/|\Z)"""
        ),
        adapters=ADAPTERS,
        core=_core_dialect,
        explain="EXPLAIN QUERY PLAN",
    )

    def __init__(self, url: DatabaseURL | str, **options: Any) -> None:
        self._lane: FastLane | None = None
        self._options = SQLiteOptions.read(DatabaseURL(url), options)
        self._turns: Turns
        self._writer: ConnectionThread
        # In memory there is one connection alone, that of the writer.
        self._readers: Readers | None = None
        self._crew = Crew()
        self._idle: list[ConnectionThread] = []
        # Who holds a connection, whether SQLite's own is lent for it yet or not.
        self._held: set[Holding] = set()
        self._lent: dict[ConnectionThread, Holding] = {}
        self._ending: set[ConnectionThread] = set()
        self._is_open = False
        self._stop: Stop | None = None

    async def connect(self) -> None:
        """Open the file, creating it where it is missing."""
        if self._is_open:
            # An event loop ended while it was being closed.
            self._end_at_once()
        sqlite_forking.check(self._options)
        sqlite_forking.watch(self)
        forking.watch(self)
        self._stop = None
        self._turns = Turns(self._options.timeout)
        self._is_open = True
        try:
            await self._open()
        except BaseException:
            self._is_open = False
            raise

    async def _open(self) -> None:
        self._writer = await self._connected(self._options, name="writer")
        if self._options.in_memory:
            return
        self._later = self._options.once_connected()
        readers = Readers(self._later, self._crew)
        try:
            await readers.connect()
            lane = await self._opened_for_lane()
        except BaseException:
            for thread in (self._writer, *readers.threads()):
                thread.stop()
            raise
        # Nothing here leads back, or a Database that is dropped would wait for the collector.
        self._lane = FastLane(lane, asyncio.get_running_loop(), self._crew, readers.post)
        self._readers = readers

    async def _opened_for_lane(self) -> EngineConnection:
        opening = self._writer.submit(lambda _: open_connection(self._later))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    @property
    def path(self) -> Path | None:
        """The file, or None for a database in memory."""
        return self._options.path

    def rest(self) -> Rest | None:
        """Close the file for the moment of a fork; None where something goes on in it."""
        readers, lane = self._readers, self._lane
        if self._options.in_memory or not self._is_open:
            return Rest()
        if readers is None or lane is None or self._held or self._lent:
            return None
        rest = Rest(lane, readers, [self._writer, *self._idle], list(self._ending), self._later)
        if not rest.begin():
            return None
        while self._idle:
            self._idle.pop().stop()
        return rest

    def _forked(self) -> object:
        """In a child process: the threads are there no longer, the connections are the parent's."""
        forked = forking.Forked()
        self._turns.leave_alone(forked)
        self._held.clear()
        writer = [self._writer] if hasattr(self, "_writer") else []
        for thread in (*self._all_but_writer(), *writer):
            thread.cut_short(forked)
            thread.closing = True
        return self

    def _all_but_writer(self) -> list[ConnectionThread]:
        readers = self._readers.threads() if self._readers is not None else []
        return [*readers, *self._idle, *self._lent, *self._ending]

    def __del__(self) -> None:
        # Never disconnected, and nobody refers to it any more. Its threads do not either.
        if hasattr(self, "_writer"):
            self._end_at_once()

    def _end_at_once(self) -> None:
        if self._lane is not None:
            self._lane.close()
        for thread in (self._writer, *self._all_but_writer()):
            thread.stop()

    async def disconnect(self, stop: Stop) -> None:
        """Close all connections once what is under way is done, or its time is over."""
        self._stop = stop
        self._turns.stop(stop)
        try:
            # Reads of the lane that wait until the event loop has gone round.
            await asyncio.sleep(0)
            await stop.wait_while(lambda: self._is_at_work(stop))
        except asyncio.CancelledError:
            await self._close(stop)
            raise
        await self._close(stop)

    async def _close(self, stop: Stop) -> None:
        self._turns.close()
        self._held.clear()
        writer, others = self._writer, self._all_but_writer()
        self._idle.clear()
        self._lent.clear()
        self._ending.clear()
        lane, self._lane, self._readers = self._lane, None, None
        for thread in (*others, writer):
            thread.cut_short(stop)
        try:
            await end(others)
        finally:
            # Also where the event loop ends meanwhile.
            if lane is not None:
                lane.close()
            # Last, because it takes the write-ahead log into the file and removes it.
            writer.stop()
        await end([writer])
        self._is_open = False

    def _is_at_work(self, stop: Stop) -> bool:
        if isinstance(self._turns.holder, SharedTurn):
            return True
        if self._readers is not None and self._readers.is_busy:
            return True
        return any(map(stop.has_time, list(self._held)))

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a single statement and return its rows."""
        statement = bound.statement
        lane, readers = self._lane, self._readers
        if lane is not None and readers is not None and statement.verb is Verb.READ:
            conduct = lane.admits(statement.sql)
            if conduct is not None:
                if lane.needs_pause:
                    await lane.pause()
                sent(LANE)
                result = lane.fetch(conduct, bound, limit)
                if result is not None:
                    return result
            return await readers.read(
                partial(lane.trial, bound=bound, limit=limit), statement.sql, site
            )
        job = partial(work.fetch, bound=bound, limit=limit)
        if statement.verb in _TOGETHER:
            return await self._write(statement.sql, site, job, Kind.GROUPED)
        return await self._run(bound, site, job)

    async def execute(self, bound: Bound, site: CallSite) -> int:
        """Run a single statement; return the last inserted id of an INSERT, else the row count."""
        statement = bound.statement
        job = partial(work.execute, bound=bound)
        if statement.verb in _TOGETHER:
            return await self._write(statement.sql, site, job, Kind.GROUPED)
        if statement.verb is Verb.READ and self._readers is not None:
            return await self._readers.read(job, statement.sql, site)
        return await self._run(bound, site, job)

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches in one transaction."""
        job = partial(work.execute_many, batches=batches)
        await self._run(Bound(batches[0].statement, ()), site, job)

    async def _run(self, bound: Bound, site: CallSite, job: Callable[[EngineConnection], T]) -> T:
        statement = bound.statement
        if work.changes_session(statement) and not self._options.in_memory:
            # A PRAGMA or ATTACH is for this one statement: on a connection of its own.
            connection = await self.acquire(site)
            try:
                return await connection.run(bound, site, job)
            finally:
                connection.release()
        return await self._write(statement.sql, site, job, Kind.ALONE)

    async def _write(
        self, sql: str, site: CallSite, job: Callable[[EngineConnection], T], kind: Kind
    ) -> T:
        # Disconnected and connected again, the backend has others.
        turns, writer = self._turns, self._writer
        turn, waiter = turns.share(site, sql)
        if waiter is not None:
            await turns.wait_for(turn, waiter, site)
        try:
            return await writer.run(job, kind)
        finally:
            turns.give(turn)

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> SQLiteConnection:
        """Return a connection of the caller's own; in memory, the one that there is."""
        holding = Holding(site)
        self._held.add(holding)
        return SQLiteConnection(
            holding, self._lend, self._take_back, self._held.discard, self._turns, self._lane
        )

    def statistics(self) -> Statistics:
        """Which connections there are, who has them and who waits to write."""
        if self._readers is None:
            return live.of_one(self._writer, self._turns)
        return live.of_all(self._writer, self._readers, self._lent, self._idle, self._turns)

    async def _lend(self, holding: Holding) -> ConnectionThread:
        if holding not in self._held or (self._readers is None and not self._options.in_memory):
            raise self._disconnected()
        if self._options.in_memory:
            return self._writer
        while (thread := self._any_idle()) is not None:
            if not (thread.closing or thread.has_moved):
                break
            self._crew.reopened += 1
            thread.stop()
        else:
            readers, name = self._readers, self._crew.take_name("connection")
            thread = await self._connected(self._later, name=name, lent=True)
            if self._readers is not readers:
                thread.stop()
                raise self._disconnected()
        self._lent[thread] = holding
        return thread

    def _any_idle(self) -> ConnectionThread | None:
        try:
            return self._idle.pop()
        except IndexError:  # another event loop may have taken the last
            return None

    def _take_back(self, thread: ConnectionThread, clean: bool) -> None:
        if thread not in self._lent:
            return  # the one connection of a database in memory, or disconnected meanwhile
        del self._lent[thread]
        if clean and self._stop is None and len(self._idle) < _KEPT:
            self._idle.append(thread)
        else:
            thread.stop()
            self._ending = {each for each in (*self._ending, thread) if not each.ended}

    def _disconnected(self) -> NotConnectedError:
        return disconnected() if self._stop is None else self._stop.error()

    async def _connected(
        self, options: SQLiteOptions, *, name: str, lent: bool = False
    ) -> ConnectionThread:
        thread = ConnectionThread(options, self._crew, lent=lent, name=name)
        await thread.connect()
        return thread


def _close(opened: asyncio.Future[EngineConnection]) -> None:
    """Close a connection that nobody waits for any more."""
    if opened.exception() is None:
        opened.result().close()
