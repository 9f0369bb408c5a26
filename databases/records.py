"""Record: the row that a query returns."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Processor = Callable[[Any], Any]
    Columns = Callable[[Any], int | None]
    """Finds the position of a SQLAlchemy column in the rows of one statement."""


class Shape:
    """What all rows of one result share: names, their positions, and how values are decoded.

    Args:
        names: the columns' names in the order of the result.
        codes: the types of the columns, as the driver numbers them; empty where it does not.
        processors: for each column the function that decodes its values, or None; an empty
            sequence where no column needs one.
        locate: finds a SQLAlchemy column's position, for rows of Core expressions.
    """

    __slots__ = ("_decoded", "_locate", "codes", "decodes", "names", "plain", "positions", "record")

    def __init__(
        self,
        names: tuple[str, ...],
        codes: tuple[Any, ...] = (),
        processors: Sequence[Processor | None] = (),
        locate: Columns | None = None,
    ) -> None:
        self.names = names
        self.codes = codes
        # Where a name occurs twice the last column has it, as in databases 0.9.
        self.positions = {name: position for position, name in enumerate(names)}
        self._decoded = [(i, f) for i, f in enumerate(processors) if f is not None]
        self.decodes = bool(self._decoded)
        self._locate = locate
        self.record: type[_Row] = _Row if _TAKEN.isdisjoint(names) else _ShadowedRow
        self.plain = self.record is _Row and locate is None and not self._decoded
        """Whether a driver's own rows will do, if they are Records."""

    def row(self, values: Sequence[Any]) -> Record:
        """Wrap one row's values, decoding them now and only now."""
        if self._decoded:
            values = list(values)
            for position, decode in self._decoded:
                values[position] = decode(values[position])
        return self.record(self, values)

    def rows(self, rows: Sequence[Sequence[Any]]) -> list[Record]:
        """Wrap many rows."""
        if self._decoded:
            return [self.row(values) for values in rows]
        record = self.record
        return [record(self, values) for values in rows]

    def result(self, rows: list[Any]) -> Result:
        """Make the records where the rows were fetched, in whatever thread that is.

        Unless values have to be decoded: that may be a user's own code, a ``TypeDecorator``, and
        is left to the task that asked for them.
        """
        if self.decodes:
            return Result(self, rows, False)
        return Result(self, self.rows(rows), True)

    def position(self, column: object) -> int:
        """Find a SQLAlchemy column's position.

        Raises:
            KeyError: where the result has no such column.
        """
        found = self._locate(column) if self._locate is not None else None
        if found is None:
            # Rows of SQL text know their columns by name only.
            found = self.positions.get(getattr(column, "name", None) or str(column))
        if found is None:
            raise self.missing(column)
        return found

    def missing(self, column: object) -> KeyError:
        """Say which columns there are instead of the one asked for."""
        return _MissingColumn(f"The row has no column {str(column)!r}: {self.listed()}")

    def listed(self) -> str:
        """The names for a message."""
        return f"its columns are {', '.join(self.names)}"


class Result(NamedTuple):
    """The rows of a query, as records or as what they will be made of."""

    shape: Shape
    rows: list[Any]
    finished: bool

    def records(self) -> list[Record]:
        """Return the records; called in the task that asked for them."""
        return self.rows if self.finished else self.shape.rows(self.rows)


class _MissingColumn(KeyError):
    # KeyError shows the repr of its argument; this message is for reading.
    __str__ = Exception.__str__


