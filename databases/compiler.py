"""The compiler: every query a user passes, made ready for a driver once and kept.

SQL text with ``:name`` binds and SQLAlchemy Core expressions both become a ``Statement`` and a
sequence of arguments. SQLAlchemy is imported only when an expression of it arrives.
"""

from __future__ import annotations

import sys

from databases.exceptions import QueryTypeError
from databases.sql_text import TextStatement
from databases.statements import LONGEST_KEPT, Batch, Bound, Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from databases.core_expressions import CoreCompiler
    from databases.statements import Dialect, Query, Values

_KEPT = 1000
"""How many statements of each kind are kept."""


class Compiler:
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
            text = self._texts.get(query) or self._text(query)
            return Bound(text, text.arguments(values))
        return self._compiler(query).bind(query, values)

    def bind_many(self, query: Query, rows: Iterable[Values]) -> list[Batch]:
        """Make a query and many rows of values ready; rows with the same names share a batch."""
        if isinstance(query, str):
            text = self._texts.get(query) or self._text(query)
            batch = Batch(text, [text.arguments(values) for values in rows])
            return [batch] if batch.rows else []
        compiler = self._compiler(query)
        batches: list[Batch] = []
        for values in rows:
            statement, arguments = compiler.bind(query, values)
            if not batches or batches[-1].statement is not statement:
                batches.append(Batch(statement, []))
            batches[-1].rows.append(arguments)
        return batches

    def _text(self, query: str) -> TextStatement:
        statement = TextStatement(query, self._dialect)
        if len(query) <= LONGEST_KEPT:
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

            self._core = CoreCompiler(self._dialect.core(), _KEPT)
        return self._core
