"""Cursors over rows that are here already."""

from __future__ import annotations

from databases.records import Result

FIRST, NEXT = 100, 1000
"""Rows that a cursor reads at a time: when it is opened, and after that."""


class FetchedCursor:
    """The interface of a cursor over a result that the database gives as a whole.

    Args:
        result: the rows.
    """

    is_open = False

    def __init__(self, result: Result) -> None:
        self._result = result

    async def fetch(self) -> Result:
        """Return all rows the first time, none after that."""
        result = self._result
        self._result = Result(result.shape, [], True)
        return result

    def close(self) -> None:
        """Drop the rows."""
        self._result = Result(self._result.shape, [], True)
