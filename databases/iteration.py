"""The iterator over a query's rows, which are read as they are used."""

from __future__ import annotations

import contextlib

from databases.exceptions import DatabaseError, ForgottenAwaitError, explain
from databases.pending import CallSite, limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType
    from typing import NoReturn

    from databases.backends.base import Cursor
    from databases.queries import Queries
    from databases.records import Record
    from databases.statements import Query, Values


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
        timeout: the longest wait for rows, in seconds; None for no limit.
        block: within which it is opened, if any.
    """

    __slots__ = (
        "_block",
        "_cursor",
        "_free",
        "_method",
        "_opened",
        "_queries",
        "_query",
        "_ready",
        "_site",
        "_timeout",
        "_values",
    )

    def __init__(
        self,
        queries: Queries,
        method: str,
        frame: FrameType,
        query: Query,
        values: Values | None,
        timeout: float | None,
        block: AbstractContextManager[None] | None,
    ) -> None:
        self._block = block or contextlib.nullcontext()
        self._queries = queries
        self._method = method
        self._site = CallSite.of(frame)
        self._query = query
        self._values = values
        self._timeout = timeout
        self._cursor: Cursor | None = None
        self._free: Callable[[], None] | None = None
        self._opened = False
        self._ready: Iterator[Record] = iter(())

    def __aiter__(self) -> RecordIterator:
        return self

    async def __anext__(self) -> Record:
        for record in self._ready:
            return record
        if self._timeout is None:
            await self._more(self._site)
        else:
            await limited(self._timeout, self._method, self._more, self._site)
        return next(self._ready)

    async def _more(self, site: CallSite) -> None:
        """Read the next rows; at the end of them stop the iteration."""
        try:
            if not self._opened:
                await self._open()
            if self._cursor is None:
                raise StopAsyncIteration
            result = await self._cursor.fetch()
            if not result.rows:
                raise StopAsyncIteration
        except BaseException as error:
            self._close()
            if isinstance(error, DatabaseError):
                explain(error, site, self._query)
            raise
        self._ready = iter(result.records())

    async def _open(self) -> None:
        self._opened = True
        _, compiler = self._queries._runner(self._method.rpartition(".")[2], self._site)
        bound = compiler.bind(self._query, self._values)
        with self._block:
            opening = self._queries._open_cursor(bound, self._method, self._site)
            self._cursor, self._free = await opening

    async def aclose(self) -> None:
        """End the iteration and free the cursor and its connection."""
        self._opened = True
        self._ready = iter(())
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
