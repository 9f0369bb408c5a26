"""MySQL and MariaDB by way of asyncmy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncmy
from asyncmy.cursors import SSCursor
from asyncmy.errors import MySQLError, OperationalError

from databases.backends.mysql.driver import MySQLDriver, MySQLLink

if TYPE_CHECKING:
    from databases.backends.mysql.options import MySQLOptions


class AsyncmyLink(MySQLLink):
    """A connection of asyncmy's."""

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
