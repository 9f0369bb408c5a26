"""Transaction: a block of statements that is kept as a whole or not at all."""

from __future__ import annotations

import contextvars
import functools
import sys
from typing import Any, TypeVar

from databases.exceptions import (
    CommitUnknown,
    DriverError,
    TransactionConflictError,
    TransactionStateError,
    WaitTimeoutError,
    explain,
)
from databases.holding import Holding
from databases.pending import Pending
from databases.retrying import refused, retried

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType
    from typing import ParamSpec, Protocol

    from databases.backends.base import BackendConnection
    from databases.pending import CallSite

    P = ParamSpec("P")

    class Holder(Protocol):
        """What a transaction asks of its connection."""

        transactions: TransactionStack

        @property
        def is_acquired(self) -> bool: ...

        async def enter(self, *, readonly: bool = False) -> object: ...

        async def __aexit__(self) -> None: ...

        def held(self, method: str, site: CallSite) -> BackendConnection: ...

        def runs_again(self, site: CallSite, why: str, error: BaseException) -> None: ...


T = TypeVar("T")

_WAIT = 30.0
"""Seconds that a task waits for another's transaction on a connection that they share."""

_CUT_SHORT = "at its end, but its COMMIT was cut short: it may be kept, or not"
"""The state of a transaction of which nobody knows."""

_started_here: contextvars.ContextVar[Transaction | None] = contextvars.ContextVar(
    "databases.transaction", default=None
)
"""The innermost transaction that this task, or one that it was started from, has begun."""


