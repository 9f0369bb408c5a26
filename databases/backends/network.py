"""A network database: single statements on any connection of the pool, and connections held.

What is the same for every driver: when a session has to be made as good as new, what happens when
a connection breaks, and what a user is told about it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, TypeVar

from databases import forking
from databases.backends import fates
from databases.backends.hosts import Hosts
from databases.backends.link import Role, adopted
from databases.backends.network_connection import NetworkConnection, was_stopped
from databases.backends.pool import Pool
from databases.backends.session import Leaves
from databases.exceptions import ConnectionFailureError, disconnected
from databases.operations import repeats, sent
from databases.statements import Told
from databases.statistics import Statistics
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from databases.backends.link import Driver, Link
    from databases.backends.pool_options import NetworkOptions
    from databases.backends.replication import Look, Sight
    from databases.backends.slot import Slot
    from databases.backends.transactions import Begin
    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch, Bound, Dialect, Statement
    from databases.stopping import Stop

T = TypeVar("T")

_COMMITTED_AT_ONCE = (Verb.READ, Verb.INSERT, Verb.WRITE)
"""Statements that are a transaction of their own, done as a whole or not at all: that a procedure
is, nobody knows."""

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
        only_reads: tells of an SQL text whether it provably does nothing but read.
        look: looks at what a server is among others that have the same data.
    """

    dialect: Dialect

    def __init__(
        self,
        driver: Driver,
        options: NetworkOptions,
        leaves: Callable[[str], Leaves],
        begin: Begin,
        only_reads: Callable[[str], bool],
        look: Look,
    ) -> None:
        self._driver = driver
        self._hosts = Hosts(driver, options.target)
        self._readonly = options.target.readonly
        self._options = options.pool
        self._asked = options.asked
        self._leaves = Told(leaves, _KEPT)
        self._reads = Told(only_reads, _KEPT)
        self._look = look
        self._begin = begin
        self.name = ""
        """What tells its connections from those of other servers, where there are several."""
        self._pool: Pool[Link] | None = None

    def _forked(self) -> object:
        """In a child process: the connections are those of the parent."""
        if self._pool is not None:
            self._pool.leave_alone(forking.Forked())
        return self

    async def connect(self) -> None:
        """Open the first connections."""
        forking.watch(self)
        pool = self._new_pool()
        try:
            await pool.open()
        except Exception as error:
            raise adopted(self._driver, error) from error.__cause__
        if self._pool is not None:
            # Its event loop ended while it was being closed.
            self._pool.terminate()
        self._pool = pool

    def connect_later(self) -> None:
        """Be connected, and open connections only for those who need one."""
        forking.watch(self)
        self._pool = self._new_pool()

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
        try:
            await pool.close(stop)
        finally:
            # An event loop that is about to end would not wait for what stops statements.
            await self._hosts.close()
            await self._driver.close()

    def _new_pool(self) -> Pool[Link]:
        hosts, is_full = self._hosts, self._driver.is_full
        return Pool(hosts.connect, self._options, is_full, hosts.is_well, self.name)

    async def open_link(self) -> Link:
        """A connection beside those of the pool, the caller's to close."""
        return await self._hosts.connect()

    async def look(self, link: Link, *, caught_up: bool) -> Sight:
        """What the server at the other end of a connection is: see ``replication.Look``."""
        return await self._look(link, caught_up=caught_up)

    def was_left_by_primary(self, seen: Sight) -> bool:
        """Whether a server was the primary that connections go to, and follows another one now."""
        # Of nodes that are all equal each may be read and written.
        return self._hosts.follow_primary and seen.is_replica and seen.node is None

    @property
    def busy(self) -> int:
        """How many connections are in use, and how many tasks wait for one."""
        return 0 if self._pool is None else self._pool.busy

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
            slot,
            pool,
            self._driver,
            self._begin,
            self._leaves.__getitem__,
            self.only_reads,
            self._readonly,
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
            if slot is None:
                raise adopted(self._driver, error) from error.__cause__
            self._cut_short(pool, slot, error, sql)
            undone = self._is_undone(slot.link, error, statement)
            if undone and tries < self._most_tries(slot.link):
                self._take_back(pool, slot, error, sql)
                broke = slot.link.is_closed()
                what = "connection broke before it was done" if broke else "server refused it"
                repeats(f"its {what}", error)
                return await self._single(statement, site, work, tries + 1)
            raise self._failed(pool, slot, error, sql, undone) from error.__cause__
        left = self._leaves[sql]
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

    def only_reads(self, sql: str) -> bool:
        """Whether a statement provably does nothing but read."""
        return self._reads[sql]

    def writes_after_all(self, sql: str) -> None:
        """A statement was proven only to read, and the server says that it writes."""
        self._reads[sql] = False

    def refuses_writes(self, error: BaseException) -> bool:
        """Whether a server says by an error that the statement writes, and that it takes none."""
        return self._driver.role_told(error) is Role.STANDBY

    def makes_table(self, sql: str) -> bool:
        """Whether a statement leaves a temporary table to those of the same task."""
        return self._leaves[sql] is Leaves.TEMPORARY_TABLE

    def _cut_short(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, sql: str
    ) -> None:
        """Say so where a statement failed because the database was disconnected."""
        if slot.lent or not isinstance(error, Exception):
            return
        # Whether it was sent a driver does not tell whose connection is closed meanwhile.
        kept = not self.only_reads(sql) and not was_stopped(error)
        raise pool.cut_short(maybe_kept=kept) from adopted(self._driver, error)

    def _most_tries(self, link: Link) -> int:
        """How many times a statement that was not done may be run again."""
        if not link.sent:
            # All connections of the pool may have been closed since they were used.
            return self._options.max_size + 1
        # Where the connection broke only once: an administrator may be about to stop it for good.
        return 1 if link.is_closed() else _FOLLOWED

    def _failed(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, sql: str, undone: bool
    ) -> BaseException:
        """Make the error of a statement ours as well, and take its connection back."""
        unknown = None if undone or self.only_reads(sql) else fates.UNKNOWN
        error = fates.told(
            self._driver, slot.link, error, unknown, fates.NOT_DONE, readonly=self._readonly
        )
        self._take_back(pool, slot, error, sql)
        return error

    def _take_back(
        self, pool: Pool[Link], slot: Slot[Link], error: BaseException, sql: str
    ) -> None:
        """Take the connection of a statement that failed back."""
        lost = slot.link.is_closed() or isinstance(error, ConnectionFailureError)
        if lost or self._hosts.is_deposed(error):
            # The other connections are as old, and to the same server.
            pool.drop(slot)
            pool.distrust()
        elif isinstance(error, Exception) and self._leaves[sql] is Leaves.NOTHING:
            pool.give_back(slot)
        else:
            # Cancelled, it may run on the server still.
            pool.give_back_used(slot)

    def _is_undone(self, link: Link, error: BaseException, statement: Statement) -> bool:
        """Whether a statement was provably not done: its server refused it, or was not reached."""
        if not isinstance(error, Exception):
            return False
        # Of several statements in one text the first may have been done.
        at_once = statement.verb in _COMMITTED_AT_ONCE and ";" not in statement.sql
        if self._hosts.is_deposed(error):
            return at_once
        if not link.is_closed():
            return False
        if not link.sent:
            return True
        if self.only_reads(statement.sql):
            # Whether it was done or not, nothing came of it.
            return True
        return at_once and self._driver.is_undone(error)

    def _pool_now(self) -> Pool[Link]:
        pool = self._pool
        if pool is None:
            raise disconnected()
        if pool.loop is not asyncio.get_running_loop():
            pool.home.check()
            # The one it was connected in has ended, and with it the connections.
            pool.terminate()
            pool = self._pool = self._new_pool()
        return pool