class Record:
    """One row: a mapping from column names to values, that can be indexed by position too.

    Records come from ``fetch_all``, ``fetch_one`` and ``iterate``; they are not made by hand.

    Values are read as ``row["name"]``, ``row[0]``, ``row[users.c.name]`` or ``row.name``.
    Iterating yields the column names, ``dict(row)`` is a dict, FastAPI answers with it as a JSON
    object and Pydantic reads it with ``from_attributes``. Two records are equal where their
    columns and values are.

    A column may have any name: one called ``values`` is ``row.values`` as well, instead of the
    method. Only ``row.keys`` stays the method, which ``dict(row)`` calls.

    Example:
        >>> import asyncio, databases
        >>> async def main():
        ...     async with databases.Database("sqlite://") as database:
        ...         return await database.fetch_one("SELECT 1 AS id, 'Ada' AS name")
        >>> row = asyncio.run(main())
        >>> row["name"], row[0], row.name, dict(row)
        ('Ada', 1, 'Ada', {'id': 1, 'name': 'Ada'})
    """

    __slots__ = ()

    _shape: Shape
    _values: Sequence[Any]

    @property
    def _mapping(self) -> Mapping[Any, Any]:
        """A read-only view of the row as a mapping, as SQLAlchemy's rows have it."""
        return _RecordMapping(self)

    def _asdict(self) -> dict[str, Any]:
        values = self._values
        return {name: values[i] for name, i in self._shape.positions.items()}

    def keys(self) -> KeysView[str]:
        """The column names, in order."""
        return _Keys(self)

    def values(self) -> list[Any]:
        """The values, in the order of the columns."""
        return list(self._values)

    def __getitem__(self, key: Any) -> Any:
        shape = self._shape
        if isinstance(key, str):
            try:
                return self._values[shape.positions[key]]
            except KeyError:
                raise shape.missing(key) from None
        if isinstance(key, int | slice):
            return self._values[key]
        return self._values[shape.position(key)]

    if not TYPE_CHECKING:
        # For type checkers Record declares __getattr__ below, returning Any.
        def __getattr__(self, name: str) -> Any:
            position = self._shape.positions.get(name)
            if position is None:
                raise AttributeError(f"The row has no column {name!r}: {self._shape.listed()}")
            return self._values[position]
    else:

        def __getattr__(self, name: str) -> Any: ...

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.names)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._shape.positions

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._shape.names == other._shape.names and list(self._values) == list(
                other._values
            )
        return NotImplemented

    def __hash__(self) -> int:
        try:
            return hash((self._shape.names, tuple(self._values)))
        except TypeError:  # a value decoded from JSON, say
            return hash(self._shape.names)

    def __repr__(self) -> str:
        values = self._values
        shown = ", ".join(f"{name}={values[i]!r}" for i, name in enumerate(self._shape.names))
        return f"<Record {shown}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # SQLAlchemy's decoders cannot be pickled, and what they decoded need not be again.
        return _restore, (self._shape.names, tuple(self._values))


# Code for databases 0.9 can ask for this; a row is read by position too.
Sequence.register(Record)


class _RecordMapping(Mapping[Any, Any]):
    __slots__ = ("_record",)

    def __init__(self, record: Record) -> None:
        self._record = record

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | slice):
            raise KeyError(key)
        return self._record[key]

    # Of columns that share a name all are listed, as in SQLAlchemy; by name the last is found.

    def __iter__(self) -> Iterator[str]:
        return iter(self._record._shape.names)

    def __len__(self) -> int:
        return len(self._record)

    def values(self) -> ValuesView[Any]:
        return _Values(self._record)

    def items(self) -> ItemsView[str, Any]:
        return _Items(self._record)

    def __repr__(self) -> str:
        return repr(dict(self))


class _Keys(KeysView[str]):
    def __init__(self, record: Record) -> None:
        self._mapping = record


class _Values(ValuesView[Any]):
    def __init__(self, record: Record) -> None:
        self._mapping = record

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping._values)


class _Items(ItemsView[str, Any]):
    def __init__(self, record: Record) -> None:
        self._mapping = record

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        record = self._mapping
        return zip(record._shape.names, record._values, strict=True)


def _restore(names: tuple[str, ...], values: tuple[Any, ...]) -> Record:
    return Shape(names).row(values)


class _Row(Record):
    __slots__ = ("_shape", "_values")

    def __init__(self, shape: Shape, values: Sequence[Any]) -> None:
        self._shape = shape
        self._values = values


_TAKEN = frozenset(name for name in vars(Record) if not name.startswith("__")) - {"keys"}
"""Names of columns that methods of Record would hide. ``keys`` stays the method, because
``dict(row)`` calls it, and FastAPI with it: that column is ``row["keys"]``."""


class _ShadowedRow(_Row):
    """A row with a column whose name a method has: there the column wins."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in _TAKEN:
            position = self._shape.positions.get(name)
            if position is not None:
                return self._values[position]
        return super().__getattribute__(name)
