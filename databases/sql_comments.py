"""Comments in the SQL that name the trace it belongs to, so that a server's log leads back to it.

Source: the specification of sqlcommenter (google.github.io/sqlcommenter/spec), and OpenTelemetry's
semantic conventions, "Database client spans", "SQL commenter".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as missing:
    raise ImportError(
        "sql_comments needs OpenTelemetry: pip install 'databases-next[opentelemetry]'"
    ) from missing

from databases.statements import Batch, Bound, Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.backends.base import Backend, BackendConnection, Cursor, Runner
    from databases.pending import CallSite
    from databases.records import Result, Shape
    from databases.statements import Dialect
    from databases.statistics import Statistics
    from databases.stopping import Stop

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class Commenter:
    """Writes the trace context of the present OpenTelemetry span into statements.

    A statement is left as it is where no span records, and where it has a comment already or what
    could be one, which the specification demands.

    Each request then sends SQL of its own: no statement is prepared once for many calls, PostgreSQL
    and MySQL plan each anew, and on SQLite no read gets into the event loop's own thread. Hence
    this is an option. What is kept of statements stays as much as without.

    Args:
        dialect: the backend's SQL.
        tags: what else to write into each comment, such as the name of the application.

    Example:
        >>> from databases.backends.sqlite.backend import SQLiteBackend
        >>> commenter = Commenter(SQLiteBackend.dialect, {"application": "shop's"})
        >>> commenter.appended("SELECT 1;", {"traceparent": "00-5bd6-c532-01"})
        "SELECT 1 /*application='shop%27s',traceparent='00-5bd6-c532-01'*/;"
    """

    def __init__(self, dialect: Dialect, tags: Mapping[str, str] | None = None) -> None:
        self._tags = dict(tags or {})
        self._doubles_percent = dialect.doubles_percent
        self._marks = ("--", "/*", "#") if dialect.name == "mysql" else ("--", "/*")
        self.many_rows = dialect.name != "mysql"
        """Whether an ``execute_many`` has a comment: MySQL's drivers send many rows at once only
        where the statement ends with its VALUES."""

    def statement(self, statement: Statement) -> Statement:
        """The statement with a comment, or the same one where there is none to be made."""
        if not trace.get_current_span().is_recording():
            return statement
        carrier: dict[str, str] = {}
        _TRACE_CONTEXT.inject(carrier)
        sql = self.appended(statement.sql, carrier)
        return statement if sql is statement.sql else _Commented(statement, sql)

    def appended(self, sql: str, pairs: Mapping[str, str]) -> str:
        """SQL with a comment at its end.

        Args:
            sql: the driver's SQL.
            pairs: what the comment says, beside the tags.
        """
        if any(mark in sql for mark in self._marks):
            return sql
        # Quoted, nothing can end the comment or a string in it.
        written = ",".join(
            f"{quote(key, safe='')}='{quote(value, safe='')}'"
            for key, value in sorted({**self._tags, **pairs}.items())
        )
        if self._doubles_percent:
            written = written.replace("%", "%%")
        end = sql.rstrip()
        semicolon = ";" if end.endswith(";") else ""
        return f"{end.removesuffix(';')} /*{written}*/{semicolon}"


class _Commented(Statement):
    """A statement with a comment, for one call: all that is kept is kept by the statement itself.

    Args:
        statement: the statement.
        sql: its SQL with the comment.
    """

    __slots__ = ("_statement", "typed")

    def __init__(self, statement: Statement, sql: str) -> None:
        self.sql = sql
        self.verb = statement.verb
        self.typed = statement.typed
        self.family = statement.family
        self._statement = statement

    def shape(self, names: tuple[str, ...], codes: tuple[Any, ...] = ()) -> Shape:
        """The shape of rows with these columns, kept for the next result."""
        return self._statement.shape(names, codes)


class _CommentingRunner:
    """Statements with comments, on the backend itself or on one of its connections."""

    def __init__(self, runner: Runner, commenter: Commenter) -> None:
        self._runner = runner
        self._commenter = commenter

    def _commented(self, bound: Bound) -> Bound:
        return Bound(self._commenter.statement(bound.statement), bound.arguments)

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows."""
        return await self._runner.fetch(self._commented(bound), limit, site)

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        return await self._runner.execute(self._commented(bound), site)

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        if self._commenter.many_rows:
            comment = self._commenter.statement
            batches = [Batch(comment(statement), rows) for statement, rows in batches]
        await self._runner.execute_many(batches, site)


class CommentingBackend(_CommentingRunner):
    """A backend whose statements have comments; it stands at the seam in place of the backend.

    Args:
        backend: it.
        tags: what else than the trace context to write into each comment.
    """

    def __init__(self, backend: Backend, tags: Mapping[str, str] | None = None) -> None:
        super().__init__(backend, Commenter(backend.dialect, tags))
        self._backend = backend
        self.dialect = backend.dialect

    async def connect(self) -> None:
        """Make the database reachable."""
        await self._backend.connect()

    async def disconnect(self, stop: Stop) -> None:
        """Close everything."""
        await self._backend.disconnect(stop)

    def statistics(self) -> Statistics:
        """The live state."""
        return self._backend.statistics()

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> CommentingConnection:
        """Return a connection of the caller's own, as good as new."""
        held = await self._backend.acquire(site, readonly=readonly)
        return CommentingConnection(held, self._commenter)


class CommentingConnection(_CommentingRunner):
    """A connection that is held.

    Args:
        connection: it.
        commenter: writes the comments.
    """

    def __init__(self, connection: BackendConnection, commenter: Commenter) -> None:
        super().__init__(connection, commenter)
        self._held = connection
        # What has no statement of the user's goes to the connection as it is.
        self.begin = connection.begin
        self.commit = connection.commit
        self.rollback = connection.rollback
        self.savepoint = connection.savepoint
        self.release_savepoint = connection.release_savepoint
        self.rollback_to_savepoint = connection.rollback_to_savepoint
        self.release = connection.release

    @property
    def raw(self) -> Any:
        """The driver's own connection; what is run on it has no comments."""
        return self._held.raw

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece."""
        return await self._held.open_cursor(self._commented(bound), site, alone=alone)
