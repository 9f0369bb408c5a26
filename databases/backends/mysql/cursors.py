"""Results that are read piece by piece while the server sends them."""

from __future__ import annotations

from databases.backends.cursors import FIRST, NEXT
from databases.records import Result, Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from databases.statements import Statement


def result_of(cursor: Any, statement: Statement, rows: list[Any]) -> Result:
    """The result of rows that a cursor of the driver's has given."""
    names = tuple([column[0] for column in cursor.description])
    return statement.shape(names).result(rows)


class StreamingCursor:
    """A result that the server sends as it is read.

    Nothing else can be run on its connection before the last row is there: a statement that comes
    in between has the rest of the rows kept in memory.

    Args:
        cursor: the driver's.
        statement: what it runs.
        watched: has something done on the connection.
    """

    def __init__(
        self, cursor: Any, statement: Statement, watched: Callable[..., Awaitable[Any]]
    ) -> None:
        self._cursor = cursor
        self._statement = statement
        self._watched = watched
        self._wanted = True
        self._kept: list[Any] = []
        self._count = FIRST
        self.is_open = True

    async def fetch(self) -> Result:
        """Return the next rows; none at the end."""
        count, self._count = self._count, NEXT
        if self.is_open:
            rows = await self._watched(self._read, count)
        else:
            rows, self._kept = self._kept[:count], self._kept[count:]
        if not rows:
            return Result(Shape(()), [], True)
        return result_of(self._cursor, self._statement, rows)

    async def keep_the_rest(self) -> None:
        """Read all rows that are left, to free the connection."""
        while self.is_open:
            rows = await self._watched(self._read, NEXT)
            if self._wanted:
                self._kept.extend(rows)

    async def _read(self, count: int) -> list[Any]:
        rows: list[Any] = list(await self._cursor.fetchmany(count))
        if len(rows) < count:
            self.is_open = False
        return rows

    def close(self) -> None:
        """Drop the rows that were read; those under way are read by whoever comes next."""
        self._wanted = False
        self._kept = []
