"""A backend that is watched: it does all that the backend does, and tells of each step.

It stands at the seam of ``backends/base`` in place of the backend while somebody subscribes to the
steps of the database, and only then. Hence what nobody watches costs nothing.
"""

from __future__ import annotations

import time
from typing import Any

from databases.exceptions import CommitUnknown
from databases.operations import Lease, Operation, apart
from databases.records import Result
from databases.statements import Bound
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.backends.base import Backend, BackendConnection, Cursor, Runner
    from databases.pending import CallSite
    from databases.statements import Batch, Dialect
    from databases.statistics import Statistics
    from databases.steps import Steps
    from databases.stopping import Stop

# Looking a member up takes a while.
_ROWS = Kind.ROWS


class _ObservedRunner:
    """Statements, on the backend itself or on one of its connections."""

    def __init__(self, runner: Runner, steps: Steps, lease: Lease | None = None) -> None:
        self._runner = runner
        self._steps = steps
        self._lease = lease

    def _query(self, site: CallSite, bound: Bound) -> Operation:
        return Operation(self._steps, _ROWS, site, bound, self._lease)

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows, decoded."""
        # The most frequent of all, hence without the two calls that a context manager takes.
        query = Operation(self._steps, _ROWS, site, bound, self._lease)
        query.begin()
        try:
            result = _decoded(await self._runner.fetch(bound, limit, site), query)
        except BaseException as error:
            query.end(error)
            raise
        query.end()
        return result

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        with self._query(site, bound):
            return await self._runner.execute(bound, site)

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        statement, rows = batches[0]
        with self._query(site, Bound(statement, rows[0])) as query:
            query.batch = sum(len(batch.rows) for batch in batches)
            await self._runner.execute_many(batches, site)


class ObservedBackend(_ObservedRunner):
    """A backend.

    Args:
        backend: it.
        steps: where to tell of each step.
    """

    def __init__(self, backend: Backend, steps: Steps) -> None:
        super().__init__(backend, steps)
        self._backend = backend
        self.dialect: Dialect = backend.dialect

    async def connect(self) -> None:
        """Make the database reachable: the engine tells of it, which knows the place."""
        await self._backend.connect()

    async def disconnect(self, stop: Stop) -> None:
        """Close everything: the engine tells of it, which knows the place."""
        await self._backend.disconnect(stop)

    def statistics(self) -> Statistics:
        """The live state."""
        return self._backend.statistics()

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> ObservedConnection:
        """Return a connection of the caller's own, as good as new."""
        steps = self._steps
        lease = steps.lease(site)
        with Operation(steps, Kind.ACQUIRE, site, None, lease, ("connected", "held")):
            connection = await self._backend.acquire(site, readonly=readonly)
        return ObservedConnection(connection, steps, lease)


class ObservedConnection(_ObservedRunner):
    """A connection that is held.

    Args:
        connection: it.
        steps: where to tell of each step.
        lease: what is known of its being held.
    """

    def __init__(self, connection: BackendConnection, steps: Steps, lease: Lease) -> None:
        super().__init__(connection, steps, lease)
        self._held = connection
        self._leased = lease

    @property
    def raw(self) -> Any:
        """The driver's own connection; what is done on it is not told."""
        return self._held.raw

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        with self._query(site, bound) as query:
            query.goes_on = True
            cursor = await self._held.open_cursor(bound, site, alone=alone)
        return _ObservedCursor(cursor, self._steps, query, bound)

    async def begin(self, options: Mapping[str, Any], site: CallSite, *, lazy: bool) -> None:
        """Begin a transaction."""
        self._leased.is_ground = lazy
        with self._control(Kind.BEGIN, site, "idle", "in transaction"):
            await self._held.begin(options, site, lazy=lazy)
        self._leased.transaction = site

    async def commit(self) -> None:
        """Commit."""
        try:
            with self._control(Kind.COMMIT, None, "in transaction", "committed"):
                await self._held.commit()
        except CommitUnknown:
            self._leased.transaction = None  # nothing is rolled back after it
            raise
        self._leased.transaction = None

    async def rollback(self) -> None:
        """Roll back; nothing happens where no transaction is open any more."""
        try:
            with self._control(Kind.ROLLBACK, None, "in transaction", "rolled back"):
                await self._held.rollback()
        finally:
            self._leased.transaction = None

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        with self._control(Kind.SAVEPOINT, None, "in transaction", "savepoint set"):
            await self._held.savepoint(name)

    async def release_savepoint(self, name: str) -> None:
        """Keep what happened since the savepoint."""
        with self._control(Kind.SAVEPOINT, None, "savepoint set", "savepoint kept"):
            await self._held.release_savepoint(name)

    async def rollback_to_savepoint(self, name: str) -> None:
        """Undo what happened since the savepoint, and remove it."""
        with self._control(Kind.ROLLBACK, None, "savepoint set", "rolled back to savepoint"):
            await self._held.rollback_to_savepoint(name)

    def release(self) -> None:
        """Give the connection back, rolled back and cleaned. Never waits or raises."""
        with apart():
            self._held.release()
            self._steps.released(self._leased)

    def _control(self, kind: Kind, site: CallSite | None, before: str, after: str) -> Operation:
        lease = self._leased
        site = site or lease.transaction or lease.site
        return Operation(self._steps, kind, site, None, lease, (before, after))


class _ObservedCursor:
    """A cursor: each piece of its rows is a step.

    Args:
        cursor: it.
        steps: where to tell of each step.
        opening: the operation that opened it.
        bound: its statement and the values.
    """

    def __init__(self, cursor: Cursor, steps: Steps, opening: Operation, bound: Bound) -> None:
        self._cursor = cursor
        self._bound = bound
        self._steps = steps
        self._opening = opening
        self._is_first = True

    async def fetch(self) -> Result:
        """Return the next rows, decoded; none at the end."""
        opening = self._opening
        with Operation(self._steps, _ROWS, opening.site, self._bound, opening.lease) as query:
            query.continues(opening)
            query.sent_at = query.runs_since = query.began
            if self._is_first:
                # What opening it took belongs to its first rows.
                self._is_first = False
                query.began, query.sent_number = opening.began, opening.sent_number
                query.sent_at, query.runs_since = opening.sent_at, opening.runs_since
            return _decoded(await self._cursor.fetch(), query)

    def close(self) -> None:
        """Free the cursor."""
        self._cursor.close()


def _decoded(result: Result, query: Operation) -> Result:
    """Make the records here, not where they are asked for next, to know how long that takes."""
    query.rows = len(result.rows)
    if result.finished:
        return result
    query.answered = time.perf_counter()
    try:
        return Result(result.shape, result.records(), True)
    except Exception:
        # A user's own code. It fails again where it would if nobody watched.
        return result
