"""What asyncmy and aiomysql have in common when they connect, and in what their errors mean."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from databases.backends.mysql import faults
from databases.exceptions import ConnectionFailureError, DriverError

if TYPE_CHECKING:
    from databases.backends.link import Role
    from databases.backends.mysql.link import MySQLLink
    from databases.backends.mysql.options import MySQLOptions
    from databases.url import Host

_KILLING = 5.0
"""Seconds that it may take to have the server stop a statement."""


class MySQLDriver:
    """Opens a driver's connections.

    Args:
        options: where, as whom, and how.
        connect: the driver's function.
        error: the base class of its errors.
        gone: the one for a connection that is closed.
        streaming: its class of cursors that do not keep all rows.
    """

    link: type[MySQLLink]

    def __init__(
        self,
        options: MySQLOptions,
        connect: Any,
        error: type[BaseException],
        gone: type[Exception],
        streaming: type[Any],
    ) -> None:
        self.options = options
        self.streaming = streaming
        self.server_version = ""
        self._connect = partial(_reached, connect, error, gone)
        self.gone = gone
        self._error = error
        self._arguments = options.arguments(connect)
        self._killing: set[asyncio.Task[None]] = set()

    async def connect(self, host: Host) -> MySQLLink:
        """Open a connection to a host."""
        # The drivers' own limit ends when the socket is connected.
        async with asyncio.timeout(self.options.connect_timeout):
            connection = await self._connect(**self.options.place(host), **self._arguments)
        self.server_version = connection.get_server_info()
        opened = self.link(connection, self, host)
        try:
            if "ssl" in self._arguments and opened.is_in_the_clear():
                raise self.gone(faults.UNREACHED, "It offers no TLS, and ssl=true asks for it")
            for statement in self.options.after_connect(connection):
                await opened.run(statement)
        except BaseException:
            opened.terminate()
            raise
        return opened

    def adopted(
        self,
        error: BaseException,
        lost: type[DriverError] = ConnectionFailureError,
        *,
        readonly: bool = False,
    ) -> BaseException:
        """Make an error of the driver ours as well."""
        return faults.adopted(error, self._error, self.options.shown, lost, readonly=readonly)

    def is_its_own(self, error: BaseException) -> bool:
        """Whether an error is of the driver's."""
        return isinstance(error, self._error)

    def role_told(self, error: BaseException) -> Role | None:
        """What a server says that it is when it refuses a statement for that."""
        return faults.role_told(error) if self.is_its_own(error) else None

    def is_undone(self, error: BaseException) -> bool:
        """The server does not say whether it had done the statement."""
        return False

    def is_full(self, error: BaseException) -> bool:
        """Whether the server has no room for another connection."""
        return isinstance(error, self._error) and faults.code_of(error) in faults.FULL

    async def close(self) -> None:
        """Wait until statements that were given up have been stopped."""
        await self.stopped(_KILLING)

    async def stopped(self, seconds: float) -> None:
        """Wait until statements that were given up have been stopped, but not for long."""
        if self._killing:
            await asyncio.wait(self._killing, timeout=seconds)

    def kill_soon(self, thread: int, host: Host) -> None:
        """Have the server stop what runs on a connection that is closed by now."""
        task = asyncio.get_running_loop().create_task(self._kill(thread, host))
        self._killing.add(task)
        task.add_done_callback(self._killing.discard)

    async def _kill(self, thread: int, host: Host) -> None:
        try:
            async with asyncio.timeout(_KILLING):
                connection = await self._connect(**self.options.place(host), **self._arguments)
                try:
                    cursor = await connection.cursor()
                    await cursor.execute(f"KILL {thread:d}")
                finally:
                    connection.close()
        except Exception:
            pass  # it has ended by itself, or the server is gone


async def _reached(
    connect: Any, error: type[BaseException], gone: type[Exception], **arguments: Any
) -> Any:
    """Connect; where that fails, say why, which the drivers do each in its own way, or not."""
    try:
        return await connect(**arguments)
    except error as failed:
        code, cause = faults.code_of(failed), failed.__cause__
        if code == faults.UNREACHED:
            why = str(cause or failed)
        elif code == faults.LOST:
            why = "it closed the connection at once"
        elif code == 0:
            why = f"what answers there is no MySQL server: {failed}"
        else:
            raise
        where = arguments.get("unix_socket") or arguments.get("host")
        said = f"Can't connect to MySQL server on {where!r} ({why})"
        raise gone(faults.UNREACHED, said) from cause
