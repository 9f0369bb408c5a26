"""What ``connection.raw_connection`` is on SQLite: the driver's connection, made awaitable.

Code written for databases 0.9 knows it as aiosqlite's ``Connection``; the part of that surface
which such code uses is here, and the other methods of ``sqlite3.Connection`` can be awaited too.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any, TypeVar

from databases.backends.sqlite import work
from databases.backends.sqlite.jobs import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
    from types import TracebackType

    from databases.backends.sqlite.worker import ConnectionThread

T = TypeVar("T")


class RawConnection:
    """SQLite's own connection, each method run in the connection's thread.

    Args:
        thread: gives the connection's thread.
        in_transaction: tells whether a transaction is open.

    Example:
        >>> import asyncio, databases
        >>> async def main():
        ...     async with databases.Database("sqlite://") as database:
        ...         async with database.connection() as connection:
        ...             raw = connection.raw_connection
        ...             await raw.executescript("CREATE TABLE a (x); INSERT INTO a VALUES (1)")
        ...             async with raw.execute("SELECT x FROM a") as cursor:
        ...                 return await cursor.fetchall()
        >>> asyncio.run(main())
        [(1,)]
    """

    def __init__(
        self,
        thread: Callable[[], Awaitable[ConnectionThread]],
        in_transaction: Callable[[], bool],
    ) -> None:
        self._thread = thread
        self._in_transaction = in_transaction
        self.row_factory: Any = None
        """How cursors opened from now on make rows, such as ``sqlite3.Row``; None for tuples."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._in_transaction()

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the ``sqlite3.Connection``, in its thread, and return its result."""
        return await (await self._thread()).run(function, Kind.ONCE)

    def cursor(self) -> Opening:
        """Open a cursor: ``await raw.cursor()`` or ``async with raw.cursor() as cursor``."""
        return self._open(lambda cursor: cursor)

    def execute(self, sql: str, parameters: Any = ()) -> Opening:
        """Run a statement in the driver's own SQL; await it, or enter it, for its cursor."""
        return self._open(lambda cursor: cursor.execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Opening:
        """Run a statement for each of many sets of parameters."""
        return self._open(lambda cursor: cursor.executemany(sql, parameters))

    def executescript(self, sql: str) -> Opening:
        """Run several statements, separated by semicolons; commits an open transaction first."""
        return self._open(lambda cursor: cursor.executescript(sql))

    async def execute_fetchall(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Run a statement and return all its rows."""
        async with self.execute(sql, parameters) as cursor:
            return await cursor.fetchall()

    async def execute_insert(self, sql: str, parameters: Any = ()) -> tuple[int] | None:
        """Run an INSERT and return ``(last_insert_rowid,)``."""
        async with self.execute(sql, parameters) as cursor:
            made = cursor.lastrowid
            return None if made is None else (made,)

    if not TYPE_CHECKING:
        # For type checkers declared below, returning Any.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or not callable(getattr(sqlite3.Connection, name, None)):
                raise AttributeError(
                    f"raw_connection has no {name!r} on SQLite; "
                    f"`await raw.run(lambda connection: connection.{name})` reaches all of sqlite3"
                )

            async def method(*args: Any, **kwargs: Any) -> Any:
                return await self.run(lambda c: getattr(c, name)(*args, **kwargs))

            return method
    else:

        def __getattr__(self, name: str) -> Any: ...

    def _open(self, function: Callable[[sqlite3.Cursor], sqlite3.Cursor]) -> Opening:
        def open_cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
            cursor = connection.cursor()
            cursor.row_factory = self.row_factory
            return function(cursor)

        async def opened() -> RawCursor:
            thread = await self._thread()
            return RawCursor(thread, await thread.run(open_cursor, Kind.ONCE))

        return Opening(opened)


class RawCursor:
    """SQLite's own cursor, each method run in the connection's thread.

    Args:
        thread: the connection and its thread.
        cursor: the driver's cursor.
    """

    def __init__(self, thread: ConnectionThread, cursor: sqlite3.Cursor) -> None:
        self._thread = thread
        self._cursor = cursor

    def __del__(self) -> None:
        # Freed in the event loop's thread, it would have that wait for what its own thread does.
        self._thread.post(partial(work.close_cursors, cursors=[self._cursor]))

    async def _run(self, function: Callable[[object], T]) -> T:
        return await self._thread.run(function, Kind.ONCE)

    async def execute(self, sql: str, parameters: Any = ()) -> RawCursor:
        """Run a statement on this cursor."""
        await self._run(lambda _: self._cursor.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> RawCursor:
        """Run a statement for each of many sets of parameters."""
        await self._run(lambda _: self._cursor.executemany(sql, parameters))
        return self

    async def executescript(self, sql: str) -> RawCursor:
        """Run several statements, separated by semicolons."""
        await self._run(lambda _: self._cursor.executescript(sql))
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return await self._run(lambda _: self._cursor.fetchone())

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next ``size`` rows (``arraysize`` of them where not given)."""
        count = self._cursor.arraysize if size is None else size
        return await self._run(lambda _: self._cursor.fetchmany(count))

    async def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return await self._run(lambda _: self._cursor.fetchall())

    async def close(self) -> None:
        """Close the cursor."""
        await self._run(lambda _: self._cursor.close())

    @property
    def lastrowid(self) -> int | None:
        """The id that the last INSERT made."""
        return self._cursor.lastrowid

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement changed; -1 where it changes none."""
        return self._cursor.rowcount

    @property
    def arraysize(self) -> int:
        """How many rows ``fetchmany`` returns where it is not told."""
        return self._cursor.arraysize

    @property
    def description(self) -> Sequence[Any] | None:
        """The columns of the result, as the driver describes them."""
        return self._cursor.description

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany(64):
            for row in rows:
                yield row

    async def __aenter__(self) -> RawCursor:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Opening:
    """A cursor on its way: await it, or enter it to have it closed at the end.

    Args:
        opened: makes the cursor.
    """

    def __init__(self, opened: Callable[[], Awaitable[RawCursor]]) -> None:
        self._opened = opened
        self._cursor: RawCursor | None = None

    def __await__(self) -> Generator[Any, Any, RawCursor]:
        return self._opened().__await__()

    async def __aenter__(self) -> RawCursor:
        self._cursor = await self._opened()
        return self._cursor

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._cursor is not None:
            await self._cursor.close()
