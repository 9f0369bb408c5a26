"""PostgreSQL by way of psycopg 3."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.string import TextLoader

from databases import exceptions
from databases.backends.link import Role
from databases.backends.postgres.faults import (
    READ_ONLY,
    SHUT_DOWN,
    adopted_by_state,
    is_full,
    unreachable,
)
from databases.backends.postgres.json_text import decode_in_core, decoded
from databases.backends.postgres.psycopg_connection import Background, Connection
from databases.backends.postgres.psycopg_link import PsycopgLink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.engine import Dialect as CoreDialect

    from databases.backends.postgres.options import PostgresOptions
    from databases.url import Host

_REFUSALS = (
    (re.compile(r"password authentication failed|no password supplied"), "28P01"),
    (re.compile(r'pg_hba\.conf|role ".*" does not exist'), "28000"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
    (re.compile(r"too many clients|too many connections|connection slots"), "53300"),
    (re.compile(r"the database system is "), "57P03"),
)
"""What a server says when it lets nobody in, and the SQLSTATE, which libpq keeps to itself."""

_OURS = (
    (psycopg.DataError, exceptions.DataError),
    (psycopg.IntegrityError, exceptions.IntegrityError),
    (psycopg.InternalError, exceptions.InternalError),
    (psycopg.NotSupportedError, exceptions.NotSupportedError),
    (psycopg.ProgrammingError, exceptions.ProgrammingError),
    (psycopg.Error, exceptions.InterfaceError),
)
"""Our classes for those of errors that psycopg itself raises, without a SQLSTATE."""


class Driver:
    """Opens psycopg's connections.

    Args:
        options: where, as whom, and how.
    """

    def __init__(self, options: PostgresOptions) -> None:
        self.options = options
        # Goes up when statements that are prepared may fit the schema no longer.
        self.schema_changes = 0
        self._arguments = options.for_psycopg()
        self._init: Callable[[Any], Awaitable[None]] | None = self._arguments.pop("init", None)
        self._arguments.setdefault("context", _adapters())
        self.background = Background()

    async def connect(self, host: Host) -> PsycopgLink:
        """Open a connection to a host."""
        size = self.options.statement_cache_size
        try:
            connection = await Connection.connect(
                **self.options.place(host),
                **self._arguments,
                autocommit=True,
                # Placeholders are PostgreSQL's own: nothing is parsed.
                cursor_factory=psycopg.AsyncRawCursor,
                prepare_threshold=0 if size > 0 else None,
            )
        except (asyncio.CancelledError, psycopg.Error) as error:
            # The frames of its traceback know the half-open connection, which would stay with them.
            raise error.with_traceback(None) from error.__cause__
        connection.prepared_max = size
        connection.background = self.background
        if self._init is not None:
            try:
                await self._init(connection)
            except BaseException:
                connection.pgconn.finish()
                raise
        return PsycopgLink(connection, self)

    @staticmethod
    def core_dialect() -> CoreDialect:
        """SQLAlchemy's dialect, with placeholders that PostgreSQL knows."""
        from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

        make: Any = PGDialect_psycopg
        # The type hstore has another number in each database, which psycopg would have to be told.
        dialect: CoreDialect = make(
            dbapi=psycopg,
            paramstyle="numeric_dollar",
            use_native_hstore=False,
            json_deserializer=decoded,
        )
        decode_in_core(dialect)
        return dialect

    def adopted(
        self,
        error: BaseException,
        lost: type[exceptions.DriverError] = exceptions.ConnectionFailureError,
        *,
        readonly: bool = False,
    ) -> BaseException:
        """Make an error of psycopg ours as well."""
        if isinstance(error, OSError):
            return unreachable(error, self.options, lost)
        if isinstance(error, UnicodeEncodeError):
            return exceptions.adopt(error, exceptions.DataError)  # half of a surrogate pair
        if not isinstance(error, psycopg.Error):
            return error
        # Only what it would be pickled with stays: the connection knows the password.
        vars(error).update(cast("Any", error.__reduce__())[2])
        state = error.sqlstate or _state_of_refusal(str(error))
        if state:
            return adopted_by_state(error, state, self.options, lost, readonly=readonly)
        if isinstance(error, psycopg.OperationalError):
            return unreachable(error, self.options, lost)
        return exceptions.adopt(error, next(o for t, o in _OURS if isinstance(error, t)))

    def role_told(self, error: BaseException) -> Role | None:
        """What a server says that it is when it refuses to write."""
        return Role.STANDBY if getattr(error, "sqlstate", None) == READ_ONLY else None

    def is_undone(self, error: BaseException) -> bool:
        """Whether the server ended the session before the statement was done."""
        return isinstance(error, psycopg.Error) and error.sqlstate in SHUT_DOWN

    def is_full(self, error: BaseException) -> bool:
        """Whether the server has no room for another connection."""
        return isinstance(error, psycopg.Error) and is_full(error, _state_of_refusal(str(error)))

    async def close(self) -> None:
        """Wait until what was to be stopped has stopped."""
        await self.background.close()


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    for name in ("json", "jsonb"):
        adapters.register_loader(name, TextLoader)
    return adapters


def _state_of_refusal(message: str) -> str | None:
    return next((state for said, state in _REFUSALS if said.search(message)), None)
