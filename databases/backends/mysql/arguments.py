"""The arguments of statements: what the drivers take, and how many of them at once."""

from __future__ import annotations

import datetime
import decimal
from typing import TYPE_CHECKING, Any

from databases.exceptions import BindError, combined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TAKEN = (
    type(None),
    str,
    int,
    float,
    bytes,
    bytearray,
    decimal.Decimal,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)
"""Types, with those derived from them. Of any other value the drivers would send the ``str()``, or
of a list what some server would take for SQL."""

_KNOWN = frozenset({*_TAKEN, bool, datetime.datetime})

_ROWS = 500
_BYTES = 1_000_000
"""How much is sent at once; what a server takes at most is 16 MB where nobody has set less."""


def checked(arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a statement, if all of them are of types that the drivers take.

    Raises:
        BindError: (a ``TypeError``) for one that is not.
    """
    if _KNOWN.issuperset(map(type, arguments)):
        return arguments
    return [_taken(value) for value in arguments]


def _taken(value: Any) -> Any:
    if isinstance(value, _TAKEN):
        return value
    if isinstance(value, memoryview):
        return bytes(value)
    raise combined(BindError, TypeError)(
        f"A bind takes one value, and {type(value).__name__} is none of MySQL's.\n"
        '  wrong:  "... WHERE id IN (:ids)", {"ids": [1, 2]}\n'
        "  right:  users.select().where(users.c.id.in_([1, 2]))\n"
        "A dict or a list for a JSON column has to be text: json.dumps(...)."
    )


def in_pieces(rows: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Check many rows of arguments, and divide them into what is sent at once."""
    piece: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        row = checked(row)
        length = sum(len(value) if isinstance(value, str | bytes) else 16 for value in row)
        if piece and (len(piece) == _ROWS or size + length > _BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += length
    if piece:
        yield piece
