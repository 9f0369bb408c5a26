"""SQLAlchemy Core expressions made ready for a driver: SQLAlchemy is the compiler, and only that.

Imported when the first expression arrives, because importing SQLAlchemy takes half a second. What
SQLAlchemy keeps private and this module needs (the cache key of an expression, the processors of
its binds, the columns of its result) is what SQLAlchemy's own engine uses to do the same; the
tests run it on 2.0 and on 2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import CompileError, InvalidRequestError
from sqlalchemy.schema import ExecutableDDLElement, Table
from sqlalchemy.sql import Insert, Update
from sqlalchemy.sql.elements import ClauseElement, Label

from databases.exceptions import QueryTypeError
from databases.records import Shape
from databases.statements import (
    Bound,
    Kept,
    Statement,
    missing_bind,
    unknown_bind,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence

    from sqlalchemy.engine import Dialect
    from sqlalchemy.schema import Column
    from sqlalchemy.sql.cache_key import CacheKey
    from sqlalchemy.sql.compiler import ResultColumnsEntry, SQLCompiler

    from databases.statements import Values


class CoreCompiler:
    """Compiles Core expressions, once for each shape of expression.

    Args:
        dialect: SQLAlchemy's dialect, with a positional parameter style.
        kept: how many statements are kept, by their cache keys and by their parts.
    """

    def __init__(self, dialect: Dialect, kept: int) -> None:
        self._dialect = dialect
        self._cache: Kept[tuple[Any, ...], CoreStatement] = Kept(kept)
        self._copies: Kept[tuple[Any, ...], Copied] = Kept(kept)

    def bind(self, query: ClauseElement, values: Values | None = None) -> Bound:
        """Compile an expression, or find it compiled, and put its values in order."""
        if isinstance(query, ExecutableDDLElement):
            return Bound(Statement(str(query.compile(dialect=self._dialect))), ())
        named: Mapping[str, Any] = {}
        if values:
            query, named = _absorb(query, values)
        parts = () if named else _shared_parts(query)
        if parts and (copied := self._copies.get(parts)) is not None:
            return copied.bind(query)
        key = query._generate_cache_key()
        # Which columns have a value decides which an INSERT or UPDATE without values() names.
        columns = list(named)
        if key is None:
            return self._compile(query, None, columns).bind(query, None, named)
        known = (key.key, *columns)
        statement = self._cache.get(known)
        if statement is None:
            statement = self._cache[known] = self._compile(query, key, columns)
        if parts:
            self._copies[parts] = Copied(query, key, statement)
        return statement.bind(query, key, named)

    def _compile(
        self, query: ClauseElement, key: CacheKey | None, columns: list[str]
    ) -> CoreStatement:
        compiled: Any = query.compile(dialect=self._dialect, column_keys=columns, cache_key=key)
        return CoreStatement(compiled, self._dialect)


def _shared_parts(query: Any) -> tuple[Any, ...]:
    """Identify what copies of one expression by ``params()`` have in common; empty for others.

    From SQLAlchemy 2.1 on such a copy shares every part with the original and keeps the values
    apart, but works its cache key out anew, which takes longer than all the rest of a query.
    """
    if not getattr(query, "_params", None):
        return ()
    parts = [id(part) for name, part in query.__dict__.items() if name != "_params"]
    return (id(type(query)), *parts, *query._params)


class Copied(NamedTuple):
    """An expression with ``params()``, kept so that the next copy of it is recognised."""

    query: Any
    """Keeps the shared parts alive, so that nothing else can have their identity."""
    key: Any
    statement: CoreStatement

    def bind(self, query: Any) -> Bound:
        """Bind a copy that has other values under the same names."""
        values = {**self.key.params, **query._params}
        return self.statement.bind(query, self.key._replace(params=values), {})


def _absorb(query: ClauseElement, values: Any) -> tuple[ClauseElement, Mapping[str, Any]]:
    """Put into the expression itself what cannot be a bind value."""
    if isinstance(query, Insert) and isinstance(values, list | tuple):
        return query.values(values), {}
    try:
        named = {getattr(name, "key", name): value for name, value in values.items()}
    except AttributeError:
        raise QueryTypeError(
            f"The values of a query are a dict of names and values, not "
            f"{type(values).__name__}: write values={{'name': ...}}"
        ) from None
    if isinstance(query, Insert | Update):
        set_already = {getattr(column, "key", column) for column in query._values or ()}
        expressions = {
            name: value
            for name, value in named.items()
            if name in set_already
            or isinstance(value, ClauseElement)
            or hasattr(value, "__clause_element__")
        }
        if expressions:
            query = query.values(expressions)
            named = {name: value for name, value in named.items() if name not in expressions}
    return query, named


class CoreStatement(Statement):
    """A compiled Core expression: SQL, binds with their processors, and how its rows are decoded.

    Args:
        compiled: what SQLAlchemy's compiler made.
        dialect: the dialect it was made for.
    """

    __slots__ = ("_compiled", "_dialect", "_expanded", "_made_anew", "_query")

    typed = True

    def __init__(self, compiled: SQLCompiler, dialect: Dialect) -> None:
        super().__init__(compiled.string)
        self._compiled = compiled
        self._dialect = dialect
        # SQL with its IN lists written out -> the statement of that SQL.
        self._expanded: Kept[str, CoreStatement] = Kept(16)
        # Aliases, subqueries and functions are usually made anew for each query, so that the
        # columns a user has in hand are not the ones that were compiled. Labels have a name.
        self._made_anew = any(
            not isinstance(getattr(thing, "table", None), Table) and not isinstance(thing, Label)
            for entry in compiled._result_columns
            for thing in entry.objects[:1]
        )
        self._query: ClauseElement | None = None

    def bind(self, query: ClauseElement, key: CacheKey | None, named: Mapping[str, Any]) -> Bound:
        """Put the values of one call into the order of the placeholders."""
        compiled = self._compiled
        parameters = self._parameters(query, key, named)
        if compiled.insert_prefetch or compiled.update_prefetch:
            DefaultContext(compiled, self._dialect, parameters).fill()
        processors: Any = compiled._bind_processors
        order: Sequence[str] = compiled.positiontup or ()
        statement = self
        if compiled.post_compile_params or compiled.literal_execute_params:
            state = compiled._process_parameters_for_postcompile(parameters)
            processors = {**processors, **state.processors}
            parameters = {**parameters, **state.parameters}
            order = state.positiontup or ()
            statement = self._with_sql(state.statement)
        if self._made_anew:
            statement = statement._with_query(query)
        arguments = tuple(
            [
                processors[name](parameters[name]) if name in processors else parameters[name]
                for name in order
            ]
        )
        return Bound(statement, arguments)

    def _parameters(
        self, query: ClauseElement, key: CacheKey | None, named: Mapping[str, Any]
    ) -> MutableMapping[str, Any]:
        compiled = self._compiled
        if stray := named.keys() - compiled.binds.keys():
            known = set(compiled.binds)
            if isinstance(query, Insert | Update) and isinstance(query.table, Table):
                known = {column.key for column in query.table.columns} | known
            theirs = CompileError if isinstance(query, Insert | Update) else None
            raise unknown_bind(min(stray), _readable(known), query, theirs)
        # From 2.1 on the values of params() come third, apart from the expression.
        collected = key[2] if key is not None and len(key) > 2 else None
        try:
            return compiled.construct_params(
                {**collected, **named} if collected else named,
                extracted_parameters=None if key is None else key.bindparams,
                escape_names=False,
            )
        except InvalidRequestError:
            required = (name for name, bind in compiled.binds.items() if bind.required)
            missing = next((name for name in required if name not in named), None)
            if missing is None:
                raise
            raise missing_bind(missing, query) from None

    def _with_sql(self, sql: str) -> CoreStatement:
        statement = self._expanded.get(sql)
        if statement is None:
            statement = self._expanded[sql] = CoreStatement(self._compiled, self._dialect)
            statement.sql = sql
        return statement

    def _with_query(self, query: ClauseElement) -> CoreStatement:
        statement = CoreStatement(self._compiled, self._dialect)
        statement.sql = self.sql
        statement._query = query
        return statement

    def _make_shape(self, names: tuple[str, ...], codes: tuple[Any, ...]) -> Shape:
        entries = self._entries(names)
        decoders = [
            None if entry is None else entry.type._cached_result_processor(self._dialect, code)
            for entry, code in zip(entries, codes or [None] * len(entries), strict=True)
        ]
        keys = tuple(
            name if entry is None else entry.keyname
            for name, entry in zip(names, entries, strict=True)
        )
        columns: dict[Any, int] = {}
        for position, entry in enumerate(entries):
            for thing in entry.objects if entry is not None else ():
                if not isinstance(thing, str):
                    columns.setdefault(thing, position)
                if isinstance(thing, Label):
                    columns.setdefault(thing.element, position)
        selected = getattr(self._query, "_all_selected_columns", ())
        columns.update(zip(selected, range(len(names)), strict=False))
        return Shape(keys, codes, decoders, columns.get)

    def _entries(self, names: tuple[str, ...]) -> list[ResultColumnsEntry | None]:
        """The compiler's column for each column of the result, where it knows one."""
        compiled = self._compiled
        entries = compiled._result_columns
        if len(entries) == len(names) and not compiled._loose_column_name_matching:
            return list(entries)
        by_name = {entry.keyname: entry for entry in entries}
        return [by_name.get(name) for name in names]


