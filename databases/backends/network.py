"""A network database: single statements on any connection of the pool, and connections held.

What is the same for every driver: when a session has to be made as good as new, what happens when
a connection breaks, and what a user is told about it.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from databases.backends.hosts import Hosts
from databases.backends.link import adopted
from databases.backends.network_connection import NetworkConnection
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

T = TypeVar("T")

_COMMITTED_AT_ONCE = (Verb.READ, Verb.INSERT, Verb.WRITE)
"""Statements that are a transaction of their own, done as a whole or not at all: that a procedure
is, nobody knows."""

_UNKNOWN = (
    "The connection broke while the server had the statement: whether it was done is not known. "
    "Look before you run it again, or write it so that doing it twice does no harm (INSERT ... ON "
    "CONFLICT DO NOTHING, UPDATE ... SET n = 5 instead of n = n + 1)."
)

_FOLLOWED = 2
"""How many times a statement is run again on another server, where one takes no writes."""

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
        self._hosts = Hosts(driver, options.target)
        self._options = options.pool
        self._asked = options.asked
        self._leaves_in_session = leaves
        self._known: Kept[str, Leaves] = Kept(_KEPT)
        self._begin = begin
        self._pool: Pool[Link] | None = None

    async def connect(self) -> None:
        """Open the first connections."""
        pool = self._new_pool()
        try:
            await pool.open()
        except Exception as error:
            raise adopted(self._driver, error) from error.__cause__
        self._pool = pool

    async def disconnect(self, grace: float) -> None:
        """Close all connections once the single statements under way are done."""
        if self._pool is not None:
            pool, self._pool = self._pool_now(), None
            # Whoever waits for this may be cancelled: the connections are closed all the same.
            await asyncio.shield(asyncio.ensure_future(self._close(pool)))

    async def _close(self, pool: Pool[Link]) -> None:
        await pool.close()
        await self._hosts.close()
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
        return NetworkConnection(
            slot, pool, self._driver, self._begin, self._leaves, self._hosts.is_deposed
        )

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
                self._take_back(pool, slot, error, sql)
                if self._is_undone(slot.link, error, statement, tries):
                    broke = slot.link.is_closed()
                    what = "connection broke before it was done" if broke else "server refused it"
                    repeats(f"its {what}", error)
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

    def _take_back(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, sql: str
    ) -> None:
        """Take the connection of a statement that failed back."""
        if slot.link.is_closed() or self._hosts.is_deposed(error):
            # The other connections are as old, and to the same server.
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
        if not isinstance(error, Exception):
            return False
        if self._hosts.is_deposed(error):
            # Another one may have taken its place. Of several statements in one text the first may
            # have been done.
            alone = statement.verb in _COMMITTED_AT_ONCE and ";" not in statement.sql
            return alone and tries < _FOLLOWED
        if not link.is_closed():
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
            # The one it was connected in has ended, and with it the connections.
            pool.terminate()
            pool = self._pool = self._new_pool()
        return pool

    def _new_pool(self) -> Pool[Link]:
        return Pool(self._hosts.connect, self._options, self._hosts.is_well)
