"""Statements: what a user passes as a query, made ready for a driver once and kept.

SQL text with ``:name`` binds and SQLAlchemy Core expressions both become a ``Statement`` and a
sequence of arguments. SQLAlchemy is imported only when an expression of it arrives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from databases.exceptions import BindError, QueryTypeError, combined, shortened
from databases.records import Shape
from databases.verbs import verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Dialect as CoreDialect
    from sqlalchemy.sql.elements import ClauseElement

    from databases.core_expressions import CoreCompiler

    Query = str | ClauseElement
    # By name; for an insert() or update() also by column, for an insert() also several rows.
    Values = Mapping[Any, Any] | Sequence[Mapping[Any, Any]]

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_KEPT = 1000
"""How many statements of each kind are kept."""


_LONGEST_KEPT = 20_000
"""Characters of SQL text beyond which a statement is not kept: it was generated, for once."""


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


class Statement:
    """A query ready for the driver: its SQL, what it does, and how its rows look.

    Args:
        sql: the driver's SQL.
    """

    __slots__ = ("_shape", "sql", "verb")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.verb = verb_of(sql)
        self._shape: Shape | None = None

    def shape(self, names: tuple[str, ...]) -> Shape:
        """The shape of rows with these column names, kept for the next result."""
        shape = self._shape
        # SELECT * has other columns once the table has changed.
        if shape is None or shape.names != names:
            shape = self._shape = self._make_shape(names)
        return shape

    def _make_shape(self, names: tuple[str, ...]) -> Shape:
        return Shape(names)


class Bound(NamedTuple):
    """A statement with the arguments of one call, in the driver's order."""

    statement: Statement
    arguments: Sequence[Any]


class Batch(NamedTuple):
    """A statement with the arguments of many calls."""

    statement: Statement
    rows: list[Sequence[Any]]


class Statements:
    """The statements of one database, compiled and cached.

    Args:
        dialect: the backend's SQL.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._texts: Kept[str, TextStatement] = Kept(_KEPT)
        self._core: CoreCompiler | None = None

    def bind(self, query: Query, values: Values | None = None) -> Bound:
        """Make a query and its values ready for the driver.

        Args:
            query: SQL text with ``:name`` binds, or a SQLAlchemy Core expression.
            values: the values by name. For an ``insert()`` or ``update()`` also the columns.

        Raises:
            QueryTypeError: where ``query`` is neither.
            BindError: where names and values do not fit together.
        """
        if isinstance(query, str):
            text = self._text(query)
            return Bound(text, text.arguments(values))
        return self._compiler(query).bind(query, values)

    def bind_many(self, query: Query, rows: Iterable[Values]) -> list[Batch]:
        """Make a query and many rows of values ready; rows with the same names share a batch."""
        if isinstance(query, str):
            text = self._text(query)
            return [Batch(text, [text.arguments(values) for values in rows])]
        compiler = self._compiler(query)
        batches: list[Batch] = []
        for values in rows:
            statement, arguments = compiler.bind(query, values)
            if not batches or batches[-1].statement is not statement:
                batches.append(Batch(statement, []))
            batches[-1].rows.append(arguments)
        return batches

    def _text(self, query: str) -> TextStatement:
        statement = self._texts.get(query)
        if statement is None:
            statement = TextStatement(query, self._dialect)
            if len(query) <= _LONGEST_KEPT:
                self._texts[query] = statement
        return statement

    def _compiler(self, query: object) -> CoreCompiler:
        # Whoever made a Core expression has imported SQLAlchemy.
        elements = sys.modules.get("sqlalchemy.sql.elements")
        if elements is None or not isinstance(query, elements.ClauseElement):
            raise QueryTypeError(
                f"A query is SQL text or a SQLAlchemy Core expression, not {type(query).__name__}: "
                f"{query!r:.200}"
            )
        if self._core is None:
            from databases.core_expressions import CoreCompiler

            self._core = CoreCompiler(self._dialect.core(), Kept(_KEPT))
        return self._core


class TextStatement(Statement):
    r"""SQL text, its ``:name`` binds replaced by the driver's placeholders.

    A bind inside a quoted string, a quoted identifier or a comment is text. ``::`` is a cast, and
    ``\:`` stands for a colon, as in SQLAlchemy's ``text()``.
    """

    __slots__ = ("_adapters", "_known", "_names", "_pick", "_text")

    def __init__(self, text: str, dialect: Dialect) -> None:
        names: list[str] = []

        def replace(match: re.Match[str]) -> str:
            name = match["bind"]
            if name is None:
                return match[0]
            names.append(name)
            return dialect.placeholder(len(names))

        pattern = rf"(?:{dialect.opaque})|(?<![:\w\\]):(?P<bind>\w+)(?![:\w])"
        sql = re.sub(pattern, replace, text, flags=re.DOTALL)
        super().__init__(_ESCAPED.sub(r"\1", sql))
        self._text = text
        self._names = names
        self._known = frozenset(names)
        self._pick = itemgetter(*names) if names else None
        self._adapters = dialect.adapters

    def arguments(self, values: Values | None) -> Sequence[Any]:
        """Put the values into the order of the placeholders."""
        if values and not isinstance(values, Mapping):
            raise QueryTypeError(
                f"The values of a query are a dict of names and values, not "
                f"{type(values).__name__}.\n"
                '  wrong:  fetch_one("... WHERE id = :id", [1])\n'
                '  right:  fetch_one("... WHERE id = :id", {"id": 1})'
            )
        if self._pick is None:
            if values:
                raise unknown_bind(next(iter(values)), (), self._text)
            return ()
        if not values:
            raise missing_bind(self._names[0], self._text)
        try:
            picked = self._pick(values)
        except KeyError as error:
            raise missing_bind(error.args[0], self._text) from None
        if len(values) > len(self._known):
            stray = next(name for name in values if name not in self._known)
            raise unknown_bind(stray, self._known, self._text)
        arguments = picked if len(self._names) > 1 else (picked,)
        if _PLAIN.issuperset(map(type, arguments)):
            return arguments
        return [self._adapted(value) for value in arguments]

    def _adapted(self, value: Any) -> Any:
        for kind, adapt in self._adapters:
            if isinstance(value, kind):
                return adapt(value)
        return value


_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})
"""What every driver takes as it is."""

_ESCAPED = re.compile(r"\\(:\w*)(?![:\w])")


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
        if len(self) > self._size:
            del self[next(iter(self))]
