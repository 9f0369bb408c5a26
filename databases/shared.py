"""The one connection of everybody under ``force_rollback``, in a transaction that is never kept."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from databases.connection import Connection
from databases.exceptions import NotConnectedError
from databases.holding import Holding
from databases.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from databases.backends.base import BackendConnection, Cursor, Runner
    from databases.compiler import Compiler
    from databases.engine import Engine
    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch, Bound
    from databases.stopping import Stop

_ROLLING_BACK = 1.0
"""Seconds that rolling back may take although the time of grace is over."""


class SharedConnection(Connection):
    """A connection that all tasks share, from ``connect()`` to ``disconnect()``.

    Args:
        engine: what it belongs to.
        site: where the database was connected.
    """

    def __init__(self, engine: Engine, site: CallSite) -> None:
        super().__init__(engine, site)
        self._ground = Transaction(lambda: self, site, True, {}, ground=True)
        # Who is in a block of it; the first is the ground.
        self._inside: list[Holding] = []
        # Whose statement runs on it, or who iterates: that may end after the block around it.
        self._working: list[Holding] = []

    async def start(self) -> None:
        """Acquire it, and begin the transaction in which all others lie."""
        await self._ground.start()

    async def enter(self, *, readonly: bool = False) -> SharedConnection:
        """Hold it once more."""
        self._refuse_new("connection", self._site)
        await super().enter(readonly=readonly)
        self._inside.append(Holding(self._site))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        task = asyncio.current_task()
        own = [holding for holding in self._inside[1:] if holding.task is task]
        # What was entered in one task may be left in another.
        self._inside.remove((own or self._inside)[-1])
        await super().__aexit__()

    def held(self, method: str, site: CallSite) -> BackendConnection:
        """Return the backend's connection.

        Raises:
            NotConnectedError: where the database is not connected, or is being disconnected and
                the present task does nothing on it yet.
        """
        self._refuse_new(method, site)
        return super().held(method, site)

    def _refuse_new(self, method: str, site: CallSite) -> None:
        stopping = self._engine.stopping
        if stopping is not None and not (stopping.is_ending or self._includes_this_task()):
            self._engine.backend(method, site)

    def _includes_this_task(self) -> bool:
        task = asyncio.current_task()
        return any(holding.task is task for holding in self._busy()) or any(
            transaction.includes_this_task() for transaction in self.transactions.open[1:]
        )

    def _runner(self, method: str, site: CallSite) -> tuple[Runner, Compiler]:
        runner, compiler = super()._runner(method, site)
        return _Counted(runner, self.at_work), compiler

    async def _open_cursor(
        self, bound: Bound, method: str, site: CallSite
    ) -> tuple[Cursor, Callable[[], None]]:
        at_work = contextlib.ExitStack()
        at_work.enter_context(self.at_work(site))
        try:
            cursor, _ = await super()._open_cursor(bound, method, site)
        except BaseException:
            at_work.close()
            raise
        return cursor, at_work.close

    @contextlib.contextmanager
    def at_work(self, site: CallSite) -> Iterator[None]:
        """Within the block, the present task is known to do something on it."""
        holding = Holding(site)
        self._working.append(holding)
        try:
            yield
        finally:
            self._working.remove(holding)

    def _busy(self) -> list[Holding]:
        return [*self._inside[1:], *self._working]

    async def end(self, stop: Stop) -> None:
        """Roll everything back once whoever is at work has had his time, and release it."""

        def is_busy() -> bool:
            return any(map(stop.has_time, self._busy()))

        try:
            await stop.wait_while(is_busy)
            if is_busy():
                return  # what goes on is stopped by the backend, which closes the connection
            if self._ground.is_active:
                async with asyncio.timeout(max(stop.left, _ROLLING_BACK)):
                    await self._ground._rollback(stop.site or self._site)
            if self._held is not None:
                self._held.release()
        except (TimeoutError, NotConnectedError):
            pass  # closed, it is rolled back as well: here there is no time, or no way
        finally:
            self._held = None


class _Counted:
    """Runs statements, and has it known who does.

    Args:
        runner: runs them.
        at_work: a block in which somebody is known to be at work.
    """

    def __init__(
        self,
        runner: Runner,
        at_work: Callable[[CallSite], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._runner = runner
        self._at_work = at_work

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows, at most ``limit`` of them; None means all."""
        with self._at_work(site):
            return await self._runner.fetch(bound, limit, site)

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        with self._at_work(site):
            return await self._runner.execute(bound, site)

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        with self._at_work(site):
            await self._runner.execute_many(batches, site)
