"""Statements: what a query becomes before a driver runs it, whatever kind of query it was."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from databases.exceptions import BindError, combined, shortened
from databases.records import Shape
from databases.verbs import verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Dialect as CoreDialect
    from sqlalchemy.sql.elements import ClauseElement

    Query = str | ClauseElement
    # By name; for an insert() or update() also by column, for an insert() also several rows.
    Values = Mapping[Any, Any] | Sequence[Mapping[Any, Any]]

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Dialect(NamedTuple):
    """What a backend has to say about its SQL."""

    name: str
    """The name users know: ``"sqlite"``."""

    placeholder: Callable[[int], str]
    """Spells the n-th argument, counted from 1, as the driver wants it."""

    opaque: str
    """A regular expression for what no bind is looked for in: strings, identifiers, comments."""

    adapters: Sequence[tuple[type, Callable[[Any], Any]]]
    """Turns values of types that the driver does not take into some that it does."""

    core: Callable[[], CoreDialect]
    """Makes SQLAlchemy's dialect; called when the first Core expression arrives."""

    doubles_percent: bool = False
    """Whether the driver puts the arguments in with Python's ``%``."""

    explain: str = "EXPLAIN"
    """What is written in front of a statement to be told how it would be run."""


class Statement:
    """A query ready for the driver: its SQL, what it does, and how its rows look.

    Args:
        sql: the driver's SQL.
    """

    __slots__ = ("_shape", "family", "sql", "verb")

    typed = False
    """Whether it may know how to decode its columns, or to find them by more than their names."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.verb = verb_of(sql)
        self._shape: Shape | None = None
        self.family: str | None = None
        """The SQL without values, once somebody has asked for it."""

    def find_family(self, dialect: Dialect) -> str:
        """The SQL without values: see ``family_of``."""
        # Only needed while somebody watches.
        from databases.families import family_of

        self.family = family_of(self.sql, dialect)
        return self.family

    def shape(self, names: tuple[str, ...], codes: tuple[Any, ...] = ()) -> Shape:
        """The shape of rows with these columns, kept for the next result.

        Args:
            names: the columns' names.
            codes: their types, as the driver numbers them, if it does.
        """
        shape = self._shape
        # SELECT * has other columns once the table has changed.
        if shape is None or shape.names != names or shape.codes != codes:
            shape = self._shape = self._make_shape(names, codes)
        return shape

    def _make_shape(self, names: tuple[str, ...], codes: tuple[Any, ...]) -> Shape:
        return Shape(names, codes)


class Bound(NamedTuple):
    """A statement with the arguments of one call, in the driver's order."""

    statement: Statement
    arguments: Sequence[Any]


class Batch(NamedTuple):
    """A statement with the arguments of many calls."""

    statement: Statement
    rows: list[Sequence[Any]]


def unknown_bind(
    name: object, known: Iterable[str], query: object, theirs: type[Exception] | None = None
) -> BindError:
    """The error for a value whose name the query does not have.

    Args:
        name: the name.
        known: the names that the query has.
        query: the query.
        theirs: the error that SQLAlchemy has for it, where that is not ``ArgumentError``.
    """
    # Slow to import, and only needed here.
    import difflib

    from sqlalchemy.exc import ArgumentError

    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    if near:
        advice = f"did you mean {near[0]!r}?"
    elif known:
        advice = f"it has {', '.join(map(repr, known))}."
    else:
        advice = f"it has no binds at all; write :{name} where the value belongs."
    return combined(BindError, theirs or ArgumentError)(
        f"The query has no bind named {name!r}: {advice}\n  SQL: {shortened(query)}"
    )


def missing_bind(name: object, query: object) -> BindError:
    """The error for a bind of the query that has no value."""
    from sqlalchemy.exc import InvalidRequestError

    return combined(BindError, InvalidRequestError)(
        f"The bind :{name} has no value: pass values={{{str(name)!r}: ...}} "
        f"(for NULL pass None).\n  SQL: {shortened(query)}"
    )


LONGEST_KEPT = 20_000
"""Characters of SQL text beyond which nothing about it is kept: it was generated, for once."""


class Kept(dict[KeyT, ValueT]):
    """A cache of bounded size: what was added first is dropped first.

    Not what was used last, because the keys of Core expressions take long to hash: counting each
    use would cost more than compiling one statement again after a thousand others.

    Args:
        size: how many entries are kept.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        super().__setitem__(key, value)
        while len(self) > self._size:
            try:
                self.pop(next(iter(self)), None)
            except RuntimeError:
                pass  # another thread added one at the same moment


class Told(Kept[str, ValueT]):
    """What a function tells of each SQL text: it is asked once, but for very long ones.

    Args:
        tell: the function.
        size: of how many texts it is kept.
    """

    def __init__(self, tell: Callable[[str], ValueT], size: int) -> None:
        super().__init__(size)
        self._tell = tell

    def __missing__(self, sql: str) -> ValueT:
        told = self._tell(sql)
        if len(sql) <= LONGEST_KEPT:
            self[sql] = told
        return told
