"""A connection of asyncmy's or aiomysql's: both are written after PyMySQL."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, TypeVar

from databases.backends.cursors import FetchedCursor
from databases.backends.mysql import faults, sql
from databases.backends.mysql.arguments import checked, in_pieces
from databases.backends.mysql.cursors import StreamingCursor, result_of
from databases.backends.sockets import has_news, shut
from databases.exceptions import TransactionStateError
from databases.records import Result, Shape
from databases.verbs import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from databases.backends.link import NetworkCursor, Role
    from databases.backends.mysql.driver import MySQLDriver
    from databases.statements import Batch, Bound, Statement
    from databases.url import Host

T = TypeVar("T")

_RESET_CONNECTION = 0x1F
"""COM_RESET_CONNECTION, which neither driver has a method for. Source: MySQL's internals manual."""

_SOON = 0.5
"""Seconds for which a task that was cancelled waits for the server to stop its statement."""

_ALONE = ("BEGIN", "COMMIT", "ROLLBACK")
_INSIDE = (
    "SAVEPOINT databases_many",
    "RELEASE SAVEPOINT databases_many",
    "ROLLBACK TO SAVEPOINT databases_many",
)
"""What begins an execute_many, keeps it, and undoes it: alone, and inside a transaction."""

_PLAIN_VALUES = re.compile(
    r"\s*(?:INSERT|REPLACE)\b[^%]*\bVALUES\s*\(\s*%s(?:\s*,\s*%s)*\s*\)"
    r"\s*(?:ON\s+DUPLICATE\s+KEY\s[^%]*)?;?\s*\Z",
    re.I,
)
"""An INSERT that both drivers can repeat for many rows: with all of its binds in one row of values,
and nothing that it returns."""


