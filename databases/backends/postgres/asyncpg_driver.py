"""PostgreSQL by way of asyncpg."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from databases.backends.cursors import FetchedCursor
from databases.backends.link import Role
from databases.backends.postgres import sql
from databases.backends.postgres.cursors import PostgresCursor
from databases.backends.postgres.faults import (
    READ_ONLY,
    SHUT_DOWN,
    adopted_by_state,
    is_full,
    unreachable,
)
from databases.backends.postgres.json_text import decode_in_core, decoded
from databases.backends.postgres.rows import PostgresRecord
from databases.backends.sockets import has_news, read_less_at_once, shut
from databases.exceptions import ConnectionFailureError, DriverError, InterfaceError, adopt
from databases.records import Result
from databases.statements import LONGEST_KEPT, Kept
from databases.verbs import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.engine import Dialect as CoreDialect

    from databases.backends.link import NetworkCursor
    from databases.backends.postgres.options import PostgresOptions
    from databases.statements import Batch, Bound, Statement
    from databases.url import Host

_ASK_AGAIN = 0.1
"""Seconds after which the server is asked again to stop a statement."""

_UNTIL_READ = 2
"""Steps of the event loop until what came on a socket has been read: in one it is looked at."""

_FETCH = PreparedStatement.fetch
_FETCH_ROW = PreparedStatement.fetchrow
_EXECUTE_MANY = PreparedStatement.executemany
_CURSOR = PreparedStatement.cursor


class Driver:
    """Opens asyncpg's connections.

    Args:
        options: where, as whom, and how.
    """

    def __init__(self, options: PostgresOptions) -> None:
        self.options = options
        # Goes up when statements that are prepared may fit the schema no longer.
        self.schema_changes = 0
        self._arguments = options.for_asyncpg()
        self._init: Callable[[Any], Awaitable[None]] | None = self._arguments.pop("init", None)

    async def connect(self, host: Host) -> AsyncpgLink:
        """Open a connection to a host."""
        connection = await asyncpg.connect(**self.options.place(host), **self._arguments)
        if self._init is not None:
            try:
                await self._init(connection)
            except BaseException:
                connection.terminate()
                raise
        return AsyncpgLink(connection, self)

    @staticmethod
    def core_dialect() -> CoreDialect:
        """SQLAlchemy's dialect, which decodes JSON itself: asyncpg gives it as text."""
        from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

        make: Any = PGDialect_asyncpg
        dialect: CoreDialect = make(dbapi=make.import_dbapi(), json_deserializer=decoded)
        decode_in_core(dialect)
        return dialect

    def adopted(
        self,
        error: BaseException,
        lost: type[DriverError] = ConnectionFailureError,
        *,
        readonly: bool = False,
    ) -> BaseException:
        """Make an error of asyncpg ours as well."""
        if isinstance(error, asyncpg.PostgresError):
            state = error.sqlstate
            return adopted_by_state(error, state, self.options, lost, readonly=readonly)
        if isinstance(error, asyncpg.InterfaceError) and "closed" not in str(error):
            return adopt(error, InterfaceError)
        if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
            return adopt(error, lost)
        if isinstance(error, OSError | TimeoutError):
            return unreachable(error, self.options, lost)
        return error

    def role_told(self, error: BaseException) -> Role | None:
        """What a server says that it is when it refuses to write."""
        return Role.STANDBY if getattr(error, "sqlstate", None) == READ_ONLY else None

    def is_undone(self, error: BaseException) -> bool:
        """Whether the server ended the session before the statement was done."""
        causes = (error, error.__cause__)
        return any(getattr(cause, "sqlstate", None) in SHUT_DOWN for cause in causes)

    def is_full(self, error: BaseException) -> bool:
        """Whether the server has no room for another connection."""
        return isinstance(error, asyncpg.PostgresError) and is_full(error, error.sqlstate)

    async def close(self) -> None:
        """Nothing is done in the background: asyncpg itself waits for what is cancelled."""


class _Prepared(NamedTuple):
    """A statement that one connection has prepared."""

    statement: PreparedStatement[Any]
    names: tuple[str, ...]
    codes: tuple[int, ...]


