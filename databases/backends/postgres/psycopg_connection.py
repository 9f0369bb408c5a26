"""psycopg's connection, with statements that are stopped on the server whenever they are cancelled.

psycopg asks the server once, from within the task that was cancelled. That comes to nothing where
the statement is prepared at that moment, and is run after that, and where the task is cancelled
once more meanwhile. The connection is closed then, and the statement goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from psycopg.abc import PQGen

ReturnT = TypeVar("ReturnT")

STOPPING = 5.0
"""Seconds that a statement may take to stop before its connection is closed."""

_ASK_AGAIN = 0.1
"""Seconds after which the server is asked again to stop a statement."""


class Background:
    """What goes on when nobody waits for it any more."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start something that ``close()`` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Wait until all of it is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class Connection(psycopg.AsyncConnection[Any]):
    """A connection of psycopg's."""

    background: Background
    ended = False
    """Whether it is to be used no more, although it may be open still."""
    _stopping: asyncio.Task[None] | None = None

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor.

        Raises:
            OperationalError: where the connection is to be used no more. Whoever stops a statement
                may read from it still, and of two that read from a socket one waits for ever.
        """
        if self.ended:
            raise psycopg.OperationalError("the connection is closed")
        return super().cursor(*args, **kwargs)

    def is_busy(self) -> bool:
        """Whether somebody waits for the server."""
        stopping = self._stopping is not None and not self._stopping.done()
        return stopping or self.lock.locked()

    async def wait(
        self,
        gen: PQGen[ReturnT],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> ReturnT:
        """Wait for the server, for all that psycopg does; cancelled, stop what it was to do."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval, timeout)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self._stopping = self.background.start(self._stop(gen))
                try:
                    await asyncio.shield(self._stopping)
                except asyncio.CancelledError:
                    self.ended = True
            raise

    async def _stop(self, gen: PQGen[Any]) -> None:
        reading = asyncio.ensure_future(waiting.wait_async(gen, self.pgconn.socket, _ASK_AGAIN))
        try:
            async with asyncio.timeout(STOPPING):
                while not reading.done():
                    await self.cancel_safe(timeout=STOPPING)
                    await asyncio.wait([reading], timeout=_ASK_AGAIN)
        except (psycopg.Error, TimeoutError):
            self.ended = True
            reading.cancel()
        # Nobody wants to know how the statement ended.
        await asyncio.gather(reading, return_exceptions=True)
        if self.ended:
            self.pgconn.finish()
