"""A connection to PostgreSQL by way of psycopg 3."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from databases.backends.cursors import FetchedCursor
from databases.backends.postgres import sql
from databases.backends.postgres.cursors import PostgresCursor
from databases.backends.postgres.psycopg_connection import STOPPING
from databases.backends.sockets import has_news
from databases.statements import LONGEST_KEPT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from databases.backends.link import NetworkCursor, Role
    from databases.backends.postgres.psycopg_connection import Connection
    from databases.backends.postgres.psycopg_driver import Driver
    from databases.records import Result
    from databases.statements import Batch, Bound, Statement

_IS_OPEN = frozenset(
    {TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR}
)

_MOST_FAILED = 100
"""Failed statements after which what is prepared is dropped: what fails the first time that it is
run, psycopg forgets, and the server keeps."""


class PsycopgLink:
    """A connection of psycopg's.

    Args:
        connection: psycopg's.
        driver: what opened it.
    """

    commits_by_itself = False

    def __init__(self, connection: Connection, driver: Driver) -> None:
        self.raw = connection
        self.sent = False
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._keeps = driver.options.statement_cache_size > 0
        self._schema_changes = driver.schema_changes
        self._failed = 0
        self._cursors = 0
        self._left_open: list[str] = []
        self._is_shut = False

    def is_closed(self) -> bool:
        """Whether it is known to be of no use any more."""
        return self.raw.ended or self.raw.closed

    def in_transaction(self) -> bool:
        """Whether a transaction is open on it, failed or not."""
        return self.raw.pgconn.transaction_status in _IS_OPEN

    def fileno(self) -> int:
        """The descriptor of its socket."""
        return -1 if self.is_closed() else self.raw.fileno()

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        """Run a statement and return its rows.

        All of them come over to the client: to stop the server after ``limit`` rows takes a cursor
        on the server, four round trips instead of one.
        """
        statement, arguments = bound
        prepare = None if len(statement.sql) <= LONGEST_KEPT else False
        cursor = await self._run(
            lambda cursor: cursor.execute(statement.sql, arguments, prepare=prepare)
        )
        return await _result(statement, cursor, limit)

    async def execute(self, bound: Bound) -> Any:
        """Run a statement; the first column of its first row, None where there is none."""
        records = (await self.fetch(bound, 1)).records()
        return records[0][0] if records and len(records[0]) else None

    async def execute_many(self, batch: Batch) -> None:
        """Run a statement with many rows of arguments, all in one round trip."""
        alone = not self.in_transaction()
        await self._run(lambda cursor: self._execute_many(cursor, batch, alone))

    async def _execute_many(self, cursor: Any, batch: Batch, alone: bool) -> None:
        # Older versions of libpq have no pipelines.
        pipelined = psycopg.capabilities.has_pipeline()
        failed: BaseException | None = None
        try:
            async with self.raw.pipeline() if pipelined else contextlib.nullcontext():
                try:
                    if alone:
                        await self.raw.execute("BEGIN", prepare=False)
                    await cursor.executemany(batch.statement.sql, batch.rows)
                    if alone:
                        await self.raw.execute("COMMIT", prepare=False)
                except psycopg.Error as error:
                    # At the pipeline's end there may be another one, and psycopg would log it.
                    failed = error
        except psycopg.Error as error:
            # A pipeline that was cancelled at its end complains that it is not at its end.
            cancelled = isinstance(error.__context__, asyncio.CancelledError)
            failed = failed or (error.__context__ if cancelled else error)
        except BaseException as error:
            failed = error
        # A cancellation at the wrong moment leaves psycopg in a pipeline: it would answer to one
        # statement with the rows of another.
        if self.raw.pgconn.pipeline_status:
            self.terminate()
        elif alone and self.in_transaction() and not self.is_closed():
            if isinstance(failed, Exception):
                await self.run("ROLLBACK")
            else:
                # Its time is up: the server undoes what is open with the end of the connection.
                self.terminate()
        if failed is not None:
            try:
                raise failed
            finally:
                del failed

    async def _run(self, work: Callable[[Any], Awaitable[object]]) -> Any:
        """Do something with a cursor of psycopg's, and return the cursor."""
        cursor = await self._cursor()
        try:
            await work(cursor)
            return cursor
        except psycopg.Error as error:
            self._failed += 1
            # Its class is that of all that PostgreSQL cannot do, its message is in any language.
            gone = error.sqlstate == "XX000" and "cache lookup failed" in str(error)
            if error.diag.source_function != "RevalidateCachedQuery" and not gone:
                raise
            # The schema has changed. A transaction has failed by that, and has to be begun again.
            self._driver.schema_changes += 1
            if self.in_transaction():
                raise
        cursor = await self._cursor()
        await work(cursor)
        return cursor

    async def _cursor(self) -> Any:
        self.sent = False
        changes = self._driver.schema_changes
        outdated = self._keeps and (self._schema_changes != changes or self._failed > _MOST_FAILED)
        if outdated and self.raw.pgconn.transaction_status != TransactionStatus.INERROR:
            self._schema_changes, self._failed = changes, 0
            # psycopg forgets what it has prepared when it sees this statement for the first time,
            # which it does each time if this is prepared as well.
            await self.raw.execute("DEALLOCATE ALL", prepare=True)
        cursor = self.raw.cursor()
        self.sent = True
        return cursor

    async def open_cursor(self, bound: Bound, *, alone: bool) -> NetworkCursor:
        """Start a query whose rows are read piece by piece."""
        statement, arguments = bound
        if not sql.is_declarable(statement):
            # Rows that RETURNING gives are made as a whole in any case.
            return FetchedCursor(await self.fetch(bound, None))
        while self._left_open:
            await self.run(f"CLOSE {self._left_open.pop()}")
        self._cursors += 1
        name = f"databases_{self._cursors}"
        held = not alone and not self.in_transaction()
        if alone:
            await self.run("BEGIN")
        # psycopg's own cursors on the server would ask for their columns, and want to be closed.
        declare = (
            f"DECLARE {name} NO SCROLL CURSOR {'WITH HOLD ' if held else ''}FOR {statement.sql}"
        )
        try:
            await self._run(lambda cursor: cursor.execute(declare, arguments, prepare=False))
        except psycopg.NotSupportedError:
            if not held:
                raise
            # SELECT FOR UPDATE outside of a transaction.
            return FetchedCursor(await self.fetch(bound, None))
        text = f"FETCH FORWARD {{}} FROM {name}"

        async def fetch(count: int) -> Result:
            fetched = await self._run(
                lambda cursor: cursor.execute(text.format(count), prepare=False)
            )
            return await _result(statement, fetched, None)

        if held:
            close = partial(self.run, f"CLOSE {name}")
            return PostgresCursor(fetch, close, partial(self._left_open.append, name))
        return PostgresCursor(fetch, partial(self.run, "COMMIT") if alone else None)

    async def run(self, sql: str) -> str | None:
        """Run a statement without values or rows; the server's word for what it did."""
        self.sent = False
        cursor: Any = self.raw.cursor()
        while sql == "COMMIT" and has_news(self.raw.fileno()):
            # It may be the server's last words, behind which comes its end, at which this raises.
            self.raw.pgconn.consume_input()
        self.sent = True
        await cursor.execute(sql, prepare=False)
        tag: str | None = cursor.statusmessage
        return tag

    async def settle(self) -> None:
        """Nothing is left to wait for: psycopg waits before it passes a cancellation on."""

    async def reset(self) -> None:
        """Make the session as good as new."""
        await self.run(f"ROLLBACK; {sql.RESET}" if self.in_transaction() else sql.RESET)
        self._left_open.clear()

    async def ping(self) -> None:
        """Ask the server for a sign of life."""
        await self.run("SELECT 1")

    async def role(self) -> Role:
        """What the server is now."""
        told: Any = self.told()
        if told is None:
            cursor: Any = self.raw.cursor()
            await cursor.execute(sql.ROLE, prepare=False)
            told = await cursor.fetchone()
        return sql.role(*told)

    def told(self) -> tuple[str, str] | None:
        """What the server has told of its role, as it does from version 14 on."""
        known = self.raw.pgconn.parameter_status
        standby, only_reads = known(b"in_hot_standby"), known(b"default_transaction_read_only")
        if standby is None or only_reads is None:
            return None
        return standby.decode(), only_reads.decode()

    async def close(self) -> None:
        """Stop what is under way, and take leave of the server."""
        self.raw.ended = True
        try:
            while self.raw.is_busy():
                if not self._is_shut:
                    await self.raw.cancel_safe(timeout=STOPPING)
                await asyncio.sleep(0.05)
        except BaseException:
            # There is no time left. Whoever waits for the server's answer gets to know that none
            # will come.
            self._shut()
            raise
        # Whoever waits for an answer has had it before the socket is closed: its descriptor may be
        # another connection's in the next moment.
        await self.raw.close()

    def terminate(self) -> None:
        """Close the socket, and stop on the server what runs there."""
        self.raw.ended = True
        if self.raw.closed or self.raw.is_stopping():
            return  # what is stopping closes it at its end
        if self.raw.is_busy() and _is_running(self._loop):
            self._driver.background.start(self._stop())
        else:
            self.raw.pgconn.finish()

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(STOPPING):
                await self.close()
        except (psycopg.Error, TimeoutError):
            pass  # it is shut

    def _shut(self) -> None:
        self._is_shut = True
        if self.raw.closed:
            return
        with socket.socket(fileno=self.raw.fileno()) as connected:
            with contextlib.suppress(OSError):  # the server has gone
                connected.shutdown(socket.SHUT_RDWR)
            connected.detach()


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _result(statement: Statement, cursor: Any, limit: int | None) -> Result:
    # Its `description` takes as long as the rest of a short query.
    result = cursor.pgresult
    columns = range(result.nfields)
    names = tuple([result.fname(column).decode() for column in columns])
    shape = statement.shape(names, tuple([result.ftype(column) for column in columns]))
    if result.status != ExecStatus.TUPLES_OK:
        return shape.result([])
    return shape.result(await (cursor.fetchall() if limit is None else cursor.fetchmany(limit)))
