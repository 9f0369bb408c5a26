"""The query methods that a Database and a Connection share."""

from __future__ import annotations

import functools
import sys
from typing import Any, TypeVar

from databases.exceptions import DatabaseError, explain
from databases.iteration import RecordIterator
from databases.pending import CallSite, Pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from contextlib import AbstractContextManager

    from databases.backends.base import Cursor, Runner
    from databases.compiler import Compiler
    from databases.engine import Engine
    from databases.records import Record
    from databases.routing import Preference, Routing
    from databases.statements import Bound, Query, Values


T = TypeVar("T")


class Queries:
    """The six query methods.

    Each returns at once a ``Pending``, to be awaited. ``query`` is SQL text with ``:name`` binds or
    a SQLAlchemy Core expression; ``values`` are the values of the binds by name, and for an
    ``insert()`` or ``update()`` expression those of the columns.

    ``timeout`` is the longest that the query may take in seconds, waiting for others included; a
    query that takes longer is stopped in the database. None sets no limit. For ``iterate()`` it
    limits each wait for rows.

    ``prefer="replica"`` has a query of a database that has replicas read from one of them, if it
    provably only reads and one is fresh enough: see ``Database.prefer``.

    Every method raises, when awaited:
        QueryTimeoutError: (a ``TimeoutError``) where it took longer than ``timeout``.
        NotConnectedError: before ``connect()`` and after ``disconnect()``.
        BindError: where the names in ``query`` and ``values`` do not fit together.
        DriverError: whatever the database answers; it is the driver's own class too.
    """

    __slots__ = ()

    _engine: Engine

    _called = "database"
    """What users call the object, for messages."""

    _routing: Routing | None = None
    """What knows where reads go, where there is more than one place for them."""

    def fetch_all(
        self,
        query: Query,
        values: Values | None = None,
        *,
        timeout: float | None = None,
        prefer: Preference | None = None,
    ) -> Pending[list[Record]]:
        """Run a query and return all its rows, as ``list[Record]``.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_all("SELECT :a AS n UNION SELECT 2", {"a": 1})
            >>> [row["n"] for row in asyncio.run(main())]
            [1, 2]
        """
        name = f"{self._called}.fetch_all"
        if self._routing is not None:
            self._routing.writes()
        run = self._fetch_all if prefer is None else self._preferred(prefer, self._fetch_all)
        return Pending(name, sys._getframe(1), run, query, values, timeout=timeout)

    def fetch_one(
        self,
        query: Query,
        values: Values | None = None,
        *,
        timeout: float | None = None,
        prefer: Preference | None = None,
    ) -> Pending[Record | None]:
        """Run a query and return its first row, or None where there is none.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_one("SELECT 1 AS number")
            >>> asyncio.run(main())["number"]
            1
        """
        name = f"{self._called}.fetch_one"
        if self._routing is not None:
            self._routing.writes()
        run = self._fetch_one if prefer is None else self._preferred(prefer, self._fetch_one)
        return Pending(name, sys._getframe(1), run, query, values, timeout=timeout)

    def fetch_val(
        self,
        query: Query,
        values: Values | None = None,
        column: Any = 0,
        *,
        timeout: float | None = None,
        prefer: Preference | None = None,
    ) -> Pending[Any]:
        """Run a query and return one value of its first row, or None where there is no row.

        Args:
            query: the query.
            values: its values.
            column: the column, by position (counted from 0), name or SQLAlchemy column.
            timeout: the longest that it may take, in seconds.
            prefer: "replica" to read from one, if it is fresh enough.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_val("SELECT count(*) FROM sqlite_schema")
            >>> asyncio.run(main())
            0
        """
        name = f"{self._called}.fetch_val"
        if self._routing is not None:
            self._routing.writes()
        run = self._fetch_val if prefer is None else self._preferred(prefer, self._fetch_val)
        return Pending(name, sys._getframe(1), run, query, values, column, timeout=timeout)

    def execute(
        self, query: Query, values: Values | None = None, *, timeout: float | None = None
    ) -> Pending[Any]:
        """Run a statement and return what it made or changed.

        Returns:
            On SQLite and MySQL the last inserted id of an INSERT, else the number of rows
            changed. On PostgreSQL the first column of the first row, None where there is none.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
            ...         return await database.execute(
            ...             "INSERT INTO users (name) VALUES (:name)", {"name": "Ada"}
            ...         )
            >>> asyncio.run(main())
            1
        """
        name = f"{self._called}.execute"
        if self._routing is not None:
            self._routing.writes()
        return Pending(name, sys._getframe(1), self._execute, query, values, timeout=timeout)

    def execute_many(
        self, query: Query, values: Iterable[Values], *, timeout: float | None = None
    ) -> Pending[None]:
        """Run a statement once for each of many sets of values: all of them, or none.

        Args:
            query: the statement.
            values: a list of dicts, one for each time that it is run.
            timeout: the longest that all of it may take, in seconds.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
            ...         await database.execute_many(
            ...             "INSERT INTO users (name) VALUES (:name)",
            ...             [{"name": "Ada"}, {"name": "Grace"}],
            ...         )
            ...         return await database.fetch_val("SELECT count(*) FROM users")
            >>> asyncio.run(main())
            2
        """
        name = f"{self._called}.execute_many"
        if self._routing is not None:
            self._routing.writes()
        return Pending(name, sys._getframe(1), self._execute_many, query, values, timeout=timeout)

    def iterate(
        self,
        query: Query,
        values: Values | None = None,
        *,
        timeout: float | None = None,
        prefer: Preference | None = None,
    ) -> RecordIterator:
        """Run a query and iterate over its rows with ``async for``, a bounded number in memory.

        Other queries may run inside the loop. Leaving the loop early frees the connection.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return [row["n"] async for row in database.iterate("SELECT 1 AS n")]
            >>> asyncio.run(main())
            [1]
        """
        method = f"{self._called}.iterate"
        block = None if prefer is None else self._preferring(prefer)
        return RecordIterator(self, method, sys._getframe(1), query, values, timeout, block)

    def _preferred(
        self, prefer: Preference, function: Callable[..., Coroutine[Any, Any, T]]
    ) -> Callable[..., Coroutine[Any, Any, T]]:
        block = self._preferring(prefer)
        return function if self._routing is None else functools.partial(_within, block, function)

    # What a Database and a Connection each do their own way.

    def _preferring(self, prefer: Preference) -> AbstractContextManager[None]:
        """A block in which reads go where they are preferred to."""
        raise NotImplementedError

    def _runner(self, method: str, site: CallSite) -> tuple[Runner, Compiler]:
        """Where statements run, and what compiles them."""
        raise NotImplementedError

    async def _open_cursor(
        self, bound: Bound, method: str, site: CallSite
    ) -> tuple[Cursor, Callable[[], None]]:
        """Open a cursor; also return what frees its connection, if that was acquired for it."""
        raise NotImplementedError

    def _dropped(self, pending: Pending[Any]) -> None:
        """One of the methods was called, and what it returned never awaited."""
        self._engine.dropped(pending)

    # The work behind the methods, run when a Pending is awaited.

    async def _fetch_all(self, site: CallSite, query: Query, values: Values | None) -> list[Record]:
        runner, compiler = self._runner("fetch_all", site)
        try:
            bound = compiler.bind(query, values)
            result = await runner.fetch(bound, None, site)
        except DatabaseError as error:
            explain(error, site, query)
            raise
        return result.records()

    async def _fetch_one(
        self, site: CallSite, query: Query, values: Values | None
    ) -> Record | None:
        runner, compiler = self._runner("fetch_one", site)
        try:
            bound = compiler.bind(query, values)
            result = await runner.fetch(bound, 1, site)
        except DatabaseError as error:
            explain(error, site, query)
            raise
        records = result.records()
        return records[0] if records else None

    async def _fetch_val(
        self, site: CallSite, query: Query, values: Values | None, column: Any
    ) -> Any:
        row = await self._fetch_one(site, query, values)
        return None if row is None else row[column]

    async def _execute(self, site: CallSite, query: Query, values: Values | None) -> Any:
        runner, compiler = self._runner("execute", site)
        try:
            return await runner.execute(compiler.bind(query, values), site)
        except DatabaseError as error:
            explain(error, site, query)
            raise

    async def _execute_many(self, site: CallSite, query: Query, values: Iterable[Values]) -> None:
        runner, compiler = self._runner("execute_many", site)
        try:
            batches = compiler.bind_many(query, values)
            if batches:
                await runner.execute_many(batches, site)
        except DatabaseError as error:
            explain(error, site, query)
            raise


async def _within(
    block: AbstractContextManager[None],
    function: Callable[..., Coroutine[Any, Any, T]],
    site: CallSite,
    *arguments: Any,
) -> T:
    """Run the work of a method within a block."""
    with block:
        return await function(site, *arguments)
