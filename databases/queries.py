"""The query methods that a Database and a Connection share, and the iterator over a result."""

from __future__ import annotations

import sys
from typing import Any

from databases.exceptions import DatabaseError, ForgottenAwaitError, explain
from databases.pending import CallSite, Pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

    from databases.backends.base import Cursor, Runner
    from databases.compiler import Compiler
    from databases.records import Record, Shape
    from databases.statements import Bound, Query, Values


class Queries:
    """The six query methods.

    Each returns at once a ``Pending``, to be awaited. ``query`` is SQL text with ``:name`` binds or
    a SQLAlchemy Core expression; ``values`` are the values of the binds by name, and for an
    ``insert()`` or ``update()`` expression those of the columns.

    Every method raises, when awaited:
        NotConnectedError: before ``connect()`` and after ``disconnect()``.
        BindError: where the names in ``query`` and ``values`` do not fit together.
        DriverError: whatever the database answers; it is the driver's own class too.
    """

    __slots__ = ()

    _called = "database"
    """What users call the object, for messages."""

    def fetch_all(self, query: Query, values: Values | None = None) -> Pending[list[Record]]:
        """Run a query and return all its rows, as ``list[Record]``.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_all("SELECT :a AS n UNION SELECT 2", {"a": 1})
            >>> [row["n"] for row in asyncio.run(main())]
            [1, 2]
        """
        return Pending(
            f"{self._called}.fetch_all", sys._getframe(1), self._fetch_all, query, values
        )

    def fetch_one(self, query: Query, values: Values | None = None) -> Pending[Record | None]:
        """Run a query and return its first row, or None where there is none.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_one("SELECT 1 AS number")
            >>> asyncio.run(main())["number"]
            1
        """
        return Pending(
            f"{self._called}.fetch_one", sys._getframe(1), self._fetch_one, query, values
        )

    def fetch_val(
        self, query: Query, values: Values | None = None, column: Any = 0
    ) -> Pending[Any]:
        """Run a query and return one value of its first row, or None where there is no row.

        Args:
            query: the query.
            values: its values.
            column: the column, by position (counted from 0), name or SQLAlchemy column.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         return await database.fetch_val("SELECT count(*) FROM sqlite_schema")
            >>> asyncio.run(main())
            0
        """
        return Pending(
            f"{self._called}.fetch_val", sys._getframe(1), self._fetch_val, query, values, column
        )

    def execute(self, query: Query, values: Values | None = None) -> Pending[Any]:
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
        return Pending(f"{self._called}.execute", sys._getframe(1), self._execute, query, values)

    def execute_many(self, query: Query, values: Iterable[Values]) -> Pending[None]:
        """Run a statement once for each of many sets of values: all of them, or none.

        Args:
            query: the statement.
            values: a list of dicts, one for each time that it is run.

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
        return Pending(
            f"{self._called}.execute_many", sys._getframe(1), self._execute_many, query, values
        )

    def iterate(self, query: Query, values: Values | None = None) -> RecordIterator:
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
        return RecordIterator(self, f"{self._called}.iterate", sys._getframe(1), query, values)

    # What a Database and a Connection each do their own way.

    def _runner(self, method: str, site: CallSite) -> tuple[Runner, Compiler]:
        """Where statements run, and what compiles them."""
        raise NotImplementedError

    async def _open_cursor(
        self, bound: Bound, method: str, site: CallSite
    ) -> tuple[Cursor, Callable[[], None]]:
        """Open a cursor; also return what frees its connection, if that was acquired for it."""
        raise NotImplementedError

    # The work behind the methods, run when a Pending is awaited.

    async def _fetch_all(self, site: CallSite, query: Query, values: Values | None) -> list[Record]:
        runner, compiler = self._runner("fetch_all", site)
        try:
            bound = compiler.bind(query, values)
            names, rows = await runner.fetch(bound, None, site)
        except DatabaseError as error:
            explain(error, site, query)
            raise
        return bound.statement.shape(names).rows(rows)

    async def _fetch_one(
        self, site: CallSite, query: Query, values: Values | None
    ) -> Record | None:
        runner, compiler = self._runner("fetch_one", site)
        try:
            bound = compiler.bind(query, values)
            names, rows = await runner.fetch(bound, 1, site)
        except DatabaseError as error:
            explain(error, site, query)
            raise
        return bound.statement.shape(names).row(rows[0]) if rows else None

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


class RecordIterator:
    """The rows of a query, one after the other, for ``async for``.

    It reads as many rows ahead as the backend's cursor gives at a time, and no more before those
    are used. ``aclose()``, or letting go of it, frees the cursor and its connection.

    Args:
        queries: the Database or Connection.
        method: the method's name, for messages.
        frame: where it was called.
        query: the query.
        values: its values.
    """

    __slots__ = (
        "_bound",
        "_cursor",
        "_free",
        "_method",
        "_next",
        "_queries",
        "_query",
        "_rows",
        "_shape",
        "_site",
        "_values",
    )

    def __init__(
        self, queries: Queries, method: str, frame: Any, query: Query, values: Values | None
    ) -> None:
        self._queries = queries
        self._method = method
        self._site = CallSite(frame)
        self._query = query
        self._values = values
        self._cursor: Cursor | None = None
        self._free: Callable[[], None] | None = None
        self._rows: Sequence[Sequence[Any]] | None = None
        self._next = 0

    def __aiter__(self) -> RecordIterator:
        return self

    async def __anext__(self) -> Record:
        rows = self._rows
        if rows is None or self._next >= len(rows):
            rows = await self._more()
        row = rows[self._next]
        self._next += 1
        return self._shape.row(row)

    async def _more(self) -> Sequence[Sequence[Any]]:
        """Read the next rows; at the end of them stop the iteration."""
        try:
            if self._rows is None:
                await self._open()
            if self._cursor is None:
                raise StopAsyncIteration
            names, self._rows = await self._cursor.fetch()
            if not self._rows:
                raise StopAsyncIteration
        except BaseException as error:
            self._close()
            if isinstance(error, DatabaseError):
                explain(error, self._site, self._query)
            raise
        self._shape: Shape = self._bound.statement.shape(names)
        self._next = 0
        return self._rows

    async def _open(self) -> None:
        self._rows = ()
        _, compiler = self._queries._runner(self._method.rpartition(".")[2], self._site)
        self._bound = bound = compiler.bind(self._query, self._values)
        self._cursor, self._free = await self._queries._open_cursor(bound, self._method, self._site)

    async def aclose(self) -> None:
        """End the iteration and free the cursor and its connection."""
        self._rows = ()
        self._next = 0
        self._close()

    def _close(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None and self._free is not None:
            cursor.close()
            self._free()

    def __del__(self) -> None:
        # After `break` nothing else tells that the loop has ended.
        self._close()

    if not TYPE_CHECKING:
        # Hidden from type checkers, which shall go on to report this before it runs.

        def __iter__(self) -> NoReturn:
            raise ForgottenAwaitError(
                f"{self._method}() is read with `async for`.\n  {self._site}\n"
                "  wrong:  for row in database.iterate(query):\n"
                "  right:  async for row in database.iterate(query):"
            )

        def __await__(self) -> NoReturn:
            raise ForgottenAwaitError(
                f"{self._method}() is not awaited but read with `async for`.\n  {self._site}\n"
                "  wrong:  rows = await database.iterate(query)\n"
                "  right:  rows = await database.fetch_all(query)\n"
                "  or:     async for row in database.iterate(query):"
            )