class RolledBack(Exception):
    """Carries an error past a driver that would not tell of it.

    Args:
        error: the server's, which has rolled the transaction back.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class MySQLLink:
    """A connection of a driver's.

    Args:
        connection: the driver's.
        driver: what opened it.
        host: where the server is.
    """

    commits_by_itself = True

    def __init__(self, connection: Any, driver: MySQLDriver, host: Host) -> None:
        self.raw = connection
        self._host = host
        self.sent = False
        self.in_transaction = connection.get_transaction_status
        self._driver = driver
        self._thread = connection.thread_id()
        self._broken = False
        self._busy = False
        self._stream: StreamingCursor | None = None
        # The server rolled the transaction back by itself; its user does not know yet.
        self._undone = False

    def is_closed(self) -> bool:
        """Whether it is known to be of no use any more."""
        return self._broken or self._has_ended()

    def fileno(self) -> int:
        """The descriptor of its socket."""
        transport = self._transport()
        return -1 if transport is None else transport.get_extra_info("socket").fileno()

    def _transport(self) -> Any:
        raise NotImplementedError

    def is_in_the_clear(self) -> bool:
        """Whether it is not encrypted."""
        return self._transport().get_extra_info("ssl_object") is None

    def _has_ended(self) -> bool:
        """Whether the connection is closed, here or as far as asyncio knows by the server."""
        raise NotImplementedError

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        """Run a statement and return its rows."""
        return await self._guarded(self._fetch, bound, limit)

    async def _fetch(self, bound: Bound, limit: int | None) -> Result:
        cursor = await self._executed(bound)
        if not cursor.description:
            return Result(Shape(()), [], True)
        rows = await (cursor.fetchall() if limit is None else cursor.fetchmany(limit))
        await self._finish(cursor, bound.statement)
        return result_of(cursor, bound.statement, rows)

    async def execute(self, bound: Bound) -> Any:
        """Run a statement; the last inserted id, and where there is none the row count."""
        return await self._guarded(self._execute, bound)

    async def _execute(self, bound: Bound) -> Any:
        cursor = await self._executed(bound)
        answer = cursor.lastrowid or cursor.rowcount
        await self._finish(cursor, bound.statement)
        return answer

    async def _finish(self, cursor: Any, statement: Statement) -> None:
        """Hear how the others ended, where there were several statements in one text."""
        if ";" in statement.sql:
            while await cursor.nextset():
                pass

    async def _executed(self, bound: Bound) -> Any:
        statement, arguments = bound
        cursor = await self.raw.cursor()
        if statement.verb is Verb.OTHER and not arguments:
            # Not worth preparing, or impossible to.
            await cursor.execute(statement.sql % ())
        else:
            await cursor.execute(statement.sql, checked(arguments))
        return cursor

    async def execute_many(self, batch: Batch) -> None:
        """Run a statement with many rows of arguments, in as few round trips as possible."""
        await self._guarded(self._execute_many, batch)

    async def _execute_many(self, batch: Batch) -> None:
        inside = self.in_transaction()
        begin, keep, undo = _INSIDE if inside else _ALONE
        cursor = await self.raw.cursor()
        await cursor.execute(begin)
        try:
            await self._all_rows(cursor, batch)
            await cursor.execute(keep)
        except Exception as error:
            if not self.is_closed() and faults.code_of(error) not in faults.UNDONE:
                await cursor.execute(undo)
            raise

    async def _all_rows(self, cursor: Any, batch: Batch) -> None:
        sql, together = batch.statement.sql, _PLAIN_VALUES.match(batch.statement.sql)
        for rows in in_pieces(batch.rows):
            if together and not any(map(_beyond_64_bits, itertools.chain.from_iterable(rows))):
                # The drivers write INSERT ... VALUES with many rows, or have the server bind them.
                await cursor.executemany(sql, rows)
            else:
                await cursor.execute(";".join([cursor.mogrify(sql, row) for row in rows]))
                while await cursor.nextset():
                    pass

    async def open_cursor(self, bound: Bound, *, alone: bool) -> NetworkCursor:
        """Start a query whose rows are read piece by piece."""
        if bound.statement.verb is not Verb.READ:
            return FetchedCursor(await self.fetch(bound, None))
        return await self._guarded(self._stream_of, bound)

    async def _stream_of(self, bound: Bound) -> NetworkCursor:
        cursor = await self.raw.cursor(self._driver.streaming)
        await cursor.execute(bound.statement.sql, checked(bound.arguments))
        self._stream = StreamingCursor(cursor, bound.statement, self._watched)
        return self._stream

    async def run(self, sql: str) -> str | None:
        """Run a statement without values or rows."""
        if sql in ("COMMIT", "ROLLBACK"):
            undone, self._undone = self._undone, False
            if undone and sql == "COMMIT":
                await self._guarded(self._run, "ROLLBACK")
                return "ROLLBACK"
        await self._guarded(self._run, sql)
        return None

    async def _run(self, sql: str) -> None:
        cursor = await self.raw.cursor()
        await cursor.execute(sql)

    async def settle(self) -> None:
        """A connection whose statement is cancelled is closed."""

    async def reset(self) -> None:
        """Make the session as good as new."""
        if self._stream is not None and self._stream.is_open:
            # What is left of its rows may be more than anybody wants to read.
            self._busy = True
            self.terminate()
            return
        self._stream, self._undone = None, False
        await self.raw._execute_command(_RESET_CONNECTION, b"")
        await self.raw._read_ok_packet()
        self._forget_prepared()
        # What the driver did when it connected is undone as well.
        for statement in self._driver.options.session(self.raw):
            await self._run(statement)

    def _forget_prepared(self) -> None:
        """Forget statements that were prepared: the server has."""

    async def ping(self) -> None:
        """Ask the server for a sign of life."""
        await self.raw.ping(reconnect=False)

    async def role(self) -> Role:
        """What the server is now, alone or as a node of a Galera cluster."""
        cursor = await self.raw.cursor()
        await cursor.execute(sql.ROLE)
        told = dict(await cursor.fetchall())
        while await cursor.nextset():
            told.update(await cursor.fetchall())
        return sql.role(told)

    async def close(self) -> None:
        """Take leave of the server."""
        if self._busy:
            self.terminate()
        else:
            await self.raw.ensure_closed()

    def terminate(self) -> None:
        """Close the socket, and stop on the server what runs there."""
        self._broken = True
        transport = self._transport()
        try:
            self.raw.close()
            if transport is not None and not self.raw._loop.is_running():
                # It would close the socket when it runs again, if ever.
                shut(transport)
            if self._busy:
                self._driver.kill_soon(self._thread, self._host)
        except RuntimeError:
            shut(transport)
            self._forget_transport()
        self._busy = False

    def _forget_transport(self) -> None:
        """Spare the garbage collector what the driver would do with a transport that is shut."""

    async def _guarded(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Do some work on the connection once it is free and fit for it."""
        if self._undone:
            raise TransactionStateError(
                "The server rolled this transaction back when others were in its way (a deadlock): "
                "leave its block, and run it again from its beginning."
            )
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.keep_the_rest()
        if self.is_closed() or has_news(self.fileno()):
            # Nothing comes from MySQL that was not asked for, but its end.
            self.terminate()
            self.sent = False
            raise self._driver.gone(faults.GONE, "MySQL server has gone away")
        return await self._watched(work, *arguments)

    async def _watched(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Do some work on the connection, and take note of what becomes of it."""
        was_in_transaction = self.in_transaction()
        self._busy = self.sent = True
        try:
            result = await work(*arguments)
        except RolledBack as carrier:
            self._busy = False
            self._undone = was_in_transaction
            raise carrier.error from None
        except Exception as error:
            self._busy = False
            code = faults.code_of(error)
            # Without a code of the server's its answer was not understood, and is not over.
            lost = code == 0 and self._driver.is_its_own(error)
            if code in faults.BROKEN or lost or isinstance(error, UnicodeDecodeError):
                self.terminate()
            elif code in faults.UNDONE:
                self._undone = was_in_transaction
            raise
        except BaseException:
            # The driver does not know any more what the server sends: the connection is lost.
            self.terminate()
            await self._driver.stopped(_SOON)
            raise
        self._busy = False
        return result


def _beyond_64_bits(value: object) -> bool:
    """Whether it is a number that MariaDB's bulk protocol would take for a negative one."""
    return isinstance(value, int) and not -(2**63) <= value < 2**63
