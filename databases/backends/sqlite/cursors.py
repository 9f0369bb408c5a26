"""Cursors: results that are read piece by piece."""

from __future__ import annotations

from functools import partial

from databases.backends.cursors import FIRST, NEXT
from databases.backends.sqlite import work
from databases.exceptions import StateError
from databases.records import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.backends.sqlite.worker import ConnectionThread
    from databases.statements import Statement


class SQLiteCursor:
    """An open result, read in pieces of a bounded number of rows.

    Args:
        run: has work done on the connection.
        thread: the thread that the cursor belongs to.
        statement: what it runs.
        cursor: the driver's cursor.
        first: the first rows.
    """

    def __init__(
        self,
        run: Callable[[Callable[[EngineConnection], Result]], Awaitable[Result]],
        thread: ConnectionThread,
        statement: Statement,
        cursor: sqlite3.Cursor,
        first: Result,
    ) -> None:
        self._thread = thread
        self._statement = statement
        self._cursor: sqlite3.Cursor | None = cursor
        self._first: Result | None = first
        self._end = Result(first.shape, [], True)
        self._run = run
        self._given_up = False
        if len(first.rows) < FIRST:
            self._cursor = None

    @property
    def is_open(self) -> bool:
        """Whether SQLite has it open."""
        return self._cursor is not None

    async def fetch(self) -> Result:
        """Return the next rows; none at the end.

        Raises:
            StateError: where its connection was given back meanwhile.
        """
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._given_up:
            raise StateError(
                "The connection of this iteration was given back before its end: read the rows "
                "inside the `async with` block of the connection or transaction."
            )
        if self._cursor is None:
            return self._end
        result = await self._run(self._next(self._cursor))
        if len(result.rows) < NEXT:
            self._cursor = None
        return result

    def _next(self, cursor: sqlite3.Cursor) -> Callable[[sqlite3.Connection], Result]:
        return partial(work.fetch_more, statement=self._statement, cursor=cursor, count=NEXT)

    def give_up(self) -> None:
        """Free the cursor although not all of its rows were read."""
        self._given_up = self.is_open
        self.close()

    def close(self) -> None:
        """Free the cursor."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            self._thread.post(partial(work.close_cursors, cursors=[cursor]))