def _readable(names: set[str]) -> Iterator[str]:
    """The names that a user gave; anonymous binds have made-up ones."""
    return (name for name in names if not name.startswith("%("))


class DefaultContext:
    """What a ``Column(default=...)`` or ``onupdate=...`` function gets as its context.

    Source: SQLAlchemy's documentation, "Context-Sensitive Default Functions".

    Args:
        compiled: the statement.
        dialect: its dialect.
        parameters: the values by name, which ``fill`` completes.
    """

    def __init__(
        self, compiled: SQLCompiler, dialect: Dialect, parameters: MutableMapping[str, Any]
    ) -> None:
        self.compiled = compiled
        self.dialect = dialect
        self.current_parameters = parameters
        self.current_column: Any = None

    def fill(self) -> None:
        """Work out the Python-side defaults of every column that was given no value."""
        compiled = self.compiled
        key_of: Callable[[Column[Any]], str] = compiled._within_exec_param_key_getter
        for column in compiled.insert_prefetch:
            self.current_parameters[key_of(column)] = self._value(column, column.default)
        for column in compiled.update_prefetch:
            self.current_parameters[key_of(column)] = self._value(column, column.onupdate)

    def _value(self, column: Any, default: Any) -> Any:
        self.current_column = column
        if default.is_scalar:
            return default.arg
        if default.is_callable:
            return default.arg(self)
        raise QueryTypeError(
            f"The default of column {column.key!r} is an SQL expression that this database cannot "
            "work out within the INSERT: pass the value itself"
        )

    def get_current_parameters(
        self, isolate_multiinsert_groups: bool = True
    ) -> MutableMapping[str, Any]:
        """Return the values of the row that is being written, by column key.

        Args:
            isolate_multiinsert_groups: for an INSERT of several rows by ``values([...])``, give
                only the values of the row at hand.
        """
        parameters = self.current_parameters
        state: Any = self.compiled.compile_state
        if not (isolate_multiinsert_groups and getattr(state, "_has_multi_parameters", False)):
            return parameters
        row = self.current_column.index + 1 if hasattr(self.current_column, "original") else 0
        suffix = f"_m{row}"
        return {
            name.removesuffix(suffix): value
            for name, value in parameters.items()
            if name.endswith(suffix)
        }