class Transaction:
    """A transaction, or inside another one on the same connection a savepoint.

    Made by ``database.transaction()`` and ``connection.transaction()``; used in one of three ways::

        async with database.transaction():            # commits, or rolls back on an error
            ...

        @database.transaction()                       # the same around each call
        async def create_users(...): ...

        transaction = await database.transaction()    # by hand
        await transaction.commit()                    # or rollback()

    Args:
        connection: finds the connection when the transaction starts.
        site: where it was made.
        force_rollback: roll back at the end of the block, whatever happened.
        options: the backend's options, such as ``isolation`` and ``readonly``.
        ground: whether every other transaction of the connection lies inside this one.
        retry: the seconds for which a decorated function is run again; 0 for never.
    """

    def __init__(
        self,
        connection: Callable[[], Holder],
        site: CallSite,
        force_rollback: bool,
        options: dict[str, Any],
        *,
        ground: bool = False,
        retry: float = 0.0,
    ) -> None:
        self._find_connection = connection
        self.site = site
        self._force_rollback = force_rollback
        self._options = options
        self._ground = ground
        self._retry = retry
        self._connection: Holder | None = None
        self._state = "not started"
        self._savepoint: str | None = None
        self._outer: Transaction | None = None
        self.holding: Holding | None = None
        """Who started it, from then on."""

    @property
    def is_active(self) -> bool:
        """Whether it has started and not ended."""
        return self._state == "active"

    def start(self) -> Pending[Transaction]:
        """Begin the transaction and return it.

        Raises:
            TransactionStateError: where it has been started before.
            WaitTimeoutError: where another task kept its own transaction open too long.
            DriverError: where the database refuses; the connection is free again then.
        """
        return Pending("transaction.start", sys._getframe(1), self._start)

    def commit(self) -> Pending[None]:
        """Keep what was done. Where this fails, all of it is rolled back and the connection freed.

        Raises:
            TransactionStateError: where it is not active, or one inside it still is.
            DriverError: where the database refuses, as for a deferred constraint.
            CommitUnknown: where the connection broke before the database had answered.
        """
        return Pending("transaction.commit", sys._getframe(1), self._commit)

    def rollback(self) -> Pending[None]:
        """Undo what was done, in transactions inside this one too.

        Raises:
            TransactionStateError: where it is not active.
        """
        return Pending("transaction.rollback", sys._getframe(1), self._rollback)

    def __await__(self) -> Generator[Any, Any, Transaction]:
        return self._start(self.site).__await__()

    async def __aenter__(self) -> Transaction:
        return await self._start(self.site)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None or self._force_rollback:
            # What was ended by hand inside the block is left as it was ended.
            if self.is_active:
                await self._rollback(self.site)
            return
        try:
            await self._commit(self.site)
        except BaseException:
            if self.is_active:
                await self._rollback(self.site)
            raise

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function: each call of it runs in a transaction of its own.

        Made with ``retry``, the function is called again where others were in the way.
        """

        @functools.wraps(function)
        async def in_transaction(*args: P.args, **kwargs: P.kwargs) -> T:
            if self._retry:
                call = functools.partial(function, *args, **kwargs)
                return await retried(self._retry, self._another, call)
            async with self._another():
                return await function(*args, **kwargs)

        return in_transaction

    def _another(self) -> Transaction:
        """One like it: a call can be under way while another begins, and each needs its own."""
        return Transaction(self._find_connection, self.site, self._force_rollback, self._options)

    def can_run_again(self, error: BaseException) -> bool:
        """Whether it would help to run its block again, after an error of which nothing was kept.

        It would not inside another transaction, which has failed as a whole, nor on a connection
        that broke and is held still by a block around it.
        """
        if self._savepoint is not None:
            return False
        conflict = isinstance(error, TransactionConflictError)
        return conflict or not self._find_connection().is_acquired

    def runs_again(self, why: str, error: BaseException) -> None:
        """Tell those who watch that its block is run again, in another transaction."""
        self._find_connection().runs_again(self.site, why, error)

    def __repr__(self) -> str:
        kind = f"savepoint {self._savepoint}" if self._savepoint else "transaction"
        return f"<Transaction ({kind}) {self._state}, made at {self.site}>"

    async def _start(self, site: CallSite) -> Transaction:
        if self._state != "not started":
            raise TransactionStateError(
                f"This transaction is {self._state} and cannot be started again:\n  {site}\n"
                "Make a new one with database.transaction()."
            )
        if self._retry:
            raise refused(self.site)
        connection = self._find_connection()
        try:
            await connection.enter(readonly=bool(self._options.get("readonly")))
        except DriverError as error:
            explain(error, self.site)
            raise
        try:
            stack = connection.transactions
            self.holding = Holding(self.site)
            await stack.wait_for_others(self)
            held = connection.held("transaction", site)
            if stack.open:
                stack.count += 1
                self._savepoint = f"databases_{stack.count}"
                stack.open.append(self)
                await held.savepoint(self._savepoint)
            else:
                stack.open.append(self)
                await held.begin(self._options, self.site, lazy=self._ground)
        except BaseException as error:
            connection.transactions.remove(self)
            await connection.__aexit__()
            if isinstance(error, DriverError):
                explain(error, self.site, "BEGIN")
            raise
        self._connection = connection
        self._state = "active"
        self.holding.started()
        outer = _started_here.get()
        while outer is not None and not outer.is_active:
            outer = outer._outer
        self._outer = outer
        _started_here.set(self)
        return self

    async def _commit(self, site: CallSite) -> None:
        connection = self._active("commit", site)
        inner = connection.transactions.inside(self)
        if inner:
            raise TransactionStateError(
                "A transaction inside this one is still open, end that first.\n"
                f"  commit:  {site}\n  still open, made at:  {inner[-1].site}"
            )
        held = connection.held("commit", site)
        try:
            if self._savepoint:
                await held.release_savepoint(self._savepoint)
            else:
                await held.commit()
        except CommitUnknown as error:
            # A ROLLBACK would undo nothing, and tell who watches that it had.
            await self._end(connection, _CUT_SHORT)
            explain(error, site, "COMMIT")
            raise
        except BaseException as error:
            cut_short = not isinstance(error, Exception) and self._savepoint is None
            await self._rollback(site, _CUT_SHORT if cut_short else "rolled back")
            if isinstance(error, DriverError):
                explain(error, site, "COMMIT")
            raise
        await self._end(connection, "committed")

    async def _rollback(self, site: CallSite, state: str = "rolled back") -> None:
        connection = self._active("rollback", site)
        for inner in connection.transactions.inside(self):
            inner._state = f"rolled back with the one around it, at {site}"
        try:
            held = connection.held("rollback", site)
            if self._savepoint:
                await held.rollback_to_savepoint(self._savepoint)
            else:
                await held.rollback()
        finally:
            await self._end(connection, state)

    def _active(self, what: str, site: CallSite) -> Holder:
        if self._connection is None or not self.is_active:
            raise TransactionStateError(
                f"{what}: this transaction is {self._state}.\n  {site}\n  made at {self.site}"
                + (
                    ""
                    if self._connection
                    else "\nWrite: transaction = await database.transaction()"
                )
            )
        return self._connection

    async def _end(self, connection: Holder, state: str) -> None:
        self._state = state
        if _started_here.get() is self:
            _started_here.set(self._outer)
        # Transactions inside it end with it, and their holds on the connection too.
        for _ in connection.transactions.remove(self):
            await connection.__aexit__()

    def includes_this_task(self) -> bool:
        """Whether the running task, or one that it was started from, began this transaction."""
        started: Transaction | None = _started_here.get()
        while started is not None:
            if started is self:
                return True
            started = started._outer
        return False


class TransactionStack:
    """The transactions that are open on one connection, each inside the one before it."""

    def __init__(self) -> None:
        self.open: list[Transaction] = []
        self.count = 0
        self._waiting: list[asyncio.Future[None]] = []

    def inside(self, transaction: Transaction) -> list[Transaction]:
        """The open transactions that were begun inside this one."""
        return self.open[self.open.index(transaction) + 1 :]

    def remove(self, transaction: Transaction) -> list[Transaction]:
        """Take a transaction and those inside it off the stack, and return them."""
        if transaction not in self.open:
            return []
        position = self.open.index(transaction)
        removed = self.open[position:]
        del self.open[position:]
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return removed

    async def wait_for_others(self, transaction: Transaction) -> None:
        """Wait while the innermost transaction belongs to an unrelated task.

        Tasks share a connection under ``force_rollback``, or by handing it over. Savepoints lie
        one inside the other, so those of unrelated tasks must not overlap. Transactions that a
        task begins inside its own, or inside that of the task it was started from, nest; so do
        those inside one that keeps nothing in any case (the frame around a test), or whose task
        has ended without ending it (an async fixture).
        """
        if self._in_the_way() is None:
            return
        import asyncio

        try:
            async with asyncio.timeout(_WAIT):
                while (other := self._in_the_way()) is not None:
                    future = asyncio.get_running_loop().create_future()
                    self._waiting.append(future)
                    await future
        except TimeoutError:
            raise WaitTimeoutError(
                f"Waited {_WAIT:g} s for another task's transaction on the same connection, at\n"
                f"  {transaction.site}\nIt is held by {other.holding if other else 'nobody'}"
            ) from None

    def _in_the_way(self) -> Transaction | None:
        if not self.open:
            return None
        import asyncio

        innermost = self.open[-1]
        task = None if innermost.holding is None else innermost.holding.task
        if (
            innermost._force_rollback
            or task is None
            or task is asyncio.current_task()
            or task.done()
            or innermost.includes_this_task()
        ):
            return None
        return innermost
