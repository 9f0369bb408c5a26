"""MySQL and MariaDB by way of aiomysql."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import aiomysql
from pymysql.err import MySQLError, OperationalError

from databases.backends.mysql.driver import MySQLDriver
from databases.backends.mysql.link import MySQLLink
from databases.backends.sockets import read_less_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.mysql.options import MySQLOptions
    from databases.url import Host


class AiomysqlLink(MySQLLink):
    """A connection of aiomysql's."""

    def __init__(self, connection: Any, driver: MySQLDriver, host: Host) -> None:
        super().__init__(connection, driver, host)
        read_less_at_once(connection._writer.transport)
        # Its own way to write bytes does not work with PyMySQL 1.2.
        connection.escape = partial(_with_bytes, connection.escape)

    def _transport(self) -> Any:
        writer = self.raw._writer
        return None if writer is None else writer.transport

    def _forget_transport(self) -> None:
        self.raw._writer = None

    def _has_ended(self) -> bool:
        raw = self.raw
        return bool(raw.closed or raw._reader.at_eof() or raw._writer.transport.is_closing())


class Driver(MySQLDriver):
    """Opens aiomysql's connections.

    Args:
        options: where, as whom, and how.
    """

    link = AiomysqlLink

    def __init__(self, options: MySQLOptions) -> None:
        super().__init__(options, _connect, MySQLError, OperationalError, aiomysql.SSCursor)


@wraps(aiomysql.connect)
async def _connect(**arguments: Any) -> Any:
    connection = aiomysql.Connection(**arguments)
    try:
        await connection._connect()
    except BaseException:
        # Cancelled, it would keep its socket.
        connection.close()
        raise
    return connection


def _with_bytes(escape: Callable[[Any], str], value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return f"X'{value.hex()}'"
    if isinstance(value, str) and not value.isascii():
        value.encode()  # it would send half of a surrogate pair as a byte that is no character
    return escape(value)