class AsyncpgLink:
    """A connection of asyncpg's, and the statements that it has prepared.

    Args:
        connection: asyncpg's.
        driver: what opened it.
    """

    commits_by_itself = False

    def __init__(self, connection: asyncpg.Connection[Any], driver: Driver) -> None:
        self.raw = connection
        self.sent = False
        # Without a method of ours in between: each query asks.
        self.is_closed = connection.is_closed
        # Of its protocol, which it has no longer once it is closed.
        self.in_transaction = connection._protocol.is_in_transaction
        self._is_stopping = connection._protocol._is_cancelling
        self._driver = driver
        size = driver.options.statement_cache_size
        # By SQL: for SQL text and for Core expressions, whose rows are of different classes.
        self._prepared: Kept[str, _Prepared] = Kept(size)
        self._typed: Kept[str, _Prepared] = Kept(size)
        self._schema_changes = driver.schema_changes
        self._held_cursors = 0
        read_less_at_once(connection._transport)
        self._left_open: list[str] = []

    def fileno(self) -> int:
        """The descriptor of its socket."""
        transport = self.raw._transport
        return -1 if transport is None else transport.get_extra_info("socket").fileno()

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        """Run a statement and return its rows."""
        statement, arguments = bound
        if limit is None:
            prepared, rows = await self._with_prepared(statement, _FETCH, *arguments)
        else:
            prepared, row = await self._with_prepared(statement, _FETCH_ROW, *arguments)
            rows = [] if row is None else [row]
        return _result(statement, prepared, rows)

    async def execute(self, bound: Bound) -> Any:
        """Run a statement; the first column of its first row, None where there is none."""
        records = (await self.fetch(bound, 1)).records()
        return records[0][0] if records and len(records[0]) else None

    async def execute_many(self, batch: Batch) -> None:
        """Run a statement with many rows of arguments, all in one round trip."""
        await self._with_prepared(batch.statement, _EXECUTE_MANY, batch.rows)

    async def _with_prepared(
        self, statement: Statement, method: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> tuple[_Prepared, Any]:
        self.sent = False
        if self._is_stopping():
            await self.settle()
        kept = self._typed if statement.typed else self._prepared
        prepared = kept.get(statement.sql)
        if prepared is None or self._schema_changes != self._driver.schema_changes:
            prepared = await self._prepare(statement, kept)
        self.sent = True
        try:
            return prepared, await method(prepared.statement, *arguments)
        except asyncpg.InvalidCachedStatementError:
            # The schema has changed. A transaction has failed by that, and has to be begun again.
            self._driver.schema_changes += 1
            if self.in_transaction():
                raise
        except asyncpg.InternalServerError as error:
            # So it has where a type is there no longer.
            if "cache lookup failed" not in str(error) or self.in_transaction():
                raise
            self._driver.schema_changes += 1
        except asyncpg.exceptions.DataError as error:
            # asyncpg's own, not the server's: the arguments may be wrong only for what a column
            # was when this was prepared.
            if error.severity is not None or self.in_transaction():
                raise
            kept.pop(statement.sql, None)
        except asyncpg.InterfaceError:
            # Raised before anything is sent: by a wrong number of arguments, or once it is closed.
            self.sent = False
            raise
        except asyncpg.InternalClientError:
            # So is this, where the server's last words have been read, but not yet its end.
            self.sent = False
            self.terminate()
            raise
        prepared = await self._prepare(statement, kept)
        self.sent = True
        return prepared, await method(prepared.statement, *arguments)

    async def _prepare(self, statement: Statement, kept: Kept[str, _Prepared]) -> _Prepared:
        if self._schema_changes != self._driver.schema_changes:
            self._schema_changes = self._driver.schema_changes
            self._prepared.clear()
            self._typed.clear()
            await self.raw.reload_schema_state()
        rows = _class_of_rows(statement)
        prepared = _described(await self.raw.prepare(statement.sql, record_class=rows))
        if len(statement.sql) <= LONGEST_KEPT:
            kept[statement.sql] = prepared
        return prepared

    async def open_cursor(self, bound: Bound, *, alone: bool) -> NetworkCursor:
        """Start a query whose rows are read piece by piece."""
        if bound.statement.verb is not Verb.READ:
            # Rows that RETURNING gives are made as a whole in any case.
            return FetchedCursor(await self.fetch(bound, None))
        while self._left_open:
            await self.raw.execute(f"CLOSE {self._left_open.pop()}")
        if not alone and not self.in_transaction():
            return await self._open_held(bound)
        if alone:
            await self.run("BEGIN")
        prepared, cursor = await self._with_prepared(bound.statement, _CURSOR, *bound.arguments)

        async def fetch(count: int) -> Result:
            return _result(bound.statement, prepared, await cursor.fetch(count))

        return PostgresCursor(fetch, partial(self.run, "COMMIT") if alone else None)

    async def _open_held(self, bound: Bound) -> NetworkCursor:
        """Open a cursor that needs no transaction: the user's own statements are run meanwhile."""
        statement, arguments = bound
        if not sql.is_declarable(statement):
            return FetchedCursor(await self.fetch(bound, None))
        self._held_cursors += 1
        name = f"databases_{self._held_cursors}"
        declare = f"DECLARE {name} NO SCROLL CURSOR WITH HOLD FOR {statement.sql}"
        try:
            await (await self.raw.prepare(declare)).fetch(*arguments)
        except asyncpg.FeatureNotSupportedError:
            # SELECT FOR UPDATE outside of a transaction.
            return FetchedCursor(await self.fetch(bound, None))
        rows = _class_of_rows(statement)
        prepared: dict[int, _Prepared] = {}

        async def fetch(count: int) -> Result:
            if count not in prepared:
                text = f"FETCH FORWARD {count} FROM {name}"
                prepared[count] = _described(await self.raw.prepare(text, record_class=rows))
            return _result(statement, prepared[count], await prepared[count].statement.fetch())

        close = partial(self.run, f"CLOSE {name}")
        return PostgresCursor(fetch, close, partial(self._left_open.append, name))

    async def run(self, sql: str) -> Any:
        """Run a statement without values or rows; the server's word for what it did."""
        self.sent = False
        if self._is_stopping():
            await self.settle()
        known: Any = self.raw
        if sql == "COMMIT" and has_news(self.fileno()):
            # It may be the server's last words. Once asyncpg has read them it sends nothing.
            for _ in range(_UNTIL_READ):
                await asyncio.sleep(0)
        self.sent = True
        try:
            answer = await self.raw.execute(sql)
        except asyncpg.InterfaceError:
            self.sent = False
            raise
        except asyncpg.InternalClientError as error:
            # As above; but there are others.
            self.sent = "cannot switch to state" not in str(error)
            self.terminate()
            raise
        finally:
            if sql in ("COMMIT", "ROLLBACK"):
                known._top_xact = None
        if sql.startswith("BEGIN"):
            # So raw_connection.transaction() makes a savepoint in it, as in databases 0.9.
            known._top_xact = known.transaction()
        return answer

    async def reset(self) -> None:
        """Make the session as good as new."""
        await self.settle()
        if self.in_transaction():
            await self.run("ROLLBACK")
        await self.raw.execute(sql.RESET)
        self._left_open.clear()

    async def settle(self) -> None:
        """Wait until a statement that was cancelled has stopped.

        asyncpg asks the server once. Where that comes before the server has begun with the
        statement nobody hears it, and so it is asked again.
        """
        if not self._is_stopping():
            return
        stopping = asyncio.ensure_future(self.raw.execute("SELECT 1"))
        asked: asyncio.Future[None] | None = None
        try:
            while not (await asyncio.wait([stopping], timeout=_ASK_AGAIN))[0]:
                if asked is None or asked.done():
                    # Not in this task: asyncpg would keep a cancellation of it to itself.
                    asked = asyncio.get_running_loop().create_future()
                    self.raw._cancel_current_command(asked)
            await asyncio.gather(stopping, return_exceptions=True)
        finally:
            stopping.cancel()

    async def ping(self) -> None:
        """Ask the server for a sign of life."""
        await self.raw.execute("SELECT 1")

    async def role(self) -> Role:
        """What the server is now."""
        told: Any = self.told() or await self.raw.fetchrow(sql.ROLE)
        return sql.role(*told)

    def told(self) -> tuple[str, str] | None:
        """What the server has told of its role, as it does from version 14 on."""
        settings: Any = self.raw.get_settings()
        if not hasattr(settings, "in_hot_standby"):
            return None
        return settings.in_hot_standby, settings.default_transaction_read_only

    async def close(self) -> None:
        """Stop what is under way, and take leave of the server."""
        await self.raw.close()

    def terminate(self) -> None:
        """Close the socket."""
        try:
            if not self.is_closed():
                self.raw.terminate()
        except RuntimeError:
            shut(self.raw._transport)


def _class_of_rows(statement: Statement) -> type[asyncpg.Record]:
    return asyncpg.Record if statement.typed else PostgresRecord


def _described(statement: PreparedStatement[Any]) -> _Prepared:
    columns = statement.get_attributes()
    names = tuple([column.name for column in columns])
    return _Prepared(statement, names, tuple([column.type.oid for column in columns]))


def _result(statement: Statement, prepared: _Prepared, rows: list[Any]) -> Result:
    shape = statement.shape(prepared.names, prepared.codes)
    if shape.plain:
        return Result(shape, rows, True)
    if not statement.typed:
        # A column has the name of one of Record's methods. Iterated over, these rows give names.
        rows = [tuple(asyncpg.Record.values(row)) for row in rows]
    return shape.result(rows)
