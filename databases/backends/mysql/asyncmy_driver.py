"""MySQL and MariaDB by way of asyncmy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncmy
from asyncmy.cursors import SSCursor
from asyncmy.errors import MySQLError, OperationalError

from databases.backends.mysql import faults
from databases.backends.mysql.driver import MySQLDriver
from databases.backends.mysql.link import MySQLLink, RolledBack

if TYPE_CHECKING:
    from databases.backends.mysql.options import MySQLOptions
    from databases.url import Host


class AsyncmyLink(MySQLLink):
    """A connection of asyncmy's.

    Args:
        connection: the driver's.
        driver: what opened it.
        host: where the server is.
    """

    def __init__(self, connection: Any, driver: MySQLDriver, host: Host) -> None:
        super().__init__(connection, driver, host)
        self._prepare = connection.prepare
        connection.prepare = self._prepare_or_tell

    async def _prepare_or_tell(self, sql: str) -> Any:
        """Have the server prepare a statement.

        One that cannot be prepared asyncmy runs as it is, whatever the reason was. If the server
        has said with it that the transaction is rolled back, as a node of Galera may at any
        statement, this one and those after it would be kept, without those before it.
        """
        try:
            return await self._prepare(sql)
        except MySQLError as error:
            if faults.code_of(error) == faults.DEADLOCK:
                raise RolledBack(error) from error
            raise

    def _transport(self) -> Any:
        return self.raw._transport

    def _has_ended(self) -> bool:
        return bool(not self.raw.connected or self.raw._stream_broken)

    def _forget_prepared(self) -> None:
        self.raw._stmt_cache.clear()


class Driver(MySQLDriver):
    """Opens asyncmy's connections.

    Args:
        options: where, as whom, and how.
    """

    link = AsyncmyLink

    def __init__(self, options: MySQLOptions) -> None:
        super().__init__(options, asyncmy.connect, MySQLError, OperationalError, SSCursor)
        # It then prepares statements on the server, and keeps them.
        self._arguments.setdefault("stmt_cache_size", options.statement_cache_size)
