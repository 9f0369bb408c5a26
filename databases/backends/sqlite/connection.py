"""One SQLite connection held by one user of the core, and cursors on it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from functools import partial
from typing import Any, TypeVar

from databases.backends.base import Cursor
from databases.backends.cursors import FIRST, FetchedCursor
from databases.backends.sqlite import work
from databases.backends.sqlite.cursors import SQLiteCursor
from databases.backends.sqlite.jobs import Kind
from databases.backends.sqlite.raw import RawConnection
from databases.backends.transactions import TransactionOptions
from databases.exceptions import NotConnectedError, given_back
from databases.home import Home
from databases.operations import sent
from databases.records import Result
from databases.statements import Bound
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Mapping

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.backends.sqlite.lane import FastLane
    from databases.backends.sqlite.turns import Turn, Turns
    from databases.backends.sqlite.worker import ConnectionThread
    from databases.holding import Holding
    from databases.pending import CallSite
    from databases.statements import Batch

T = TypeVar("T")


class SQLiteConnection:
    """A connection acquired from the backend.

    SQLite's own connection is taken when the first statement needs it, and for a transaction only
    once its turn to write has come: a hundred that wait do not open a hundred connections.

    Args:
        holding: who holds it.
        lend: gives the connection and its thread.
        give_back: called at release with whether that connection is as good as new.
        let_go: called at release, before it is clean.
        turns: who may write.
        lane: where short reads run. None in memory, where others use the same connection meanwhile,
            because there can be only one: a transaction keeps them out then, readers too.
    """

    def __init__(
        self,
        holding: Holding,
        lend: Callable[[Holding], Awaitable[ConnectionThread]],
        give_back: Callable[[ConnectionThread, bool], None],
        let_go: Callable[[Holding], None],
        turns: Turns,
        lane: FastLane | None,
    ) -> None:
        self._holding = holding
        self._home = Home()
        self._lend = lend
        self._lending = asyncio.Lock()
        self._thread: ConnectionThread | None = None
        self._give_back = give_back
        self._let_go = let_go
        self._turns = turns
        self._lane = lane
        self._shared = lane is None
        self._turn: Turn | None = None
        self._begun = False
        self._readonly = False
        self._clean = True
        self._waits_itself = False
        self._released = False
        self._handed_out: RawConnection | None = None
        self._cursors: weakref.WeakSet[SQLiteCursor] = weakref.WeakSet()

    @property
    def raw(self) -> RawConnection:
        """An awaitable surface of the driver's connection, like aiosqlite's."""
        self._clean = False
        if self._handed_out is None:
            self._handed_out = RawConnection(self._thread_for_raw, self._in_transaction)
        return self._handed_out

    async def _thread_for_raw(self) -> ConnectionThread:
        thread = await self.thread()
        if not self._waits_itself:
            self._waits_itself = True
            await thread.submit(work.wait_for_locks)
        return thread

    async def thread(self) -> ConnectionThread:
        """Return the thread of SQLite's connection, taking one where there is none yet.

        Raises:
            StateError: where its holder gave the connection back, and a task that shares it goes
                on with it.
        """
        self._home.check()
        if self._thread is None:
            async with self._lending:
                if self._released:
                    raise given_back()
                if self._thread is None:
                    self._thread = await self._lend(self._holding)
                if self._released:
                    self.release()
                    raise given_back()
        return self._thread

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows."""
        lane, thread = self._lane, self._thread
        # What a user has changed in the session may be what the lane would change.
        usual = self._clean and bound.statement.verb is Verb.READ
        if lane is None or thread is None or not usual:
            return await self.run(bound, site, partial(work.fetch, bound=bound, limit=limit))
        conduct = lane.admits(bound.statement.sql)
        if conduct is not None:
            self._home.check()
            if lane.needs_pause:
                await lane.pause()
            connection = thread.if_idle
            usual = connection is not None and connection.in_transaction is self._begun
            if connection is not None and usual and connection.is_wal:
                self._note(bound.statement.sql)
                sent(thread.name)
                result = lane.fetch_on(connection, conduct, bound, limit)
                if result is not None:
                    return result
        return await self.run(bound, site, partial(lane.trial, bound=bound, limit=limit))

    async def execute(self, bound: Bound, site: CallSite) -> int:
        """Run a statement; return the last inserted id of an INSERT, else the row count."""
        return await self.run(bound, site, partial(work.execute, bound=bound))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        job = partial(work.execute_many, batches=batches)
        await self.run(Bound(batches[0].statement, ()), site, job)

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        thread = await self.thread()
        if self._shared or bound.statement.verb is not Verb.READ or not thread.is_wal:
            # Rows in memory, or made by RETURNING, are held by SQLite as a whole in any case. With
            # a rollback journal nobody could write, this task included, before the last was read.
            return FetchedCursor(await self.fetch(bound, None, site))
        opened: list[sqlite3.Cursor] = []
        open_cursor = partial(work.open_cursor, bound=bound, opened=opened, count=FIRST)
        try:
            first = await self.run(bound, site, open_cursor)
        except BaseException:
            # Cancelled, it may be open all the same. A read left open would keep its snapshot, and
            # the next transaction on this connection could not begin: "database is locked".
            thread.post(partial(work.close_cursors, cursors=opened))
            raise
        cursor = SQLiteCursor(self._run, thread, bound.statement, opened[0], first)
        if cursor.is_open:
            self._cursors.add(cursor)
        return cursor

    async def run(self, bound: Bound, site: CallSite, job: Callable[[EngineConnection], T]) -> T:
        """Do the job of a statement, in its turn if it may write."""
        self._note(bound.statement.sql)
        if self._begun:
            job = partial(work.inside_transaction, job=job)
        session = work.changes_session(bound.statement)
        if session:
            self._clean = False
        if (bound.statement.verb is Verb.READ or session) and not self._shared:
            return await self._run(job)
        return await self._write(site, job)

    def _note(self, sql: str) -> None:
        """What it does now, for those who wait for it."""
        self._holding.sql = sql
        if self._turn is not None:
            self._turn.sql = sql

    async def _run(self, job: Callable[[EngineConnection], T]) -> T:
        # A user who has had the driver's connection may have a progress handler of his own on it.
        beside = not self._handed_out and any(cursor.is_open for cursor in self._cursors)
        return await (await self.thread()).run(job, Kind.BESIDE if beside else Kind.ALONE)

    async def _write(self, site: CallSite, job: Callable[[EngineConnection], T]) -> T:
        """Do what may write: in a turn of its own, unless a transaction here has one."""
        # A BEGIN of the user's own has SQLite's lock without a turn of ours.
        if self._begun or (not self._shared and self._in_transaction()):
            return await self._run(job)
        turn = await self._turns.take(site, at_work=self._thread is not None)
        try:
            return await self._run(partial(work.on_its_file, job=job))
        finally:
            self._turns.give(turn)

    async def begin(self, options: Mapping[str, Any], site: CallSite, *, lazy: bool) -> None:
        """Begin a transaction that can write from its start, or one that reads a snapshot."""
        readonly = TransactionOptions.read(
            options, name="SQLite", known=("isolation", "readonly"), levels=("SERIALIZABLE",)
        ).readonly
        waits = not (readonly or lazy)
        if waits or self._shared:
            self._turn = await self._turns.take(site, at_work=self._thread is not None)
        self._readonly = readonly
        # IMMEDIATE: a transaction that reads first and then writes cannot fail at that point.
        sql = "BEGIN IMMEDIATE" if waits else "BEGIN"
        try:
            thread = await self.thread()
        except BaseException:
            self._finish()
            raise
        self._begun = True
        try:
            connection = None if self._waits_itself else thread.if_idle
            sent(thread.name)
            if connection is None or not work.begun_at_once(connection, sql, readonly=readonly):
                await thread.submit(partial(work.begin, sql=sql, readonly=readonly))
        except BaseException:
            # Cancelled, it may have begun in the thread all the same.
            self._clean_up(thread)
            raise

    async def commit(self) -> None:
        """Commit."""
        await (await self.thread()).submit(partial(work.commit, readonly=self._readonly))
        self._finish()

    async def rollback(self) -> None:
        """Roll back, if a transaction is open still."""
        # Taken away meanwhile, it is rolled back as well.
        with contextlib.suppress(NotConnectedError):
            await self._clean_up(await self.thread())

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await (await self.thread()).submit(partial(work.savepoint, sql=f"SAVEPOINT {name}"))

    async def release_savepoint(self, name: str) -> None:
        """Keep what happened since the savepoint."""
        await (await self.thread()).submit(partial(work.savepoint, sql=f"RELEASE {name}"))

    async def rollback_to_savepoint(self, name: str) -> None:
        """Undo what happened since the savepoint, and remove it."""
        undo = partial(work.rollback_to_savepoint, name=name)
        await (await self.thread()).submit(undo, Kind.ESSENTIAL)

    def release(self) -> None:
        """Give the connection back; what is open on it is rolled back first."""
        self._released = True
        self._let_go(self._holding)
        for cursor in list(self._cursors):
            # Left open it would keep its snapshot, and whoever got the connection next in it.
            cursor.give_up()
        thread, self._thread = self._thread, None
        if thread is None or thread.closing:
            self._finish()
            return
        if not self._begun and (self._shared or not thread.in_transaction):
            self._give_back(thread, self._clean)
            return

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # The event loop is closed: there is nothing to wait with until it is clean.
            thread.post(partial(work.rollback, readonly=self._readonly))
            self._finish()
            self._give_back(thread, False)
            return

        def cleaned(future: asyncio.Future[None]) -> None:
            failed = future.cancelled() or future.exception() is not None
            self._give_back(thread, self._clean and not failed)

        self._clean_up(thread).add_done_callback(cleaned)

    def _in_transaction(self) -> bool:
        return self._thread is not None and self._thread.in_transaction

    def _clean_up(self, thread: ConnectionThread) -> asyncio.Future[None]:
        """Roll back and give the turn back, even where whoever waits for it is cancelled."""
        if self._turn is not None:
            self._turn.ending = True
        job = partial(work.rollback, readonly=self._readonly)
        done = thread.submit(job, Kind.ESSENTIAL)
        done.add_done_callback(self._finish)
        return done

    def _finish(self, done: asyncio.Future[None] | None = None) -> None:
        if done is not None and not done.cancelled():
            done.exception()  # whoever rolled back has it; where nobody waits, nobody is to be told
        self._begun = self._readonly = False
        turn, self._turn = self._turn, None
        if turn is not None:
            self._turns.give(turn)
