"""How transactions begin: the methods that a Database and a Connection share."""

from __future__ import annotations

import sys
from typing import Any

from databases.pending import CallSite, Pending
from databases.retrying import seconds_of
from databases.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar, TypeVarTuple, Unpack

    from databases.transaction import Holder

    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")


class Transactional:
    """What transactions can be begun on."""

    __slots__ = ()

    _called: str
    """What users call the object, for messages."""

    def transaction(
        self,
        *,
        force_rollback: bool = False,
        retry: bool | float | None = None,
        **options: Any,
    ) -> Transaction:
        """Return a transaction; inside another one on the same connection it is a savepoint.

        Of a database it is on the connection of the task that enters it.

        Args:
            force_rollback: roll back at the end of the block, whatever happened.
            retry: as a decorator, call the function again where other transactions were in the way
                or the server went away before it had the COMMIT; see ``run_in_transaction``. True
                tries for 10 seconds, a number for as many.
            **options: the backend's. SQLite: ``readonly``, ``isolation="serializable"``.
                PostgreSQL: ``isolation``, ``readonly``, ``deferrable``; MySQL: the first two.

        Raises:
            UnknownOptionError: for a ``retry`` that is neither; and where it is entered as a block,
                which cannot be run again.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         await database.execute("CREATE TABLE a (x)")
            ...         async with database.transaction(force_rollback=True):
            ...             await database.execute("INSERT INTO a VALUES (1)")
            ...         @database.transaction(retry=True)
            ...         async def count():
            ...             return await database.fetch_val("SELECT count(*) FROM a")
            ...         return await count()
            >>> asyncio.run(main())
            0
        """
        site = CallSite.of(sys._getframe(1))
        return self._transaction(site, retry, force_rollback, options)

    def run_in_transaction(
        self,
        function: Callable[[Unpack[Ts]], Coroutine[Any, Any, T]],
        *arguments: *Ts,
        retry: bool | float | None = True,
        force_rollback: bool = False,
        **options: Any,
    ) -> Pending[T]:
        """Call a coroutine function in a transaction, and return what it returns.

        It is called again, in another transaction and after a short pause, where the database says
        that nothing was kept: other transactions were in the way, or the server went away before it
        had the COMMIT. So whatever else it does, such as sending an e-mail, may be done more than
        once. Inside another transaction it is called once, because only the whole can be run again;
        and so it is on a connection that has broken and is held by a block around it.

        Args:
            function: what is done. Its queries belong to the transaction.
            *arguments: what it is called with.
            retry: True tries for 10 seconds, a number for as many; False calls it once. An attempt
                that is under way is not cut short.
            force_rollback: roll back at the end, whatever happened.
            **options: as for ``transaction``.

        Raises:
            TransactionConflictError: where others were in the way until the time was over.
            ConnectionFailureError: where the server was away until then.
            CommitUnknown: where nobody knows whether it was kept; it is not called again.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         await database.execute("CREATE TABLE a (x)")
            ...         async def add(x):
            ...             await database.execute("INSERT INTO a VALUES (:x)", {"x": x})
            ...             return await database.fetch_val("SELECT count(*) FROM a")
            ...         return await database.run_in_transaction(add, 5)
            >>> asyncio.run(main())
            1
        """
        frame = sys._getframe(1)
        call = self._transaction(CallSite.of(frame), retry, force_rollback, options)(function)
        return Pending(f"{self._called}.run_in_transaction", frame, lambda _: call(*arguments))

    def _transaction(
        self, site: CallSite, retry: object, force_rollback: bool, options: dict[str, Any]
    ) -> Transaction:
        def find_connection() -> Holder:
            return self._connection(site)

        seconds = seconds_of(retry)
        return Transaction(find_connection, site, force_rollback, options, retry=seconds)

    def _connection(self, site: CallSite) -> Holder:
        """The connection that a transaction of the present task is on."""
        raise NotImplementedError
