"""Cursors of PostgreSQL, whatever drives them."""

from __future__ import annotations

from databases.backends.cursors import FIRST, NEXT
from databases.records import Result, Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class PostgresCursor:
    """A result on the server, read in pieces of a bounded number of rows.

    Args:
        fetch: reads so many rows.
        finish: called after the last row was read.
        abandon: called where the cursor is given up before that.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Result]],
        finish: Callable[[], Awaitable[object]] | None = None,
        abandon: Callable[[], None] | None = None,
    ) -> None:
        self._fetch = fetch
        self._finish = finish
        self._abandon = abandon
        self._count = FIRST
        self.is_open = True

    async def fetch(self) -> Result:
        """Return the next rows; none at the end."""
        if not self.is_open:
            return Result(Shape(()), [], True)
        count, self._count = self._count, NEXT
        result = await self._fetch(count)
        if len(result.rows) < count:
            self.is_open = False
            if self._finish is not None:
                await self._finish()
        return result

    def close(self) -> None:
        """Free the cursor."""
        if self.is_open and self._abandon is not None:
            self._abandon()
        self.is_open = False
