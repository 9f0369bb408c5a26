"""A database that has replicas: reads go to them where that is asked for and safe.

It stands at the seam in place of the primary's backend, and has a backend of its own for each
server. What may go to a replica provably only reads, and sees what the same request has written.
Where no replica will do, everything is done by the primary.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, TypeVar

from databases.backends.replicas import Replicas
from databases.exceptions import ConnectionFailureError, DriverError, TransactionConflictError
from databases.operations import repeats
from databases.statistics import Statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from databases.backends.base import BackendConnection, Cursor
    from databases.backends.network import NetworkBackend
    from databases.backends.replicas import Replica
    from databases.pending import CallSite
    from databases.records import Result
    from databases.routing import Routing, Writes
    from databases.statements import Batch, Bound, Statement
    from databases.stopping import Stop

T = TypeVar("T")


class ReplicatedBackend:
    """A primary and its replicas.

    Args:
        primary: the backend of the primary.
        replicas: those of its replicas, by their names.
        max_lag: the most seconds that a replica may be behind to be read from.
        routing: what is asked for, and what the present request has written.
    """

    def __init__(
        self,
        primary: NetworkBackend,
        replicas: Mapping[str, NetworkBackend],
        max_lag: float,
        routing: Routing,
    ) -> None:
        self.primary = primary
        self.dialect = primary.dialect
        self._routing = routing
        for name, replica in replicas.items():
            replica.name = f"replica {name}"
        self._replicas = Replicas(primary, list(replicas.values()), max_lag)

    async def connect(self) -> None:
        """Connect to the primary; to the replicas only when somebody reads from them."""
        await self.primary.connect()
        for replica in self._replicas.all:
            replica.backend.connect_later()
        self._replicas.start()

    async def disconnect(self, stop: Stop) -> None:
        """Close everything once what is under way is done, or its time is over."""
        backends = [self.primary, *(replica.backend for replica in self._replicas.all)]
        # All at once, and whatever becomes of one of them.
        ended = await asyncio.gather(
            self._replicas.stop(),
            *(backend.disconnect(stop) for backend in backends),
            return_exceptions=True,
        )
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    def statistics(self) -> Statistics:
        """The connections to the primary, and to the replicas once they are read from."""
        parts = [self.primary.statistics()]
        if self._replicas.are_watched:
            parts += [replica.backend.statistics() for replica in self._replicas.all]
        return Statistics(
            parts[0].connected,
            sum(part.limit or 0 for part in parts) if parts[0].connected else None,
            tuple(each for part in parts for each in part.connections),
            tuple(each for part in parts for each in part.waiting),
        )

    def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Coroutine[Any, Any, Result]:
        """Run a single statement and return its rows."""
        return self._single(bound.statement, lambda backend: backend.fetch(bound, limit, site))

    def execute(self, bound: Bound, site: CallSite) -> Coroutine[Any, Any, Any]:
        """Run a single statement and return what ``execute()`` returns on this database."""
        return self._single(bound.statement, lambda backend: backend.execute(bound, site))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        writes = self._routing.writes()
        try:
            await self.primary.execute_many(batches, site)
        finally:
            writes.mark()

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> BackendConnection:
        """Return a connection of the caller's own, as good as new."""
        if readonly and self._routing.prefers_replica:
            replica = await self._choose()
            if replica is not None:
                try:
                    held = await replica.backend.acquire(site, readonly=True)
                except DriverError as error:
                    self.gives_way(replica, error)
                else:
                    return ReplicaConnection(held, replica, self, site)
        return await self.acquire_primary(site, readonly=readonly)

    async def acquire_primary(self, site: CallSite, *, readonly: bool) -> PrimaryConnection:
        """The same, to the primary."""
        held = await self.primary.acquire(site, readonly=readonly)
        return PrimaryConnection(held, self.primary, self._routing)

    def _single(
        self, statement: Statement, run: Callable[[NetworkBackend], Coroutine[Any, Any, T]]
    ) -> Coroutine[Any, Any, T]:
        if not self.primary.only_reads(statement.sql):
            return self._write(statement, run)
        if self._routing.prefers_replica:
            return self._read(statement, run)
        return run(self.primary)

    async def _write(
        self, statement: Statement, run: Callable[[NetworkBackend], Awaitable[T]]
    ) -> T:
        writes = self._routing.writes()
        if self.primary.makes_table(statement.sql):
            writes.leaves_table = True
        try:
            return await run(self.primary)
        finally:
            # At its end: a position that was asked for before does not cover it. It may have been
            # done whatever became of it.
            writes.mark()

    async def _read(self, statement: Statement, run: Callable[[NetworkBackend], Awaitable[T]]) -> T:
        replica = await self._choose()
        if replica is None:
            return await run(self.primary)
        try:
            return await run(replica.backend)
        except DriverError as error:
            if not self.gives_way(replica, error, statement.sql):
                raise
        if not self.primary.only_reads(statement.sql):
            return await self._write(statement, run)
        return await run(self.primary)

    async def _choose(self) -> Replica | None:
        """The replica to read from, which shows what the present request has written."""
        writes, replicas = self._routing.writes(), self._replicas
        if writes.leaves_table:
            return None
        count = writes.count
        if writes.known < count:
            position = await replicas.written()
            if position is None:
                return None
            writes.covered(count, position)
        return await replicas.choose(writes.position)

    def gives_way(self, replica: Replica, error: DriverError, sql: str | None = None) -> bool:
        """Whether the primary may be able to do what a replica could not."""
        if sql is not None and replica.backend.refuses_writes(error):
            # By way of a view or an operator: it is not one for replicas.
            self.primary.writes_after_all(sql)
        elif isinstance(error, ConnectionFailureError):
            self._replicas.fails(replica)
        elif not isinstance(error, TransactionConflictError) and not _is_full(error):
            # The primary would answer the same. (A conflict is what a replica has with the primary,
            # which removed what was being read: it is well.)
            return False
        repeats(f"{replica.backend.name} could not do it", error)
        return True

    def __repr__(self) -> str:
        return f"<ReplicatedBackend with {len(self._replicas.all)} replicas>"


