"""One connection of the pool, held by one user of the core for longer than a statement."""

from __future__ import annotations

import asyncio
import re
import weakref
from functools import partial
from typing import Any, TypeVar

from databases.backends import fates
from databases.backends.link import adopted
from databases.backends.session import Leaves
from databases.exceptions import (
    ConnectionFailureError,
    DriverError,
    NotConnectedError,
    StateError,
    TransactionStateError,
    given_back,
)
from databases.operations import running_loop, sent
from databases.verbs import Verb, verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from databases.backends.base import Cursor
    from databases.backends.link import Driver, Link, NetworkCursor
    from databases.backends.pool import Pool
    from databases.backends.slot import Slot
    from databases.backends.transactions import Begin
    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch, Bound

T = TypeVar("T")

_UNDOING = 30.0
_UNDOING_SOON = 0.5
"""Seconds that undoing may take, and where something was cut short. After them the connection is
closed, by which the server undoes it too, whenever it hears of it."""

_STOPPED = "57014"
"""The SQLSTATE of PostgreSQL's for a statement that it was asked to stop."""

_MANY = "databases_batches"

_BLANK = r"(?:\s++|--[^\n]*+|\#[^\n]*+|/\*.*?\*/)*+"
_ENDS = re.compile(
    rf"{_BLANK}(?:COMMIT|END|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:WORK\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)
"""What ends a transaction where it is executed as SQL."""

_COMMITS_LATER = re.compile(rf";{_BLANK}COMMIT\b", re.IGNORECASE | re.DOTALL)
"""The same behind another statement of one text. (END is in the body of functions as well.)"""


class NetworkConnection:
    """A connection acquired from the pool.

    Args:
        slot: the connection.
        pool: where it goes back to.
        driver: knows the errors.
        begin: the statements that begin a transaction with the given options.
        leaves: tells of an SQL text what it may leave in the session.
        only_reads: tells of one whether it provably does nothing but read.
        readonly: whether its server is meant to take no writes.
    """

    def __init__(
        self,
        slot: Slot[Link],
        pool: Pool[Link],
        driver: Driver,
        begin: Begin,
        leaves: Callable[[str], Leaves],
        only_reads: Callable[[str], bool],
        readonly: bool,
    ) -> None:
        self._slot = slot
        self._pool = pool
        self._driver = driver
        self._begin_sql = begin
        self._leaves = leaves
        self._only_reads = only_reads
        self._as_new = True
        self._loop = asyncio.get_running_loop()
        # Tasks that share a connection take turns, statement by statement.
        self._turn = asyncio.Lock()
        self._beyond_reset = False
        # A BEGIN, COMMIT or ROLLBACK was cut short: a transaction may be open that nobody wants.
        self._doubtful = False
        # A statement was cut short, and may run on the server still.
        self._cut_short = False
        self._begun = self._ended_as_sql = self._ended_by_itself = self._released = False
        self._readonly = self._always_readonly = readonly
        self._cursors: weakref.WeakSet[HeldCursor] = weakref.WeakSet()

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        # No reset knows what may be done with it: listeners, codecs.
        self._beyond_reset = True
        return self._slot.link.raw

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows."""
        return await self._user_runs(bound.statement.sql, lambda link: link.fetch(bound, limit))

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        return await self._user_runs(bound.statement.sql, lambda link: link.execute(bound))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""

        async def all_of_them(link: Link) -> None:
            if len(batches) == 1:
                await link.execute_many(batches[0])
                return
            inside = link.in_transaction()
            await link.run(f"SAVEPOINT {_MANY}" if inside else "BEGIN")
            try:
                for batch in batches:
                    await link.execute_many(batch)
                await link.run(f"RELEASE SAVEPOINT {_MANY}" if inside else "COMMIT")
            except BaseException as error:
                if not inside:
                    self._doubtful = True
                elif isinstance(error, Exception) and link.in_transaction():
                    await link.run(f"ROLLBACK TO SAVEPOINT {_MANY}")
                raise

        await self._user_runs(batches[0].statement.sql, all_of_them)

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        sql = bound.statement.sql
        opened = await self._user_runs(sql, lambda link: link.open_cursor(bound, alone=alone))
        fetch = partial(self._run, sql, lambda _: opened.fetch())
        cursor = HeldCursor(opened, fetch, self._left_open)
        self._cursors.add(cursor)
        return cursor

    def _left_open(self) -> None:
        """A cursor was given up before its end: the session has something of it still."""
        self._as_new = False

    async def begin(self, options: Mapping[str, Any], site: CallSite, *, lazy: bool) -> None:
        """Begin a transaction."""
        self._readonly = self._always_readonly or bool(options.get("readonly"))
        for sql in self._begin_sql(options):
            await self._control(sql)
        self._begun, self._ended_as_sql, self._ended_by_itself = True, False, False

    async def commit(self) -> None:
        """Commit.

        Raises:
            TransactionStateError: where the server rolled back, because a statement had failed.
            CommitUnknown: where the connection broke before the server had answered.
        """
        self._check()
        self._begun = False
        answer = await self._control("COMMIT")
        if answer == "ROLLBACK":
            raise TransactionStateError(
                "The server answered COMMIT with ROLLBACK: a statement of the transaction had "
                "failed, so nothing of it was kept. To go on after a statement that may fail, put "
                "it into a transaction of its own inside:\n"
                "  async with database.transaction():\n"
                "      try:\n"
                "          async with database.transaction():  # a savepoint\n"
                "              await database.execute(...)\n"
                "      except IntegrityError: ..."
            )

    async def rollback(self) -> None:
        """Roll back, if one is open still; where the connection breaks the server does."""
        self._begun = False
        link = self._slot.link
        if self._slot.lent and link.in_transaction() and not link.is_closed():
            await self._undo(lambda: self._control("ROLLBACK"))

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._run_plain(f"SAVEPOINT {name}")

    async def release_savepoint(self, name: str) -> None:
        """Keep what happened since the savepoint."""
        await self._run_plain(f"RELEASE SAVEPOINT {name}")

    async def rollback_to_savepoint(self, name: str) -> None:
        """Undo what happened since the savepoint, and remove it."""
        link = self._slot.link
        if not self._slot.lent or link.is_closed() or not link.in_transaction():
            return
        await self._undo(lambda: self._rollback_to(name))

    async def _rollback_to(self, name: str) -> None:
        try:
            await self._run_plain(f"ROLLBACK TO SAVEPOINT {name}")
            await self._run_plain(f"RELEASE SAVEPOINT {name}")
        except TransactionStateError:
            pass  # the server rolled back the whole, and says so to what goes on in it
        except DriverError:
            # Its RELEASE was cut short, and done all the same: only the whole can be undone.
            self._ended_as_sql = True
            await self._control("ROLLBACK")

    async def _undo(self, undo: Callable[[], Awaitable[object]]) -> None:
        """Undo, within bounds; where the connection breaks, the server does it."""
        link, task = self._slot.link, asyncio.current_task()
        # The time for it is up already, or the network may be down.
        hurried = self._cut_short or (task is not None and task.cancelling())
        try:
            async with asyncio.timeout(_UNDOING_SOON if hurried else _UNDOING):
                await undo()
            self._cut_short = False
        except TimeoutError:
            link.terminate()
        except NotConnectedError:
            pass  # it was taken away meanwhile, and closed
        except DriverError:
            if not link.is_closed():
                raise

    def release(self) -> None:
        """Give the connection back; what is open on it is rolled back first."""
        for cursor in list(self._cursors):
            cursor.give_up()
        if not self._slot.lent:
            return  # it was taken away
        if self._loop is running_loop():
            self._release()
        # The garbage collector, in another thread or after the event loop has ended.
        elif self._loop.is_closed():
            self._slot.link.terminate()
        else:
            self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._released = True
        if self._slot.link.is_closed():
            self._pool.drop(self._slot)
            self._pool.distrust()
        # In its turn somebody runs a statement still: a task that nobody has waited for.
        elif self._beyond_reset or self._turn.locked():
            self._pool.drop(self._slot)
        elif self._as_new and not self._doubtful and not self._slot.link.in_transaction():
            self._pool.give_back(self._slot)
        else:
            self._pool.give_back_used(self._slot)

    async def _user_runs(self, sql: str, work: Callable[[Link], Awaitable[T]]) -> T:
        self._check()
        if self._begun and _ENDS.match(sql):
            self._ended_as_sql = True
        left = self._leaves(sql)
        if left is not Leaves.NOTHING:
            self._as_new = False
            self._beyond_reset |= left is Leaves.MORE
        return await self._run(sql, work, of_user=True)

    def _check(self) -> None:
        """Refuse to go on in a transaction that is open no longer: each statement would be kept."""
        self._check_held()
        link = self._slot.link
        if not self._begun:
            return
        # Once it was, neither another one (COMMIT AND CHAIN) nor a broken connection may look like
        # something of which nothing was kept.
        if not self._ended_as_sql:
            if link.in_transaction() or link.is_closed():
                return
            if link.commits_by_itself:
                self._ended_by_itself = True
                return
        raise TransactionStateError(
            "The transaction is open no longer: a COMMIT or ROLLBACK was executed as SQL (leave "
            "that to the transaction), or a part of it was cut short and could not be undone alone."
        )

    def _check_held(self) -> None:
        """Refuse to go on once it was given back or taken away, or in another event loop."""
        if self._released:
            raise given_back()
        if not self._slot.lent:
            raise self._pool.disconnected()
        if self._loop is not asyncio.get_running_loop():
            self._pool.home.check()

    async def _run_plain(self, sql: str) -> str | None:
        return await self._run(sql, lambda link: link.run(sql))

    async def _control(self, sql: str) -> str | None:
        """Run what begins or ends a transaction; cut short, its effect is not known."""
        try:
            return await self._run_plain(sql)
        except BaseException:
            self._doubtful = True
            raise

    async def _run(
        self, sql: str, work: Callable[[Link], Awaitable[T]], *, of_user: bool = False
    ) -> T:
        link, holding = self._slot.link, self._slot.holding
        async with self._turn:
            self._check_held()
            if holding is not None:
                holding.runs(sql)
            sent(self._slot.name)
            try:
                if self._doubtful:
                    await self._settle(link, sql)
                return await work(link)
            except BaseException as error:
                if isinstance(error, Exception) and not self._slot.lent:
                    kept = self._unknown(sql, of_user) is not None and not was_stopped(error)
                    cut_short = self._pool.cut_short(maybe_kept=kept)
                    raise cut_short from adopted(self._driver, error)
                if not isinstance(error, Exception):
                    self._as_new, self._cut_short = False, True
                raise self._failed(error, sql, of_user) from error.__cause__
            finally:
                if holding is not None:
                    holding.running_since = None

    def _failed(self, error: BaseException, sql: str, of_user: bool) -> BaseException:
        """Make the error of a statement ours as well, with what became of it."""
        link, readonly = self._slot.link, self._readonly
        unknown = self._unknown(sql, of_user)
        broken = fates.CLOSED if self._cut_short else fates.BROKEN
        error = fates.told(self._driver, link, error, unknown, broken, readonly=readonly)
        if isinstance(error, ConnectionFailureError):
            # Its server is away, or takes no writes any more. The others are to the same one.
            self._beyond_reset = True
            self._pool.distrust()
        return error

    def _unknown(self, sql: str, of_user: bool) -> str | None:
        """What to say where nobody knows what became of a statement; None where nothing did."""
        if sql == "COMMIT":
            return fates.UNKNOWN_COMMIT
        return fates.UNKNOWN if of_user and self._keeps(sql) else None

    def _keeps(self, sql: str) -> bool:
        """Whether the server keeps what a statement does at once, not with a later COMMIT."""
        if self._begun and not self._ended_as_sql and not self._ended_by_itself:
            if self._slot.link.commits_by_itself:
                # MySQL commits at a CREATE TABLE and its like.
                return verb_of(sql) is Verb.OTHER or ";" in sql
            return _COMMITS_LATER.search(sql) is not None
        return not self._only_reads(sql)

    async def _settle(self, link: Link, sql: str) -> None:
        await link.settle()
        if link.in_transaction() and sql != "ROLLBACK":
            await link.run("ROLLBACK")
        self._doubtful = False


def was_stopped(error: BaseException) -> bool:
    """Whether the server gave a statement up because it was asked to: nothing of it is kept."""
    return getattr(error, "sqlstate", None) == _STOPPED


class HeldCursor:
    """A cursor that takes turns with the other statements of its connection.

    Args:
        cursor: the driver's.
        fetch: has it fetch in its turn.
        left_open: called where it is given up before its end.
    """

    def __init__(
        self,
        cursor: NetworkCursor,
        fetch: Callable[[], Awaitable[Result]],
        left_open: Callable[[], None],
    ) -> None:
        self._cursor = cursor
        self._fetch = fetch
        self._left_open = left_open
        self._given_up = False

    async def fetch(self) -> Result:
        """Return the next rows; none at the end.

        Raises:
            StateError: where its connection was given back meanwhile.
        """
        if self._given_up:
            raise StateError(
                "The connection of this iteration was given back before its end: read the rows "
                "inside the `async with` block of the connection or transaction."
            )
        return await self._fetch()

    def give_up(self) -> None:
        """Free the cursor although not all of its rows were read."""
        self._given_up = True
        self.close()

    def close(self) -> None:
        """Free the cursor."""
        if self._cursor.is_open:
            self._left_open()
        self._cursor.close()
