"""Rows that asyncpg makes, and that are Records at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from databases.records import Record, Shape
from databases.statements import Kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_item = asyncpg.Record.__getitem__
_shapes: Kept[tuple[str, ...], Shape] = Kept(1000)


class PostgresRecord(Record, asyncpg.Record):  # type: ignore[misc]
    """A row of SQL text that needs no decoding: asyncpg's own, with the methods of Record.

    To wrap each row takes as long as to read it: of a thousand rows, half as many a second.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        @property
        def _shape(self) -> Shape:
            names = tuple(asyncpg.Record.keys(self))
            shape = _shapes.get(names)
            if shape is None:
                shape = _shapes[names] = Shape(names)
            return shape

        @property
        def _values(self) -> Sequence[Any]:
            return tuple(asyncpg.Record.values(self))

    def __getitem__(self, key: Any) -> Any:
        try:
            return _item(self, key)
        except (KeyError, TypeError):
            # A SQLAlchemy column, or a name that there is not.
            return super().__getitem__(key)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            try:
                return _item(self, name)
            except KeyError:
                raise AttributeError(
                    f"The row has no column {name!r}: {self._shape.listed()}"
                ) from None

    # asyncpg's own would come first, and compare the values alone.
    def __ne__(self, other: object) -> bool:
        return not self == other

    def __iter__(self) -> Iterator[str]:
        names: Iterator[str] = asyncpg.Record.keys(self)
        return names

    def __len__(self) -> int:
        length: int = asyncpg.Record.__len__(self)
        return length

    def __contains__(self, key: object) -> bool:
        found: bool = asyncpg.Record.__contains__(self, key)
        return found