def _is_full(error: BaseException) -> bool:
    """Whether a server has no more connections to give. Source: PostgreSQL's and MySQL's codes."""
    return getattr(error, "sqlstate", None) == "53300" or error.args[:1] == (1040,)


class PrimaryConnection:
    """A connection to the primary: what is written on it is noted when it is done.

    Args:
        held: it.
        primary: knows what only reads.
        routing: knows which request the present task belongs to.
    """

    def __init__(self, held: BackendConnection, primary: NetworkBackend, routing: Routing) -> None:
        self._held = held
        self._primary = primary
        self._routing = routing
        self._writes = routing.writes()
        # Of whoever wrote on it what is not committed yet.
        self._uncommitted: set[Writes] = set()
        self.begin = held.begin
        self.rollback = held.rollback
        self.savepoint = held.savepoint
        self.release_savepoint = held.release_savepoint
        self.rollback_to_savepoint = held.rollback_to_savepoint

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        self._uncommitted.add(self._writes)  # whatever is done with it
        return self._held.raw

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows."""
        return await self._noted(bound.statement, self._held.fetch(bound, limit, site))

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        return await self._noted(bound.statement, self._held.execute(bound, site))

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        await self._noted(batches[0].statement, self._held.execute_many(batches, site))

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        opening = self._held.open_cursor(bound, site, alone=alone)
        return await self._noted(bound.statement, opening)

    async def commit(self) -> None:
        """Commit."""
        try:
            await self._held.commit()
        finally:
            self._mark()

    def release(self) -> None:
        """Give the connection back."""
        self._held.release()
        self._mark()

    async def _noted(self, statement: Statement, work: Awaitable[T]) -> T:
        if self._primary.only_reads(statement.sql):
            return await work
        # By another task, it is seen by those who belong together with that one too.
        self._uncommitted |= {self._writes, self._routing.writes()}
        try:
            return await work
        finally:
            # Outside of a transaction it is committed already.
            self._mark(done=False)

    def _mark(self, *, done: bool = True) -> None:
        for writes in self._uncommitted:
            writes.mark()
        if done:
            self._uncommitted.clear()


class ReplicaConnection:
    """A connection to a replica, for a transaction that is read only or for one query.

    As long as nothing was read on it, one to the primary may take its place.

    Args:
        held: it.
        replica: what it leads to.
        backend: has the primary.
        site: where in the user's code it was asked for.
    """

    fetch: Callable[[Bound, int | None, CallSite], Coroutine[Any, Any, Result]]
    execute: Callable[[Bound, CallSite], Coroutine[Any, Any, Any]]

    def __init__(
        self, held: BackendConnection, replica: Replica, backend: ReplicatedBackend, site: CallSite
    ) -> None:
        self._replica: Replica | None = replica
        self._backend = backend
        self._site = site
        self._use(held)

    def _use(self, held: BackendConnection) -> None:
        self._held = held
        self.fetch = held.fetch
        self.execute = held.execute
        self.execute_many = held.execute_many

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self._held.raw

    async def begin(self, options: Mapping[str, Any], site: CallSite, *, lazy: bool) -> None:
        """Begin a transaction."""
        try:
            await self._held.begin(options, site, lazy=lazy)
        except DriverError as error:
            # Also where the primary can begin one that a standby cannot: isolation="serializable".
            replica = self._replica
            if replica is None:
                raise
            self._backend.gives_way(replica, error)
            await self._change()
            await self._held.begin(options, site, lazy=lazy)

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        replica, sql = self._replica, bound.statement.sql
        if replica is None or not alone:
            return await self._held.open_cursor(bound, site, alone=alone)

        async def on_primary() -> Cursor:
            await self._change()
            return await self._held.open_cursor(bound, site, alone=True)

        if not self._backend.primary.only_reads(sql):
            return await on_primary()
        gives_way = partial(self._backend.gives_way, replica, sql=sql)
        try:
            opened = await self._held.open_cursor(bound, site, alone=True)
        except DriverError as error:
            if not gives_way(error):
                raise
            return await on_primary()
        return ReplicaCursor(opened, gives_way, on_primary)

    # Methods, which whoever stands around it may keep: BEGIN may change what they are for.

    async def commit(self) -> None:
        """Commit."""
        await self._held.commit()

    async def rollback(self) -> None:
        """Roll back."""
        await self._held.rollback()

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._held.savepoint(name)

    async def release_savepoint(self, name: str) -> None:
        """Keep what happened since the savepoint."""
        await self._held.release_savepoint(name)

    async def rollback_to_savepoint(self, name: str) -> None:
        """Undo what happened since the savepoint, and remove it."""
        await self._held.rollback_to_savepoint(name)

    def release(self) -> None:
        """Give the connection back."""
        self._held.release()

    async def _change(self) -> None:
        """Go on with a connection to the primary."""
        held = await self._backend.acquire_primary(self._site, readonly=True)
        self._held.release()
        self._replica = None
        self._use(held)


class ReplicaCursor:
    """A cursor on a replica; as long as nothing was read, one on the primary may take its place.

    Args:
        cursor: it.
        gives_way: whether the primary may be able to do what the replica could not.
        on_primary: opens one there.
    """

    def __init__(
        self,
        cursor: Cursor,
        gives_way: Callable[[DriverError], bool],
        on_primary: Callable[[], Awaitable[Cursor]],
    ) -> None:
        self._cursor = cursor
        self._gives_way = gives_way
        self._on_primary = on_primary
        self._is_first = True

    async def fetch(self) -> Result:
        """Return the next rows; none at the end."""
        is_first, self._is_first = self._is_first, False
        try:
            return await self._cursor.fetch()
        except DriverError as error:
            if not is_first or not self._gives_way(error):
                raise
        self._cursor = await self._on_primary()
        return await self._cursor.fetch()

    def close(self) -> None:
        """Free the cursor."""
        self._cursor.close()
