"""The SQLite backend: which connection runs what.

A file has connections that stay open: for single statements that read as many as are busy, for
those that write one. Transactions, ``connection()`` and ``iterate()`` get connections of their own,
kept for the next. A database in memory has one connection for everything.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, TypeVar

from databases.backends.base import Rows
from databases.backends.sqlite import work
from databases.backends.sqlite.adapters import ADAPTERS
from databases.backends.sqlite.connection import SQLiteConnection
from databases.backends.sqlite.options import SQLiteOptions
from databases.backends.sqlite.turns import Turns
from databases.backends.sqlite.worker import ConnectionThread
from databases.statements import Dialect
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Dialect as CoreDialect

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.pending import CallSite
    from databases.statements import Batch, Bound
    from databases.url import DatabaseURL

T = TypeVar("T")

_READERS = 4
"""Connections at most that read single statements; another is opened while those are busy."""

_LONG = 0.05
"""Seconds after which a read counts as long, and others go to another reader."""

_KEPT = 8
"""Idle connections that are kept open for the next transaction."""


def _core_dialect() -> CoreDialect:
    from sqlalchemy.dialects.sqlite import pysqlite

    return pysqlite.dialect(paramstyle="qmark")


class SQLiteBackend:
    """A SQLite database, in a file or in memory.

    Args:
        url: ``sqlite:///path``, or ``sqlite://`` for a database in memory.
        options: keywords that win over the URL's options: ``timeout`` in seconds (30), and
            SQLite's own ``mode``, ``cache``, ``immutable``, ``nolock``, ``psow``, ``vfs``.

    Raises:
        UnknownOptionError: for any other option.
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
    )

    def __init__(self, url: DatabaseURL, options: Mapping[str, Any]) -> None:
        self._options = SQLiteOptions.read(url, options)
        self._turns: Turns
        self._opening: asyncio.Lock
        self._readers: list[ConnectionThread] = []
        self._writer: ConnectionThread
        self._idle: list[ConnectionThread] = []
        self._lent: set[ConnectionThread] = set()

    async def connect(self) -> None:
        """Open the file, creating it where it is missing."""
        self._turns = Turns(self._options.timeout)
        self._opening = asyncio.Lock()
        self._writer = await self._open()

    async def disconnect(self) -> None:
        """Close all connections once the statements under way are done."""
        threads = {*self._readers, *self._idle, *self._lent} - {self._writer}
        self._readers.clear()
        self._idle.clear()
        self._lent.clear()
        # Whoever waits for this may be cancelled: the threads end all the same.
        await asyncio.shield(asyncio.ensure_future(self._close(threads, self._writer)))

    async def _close(self, threads: set[ConnectionThread], writer: ConnectionThread) -> None:
        for closed in [thread.close() for thread in threads]:
            await closed
        # Last, because it takes the write-ahead log into the file and removes it.
        await writer.close()

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Rows:
        """Run a single statement and return its rows."""
        return await self._run(bound, site, partial(work.fetch, bound=bound, limit=limit))

    async def execute(self, bound: Bound, site: CallSite) -> int:
        """Run a single statement; return the last inserted id of an INSERT, else the row count."""
        return await self._run(bound, site, partial(work.execute, bound=bound))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches in one transaction."""
        turn = await self._turns.take(site)
        try:
            await self._writer.submit(partial(work.execute_many, batches=batches))
        finally:
            self._turns.give(turn)

    async def _run(self, bound: Bound, site: CallSite, job: Callable[[EngineConnection], T]) -> T:
        if not self._options.in_memory:
            if bound.statement.verb is Verb.READ:
                return await self._read(job)
            if work.changes_session(bound.statement):
                # A PRAGMA or ATTACH is for this one statement: on a connection of its own.
                connection = await self.acquire(site)
                try:
                    return await connection.run(bound, site, job)
                finally:
                    connection.release()
        turn = await self._turns.take(site)
        turn.sql = bound.statement.sql
        try:
            return await self._writer.submit(job)
        finally:
            self._turns.give(turn)

    async def _read(self, job: Callable[[EngineConnection], T]) -> T:
        reader = self._free_reader() or await self._another_reader()
        future = reader.submit(job)
        try:
            return await future
        except asyncio.CancelledError:
            reader.interrupt(future)
            raise
        finally:
            # Its error's traceback leads to this frame: no cycle for the collector.
            del future

    def _free_reader(self) -> ConnectionThread | None:
        """A reader that will soon get to it: one that is not at work on something long."""
        for reader in self._readers:
            if reader.busy_for < _LONG:
                return reader
        if len(self._readers) < _READERS:
            return None
        return min(self._readers, key=lambda reader: reader.backlog)

    async def _another_reader(self) -> ConnectionThread:
        async with self._opening:
            reader = self._free_reader()
            if reader is None:
                reader = await self._open()
                self._readers.append(reader)
        return reader

    async def acquire(self, site: CallSite) -> SQLiteConnection:
        """Return a connection of the caller's own; in memory, the one that there is."""
        shared = self._options.in_memory
        return SQLiteConnection(self._lend, self._take_back, self._turns, shared=shared)

    async def _lend(self) -> ConnectionThread:
        if self._options.in_memory:
            return self._writer
        thread = self._idle.pop() if self._idle else await self._open()
        self._lent.add(thread)
        return thread

    def _take_back(self, thread: ConnectionThread, clean: bool) -> None:
        if thread not in self._lent:
            return  # the one connection of a database in memory, or disconnected meanwhile
        self._lent.remove(thread)
        if clean and len(self._idle) < _KEPT:
            self._idle.append(thread)
        else:
            thread.stop()

    async def _open(self) -> ConnectionThread:
        thread = ConnectionThread(partial(work.open_connection, self._options))
        await thread.start()
        return thread
