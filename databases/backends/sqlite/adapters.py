"""Values that SQLite has no type for, written as SQLAlchemy writes them.

So what SQL text stores and looks for is what a Core expression with a typed column does, and what
databases 0.9 stored. Source: SQLAlchemy's documentation, "SQLite: Date and Time Types".
"""

from __future__ import annotations

import datetime
import decimal
import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_EPOCH = datetime.datetime(1970, 1, 1)


def _datetime(value: datetime.datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def _time(value: datetime.time) -> str:
    return value.strftime("%H:%M:%S.%f")


def _timedelta(value: datetime.timedelta) -> str:
    return _datetime(_EPOCH + value)


ADAPTERS: list[tuple[type, Callable[[Any], Any]]] = [
    # A datetime is a date as well: it comes first.
    (datetime.datetime, _datetime),
    (datetime.date, datetime.date.isoformat),
    (datetime.time, _time),
    (datetime.timedelta, _timedelta),
    (decimal.Decimal, float),
    (uuid.UUID, lambda value: value.hex),
]
"""Types and what turns their values into some that SQLite stores; the first that fits is taken."""
