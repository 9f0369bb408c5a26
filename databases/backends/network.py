"""A network database: single statements on any connection of the pool, and connections held.

What is the same for every driver: when a session has to be made as good as new, what happens when
a connection breaks, and what a user is told about it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, TypeVar

from databases import forking
from databases.backends.link import adopted
from databases.backends.network_connection import NetworkConnection, was_stopped
from databases.backends.pool import Pool
from databases.backends.session import Leaves
from databases.exceptions import disconnected
from databases.operations import repeats, sent
from databases.statements import LONGEST_KEPT, Kept
from databases.statistics import Statistics
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from databases.backends.link import Driver, Link
    from databases.backends.pool_options import NetworkOptions
    from databases.backends.slot import Slot
    from databases.backends.transactions import Begin
    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch, Bound, Statement
    from databases.stopping import Stop

T = TypeVar("T")

_COMMITTED_AT_ONCE = (Verb.READ, Verb.INSERT, Verb.WRITE)
"""Statements that are a transaction of their own, done as a whole or not at all: that a procedure
is, nobody knows."""

_UNKNOWN = (
    "The connection broke while the server had the statement: whether it was done is not known. "
    "Look before you run it again, or write it so that doing it twice does no harm (INSERT ... ON "
    "CONFLICT DO NOTHING, UPDATE ... SET n = 5 instead of n = n + 1)."
)

_KEPT = 1000
"""Statements of which it is kept whether they leave something in the session."""


class NetworkBackend:
    """What the backends of network databases have in common.

    Args:
        driver: opens connections.
        options: those of the database.
        leaves: tells of an SQL text what it may leave in the session.
        begin: the statements that begin a transaction with the given options.
    """

    def __init__(
        self,
        driver: Driver,
        options: NetworkOptions,
        leaves: Callable[[str], Leaves],
        begin: Begin,
    ) -> None:
        self._driver = driver
        self._options = options.pool
        self._asked = options.asked
        self._leaves_in_session = leaves
        self._known: Kept[str, Leaves] = Kept(_KEPT)
        self._begin = begin
        self._pool: Pool[Link] | None = None

    def _forked(self) -> object:
        """In a child process: the connections are those of the parent."""
        if self._pool is not None:
            self._pool.leave_alone(forking.Forked())
        return self

    async def connect(self) -> None:
        """Open the first connections."""
        forking.watch(self)
        pool = Pool(self._driver.connect, self._options)
        try:
            await pool.open()
        except Exception as error:
            raise adopted(self._driver, error) from error.__cause__
        if self._pool is not None:
            # Its event loop ended while it was being closed.
            self._pool.terminate()
        self._pool = pool

    async def disconnect(self, stop: Stop) -> None:
        """Close all connections once what is under way is done, or its time is over."""
        if self._pool is None:
            return
        home = self._pool.home
        pool = self._pool if home.is_elsewhere else self._pool_now()
        try:
            if home.is_elsewhere:
                # It can be closed only there.
                closing = asyncio.run_coroutine_threadsafe(self._close(pool, stop), home.loop)
                await stop.wait_while(lambda: not closing.done() and home.is_elsewhere, math.inf)
            else:
                await self._close(pool, stop)
        finally:
            if self._pool is pool:
                self._pool = None

    async def _close(self, pool: Pool[Link], stop: Stop) -> None:
        await pool.close(stop)
        await self._driver.close()

    def _get_connection_kwargs(self) -> dict[str, Any]:
        # Tests of programs that used databases 0.9 look at it.
        return self._asked

    def __del__(self) -> None:
        # Never disconnected, and nobody refers to it any more.
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.terminate()

    # Not coroutine functions themselves: one frame less to go through at each step of the loop.

    def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Coroutine[Any, Any, Result]:
        """Run a single statement and return its rows."""
        return self._single(bound.statement, site, lambda link: link.fetch(bound, limit))

    def execute(self, bound: Bound, site: CallSite) -> Coroutine[Any, Any, Any]:
        """Run a single statement and return what ``execute()`` returns on this database."""
        return self._single(bound.statement, site, lambda link: link.execute(bound))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches in one transaction."""
        if len(batches) == 1:
            batch = batches[0]
            await self._single(batch.statement, site, lambda link: link.execute_many(batch))
            return
        connection = await self.acquire(site)
        try:
            await connection.execute_many(batches, site)
        finally:
            connection.release()

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> NetworkConnection:
        """Return a connection of the caller's own, as good as new."""
        pool = self._pool_now()
        try:
            slot = await pool.acquire(site)
        except Exception as error:
            raise adopted(self._driver, error) from error.__cause__
        sent(slot.name)
        return NetworkConnection(slot, pool, self._driver, self._begin, self._leaves)

    def statistics(self) -> Statistics:
        """The connections of the pool."""
        return Statistics(False) if self._pool is None else self._pool.statistics()

    async def _single(
        self,
        statement: Statement,
        site: CallSite,
        work: Callable[[Link], Awaitable[T]],
        tries: int = 0,
    ) -> T:
        sql = statement.sql
        pool = self._pool_now()
        slot = pool.ready(site, sql)
        try:
            if slot is None:
                slot = await pool.acquire(site, sql)
            sent(slot.name)
            result = await work(slot.link)
        except BaseException as error:
            if slot is not None:
                self._cut_short(pool, slot, error, statement)
                self._take_back(pool, slot, error, sql)
                if self._is_undone(slot.link, error, statement, tries):
                    repeats("its connection broke before it was done", error)
                    return await self._single(statement, site, work, tries + 1)
            raise adopted(self._driver, error) from error.__cause__
        left = self._known.get(sql) or self._leaves(sql)
        if left is Leaves.NOTHING:
            pool.give_back(slot)
        elif left is Leaves.TEMPORARY_TABLE:
            # For the statements of the same task that come next, as in databases 0.9.
            pool.give_back_to_task(slot)
        elif left is Leaves.ANYTHING:
            pool.give_back_used(slot)
        else:
            pool.drop(slot)
        return result

    def _cut_short(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, statement: Statement
    ) -> None:
        """Say so where a statement failed because the database was disconnected."""
        if slot.lent or not isinstance(error, Exception):
            return
        # Whether it was sent a driver does not tell whose connection is closed meanwhile.
        kept = statement.verb is not Verb.READ and not was_stopped(error)
        raise pool.cut_short(maybe_kept=kept) from adopted(self._driver, error)

    def _take_back(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, sql: str
    ) -> None:
        """Take the connection of a statement that failed back."""
        if slot.link.is_closed():
            pool.drop(slot)
            pool.distrust()
        elif isinstance(error, Exception) and self._leaves(sql) is Leaves.NOTHING:
            pool.give_back(slot)
        else:
            # Cancelled, it may run on the server still.
            pool.give_back_used(slot)

    def _is_undone(
        self, link: Link, error: BaseException, statement: Statement, tries: int
    ) -> bool:
        """Whether a statement was provably not done when its connection broke, and is run again.

        Where it cannot be proved, that is noted on the error.
        """
        if not isinstance(error, Exception) or not link.is_closed():
            return False
        if not link.sent:
            # All connections of the pool may have been closed since they were used.
            return tries <= self._options.max_size
        if statement.verb in _COMMITTED_AT_ONCE and self._driver.is_undone(error):
            # Only once: an administrator may be about to stop it for good.
            error.add_note("The server ended the connection before the statement was committed.")
            return tries == 0
        error.add_note(_UNKNOWN)
        return False

    def _leaves(self, sql: str) -> Leaves:
        left = self._known.get(sql)
        if left is None:
            left = self._leaves_in_session(sql)
            if len(sql) <= LONGEST_KEPT:
                self._known[sql] = left
        return left

    def _pool_now(self) -> Pool[Link]:
        pool = self._pool
        if pool is None:
            raise disconnected()
        if pool.loop is not asyncio.get_running_loop():
            pool.home.check()
            # The one it was connected in has ended, and with it the connections.
            pool.terminate()
            pool = self._pool = Pool(self._driver.connect, self._options)
        return pool
