"""Connection: one connection to the database, held for a while."""

from __future__ import annotations

import warnings
from typing import Any

from databases.exceptions import StateError, TooManyRequests, UnknownOptionError, explain
from databases.queries import Queries
from databases.routing import checked
from databases.transaction import TransactionStack
from databases.transactional import Transactional

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from databases.backends.base import BackendConnection, Cursor, Runner
    from databases.compiler import Compiler
    from databases.engine import Engine
    from databases.pending import CallSite
    from databases.routing import Preference
    from databases.statements import Bound


class Connection(Queries, Transactional):
    """One connection to the database, acquired by ``async with database.connection()``.

    It can be entered again inside, also by other tasks that it is handed to; the last one to leave
    gives it back.

    Args:
        engine: what it belongs to.
        site: where it was asked for.
    """

    _called = "connection"

    def __init__(self, engine: Engine, site: CallSite) -> None:
        self._engine = engine
        self._site = site
        self._held: BackendConnection | None = None
        self._depth = 0
        self._entering: asyncio.Lock | None = None
        self.transactions = TransactionStack()

    @property
    def is_acquired(self) -> bool:
        """Whether it is held now."""
        return self._held is not None

    async def __aenter__(self) -> Connection:
        return await self.enter()

    async def enter(self, *, readonly: bool = False) -> Connection:
        """Acquire it, or hold it once more; ``readonly`` is for a transaction that is read only."""
        import asyncio

        if self._held is None:
            if self._entering is None:
                self._entering = asyncio.Lock()
            async with self._entering:
                if self._held is None:
                    backend = self._engine.backend("connection", self._site)
                    try:
                        self._held = await backend.acquire(self._site, readonly=readonly)
                    except TooManyRequests as error:
                        explain(error, self._site)
                        raise
        self._depth += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._depth -= 1
        held = self._held
        if self._depth == 0 and held is not None:
            self._held = None
            held.release()

    @property
    def raw_connection(self) -> Any:
        """The driver's own connection. On SQLite an awaitable surface of it, like aiosqlite's.

        Raises:
            StateError: where the connection is not acquired.
        """
        return self.held("raw_connection", self._site).raw

    def held(self, method: str, site: CallSite) -> BackendConnection:
        """Return the backend's connection.

        Raises:
            NotConnectedError: where the database is not connected.
            StateError: where this connection is not acquired.
        """
        # While the database is being disconnected, what is held may go on.
        if self._held is None:
            self._engine.backend(method, site)
            raise StateError(
                f"connection.{method}: this connection is not acquired.\n  {site}\n"
                "  wrong:  connection = database.connection()\n"
                "  right:  async with database.connection() as connection: ..."
            )
        return self._held

    def _preferring(self, prefer: Preference) -> AbstractContextManager[None]:
        checked(prefer)
        raise UnknownOptionError(
            "A connection that is held is where it is: prefer= is for a query on the database.\n"
            '  wrong:  await connection.fetch_all(query, prefer="replica")\n'
            '  right:  await database.fetch_all(query, prefer="replica")\n'
            "  or:     async with database.transaction(readonly=True): ... within\n"
            '          with database.prefer("replica"): ...'
        )

    def runs_again(self, site: CallSite, why: str, error: BaseException) -> None:
        """Tell those who watch that a transaction of its is run again."""
        self._engine.runs_again(site, why, error)

    def _connection(self, site: CallSite) -> Connection:
        return self

    def _forked(self) -> object:
        """In a child process: it is held in the parent, and not here."""
        held, self._held = self._held, None
        return held

    def _runner(self, method: str, site: CallSite) -> tuple[Runner, Compiler]:
        return self.held(method, site), self._engine.compiler

    async def _open_cursor(
        self, bound: Bound, method: str, site: CallSite
    ) -> tuple[Cursor, Callable[[], None]]:
        held = self.held(method, site)
        return await held.open_cursor(bound, site, alone=False), _nothing

    def __del__(self) -> None:
        # The task that held it is gone without having left its blocks.
        held = self._held
        if held is None:
            return
        self._held = None
        held.release()
        if self._engine.connected is not None and self.transactions.open:
            site = self.transactions.open[0].site
            warnings.warn_explicit(
                "A transaction was never ended, so it was rolled back when nothing referred to it "
                f"any more. It was begun at:\n  {site}\n"
                "  right:  async with database.transaction(): ...",
                RuntimeWarning,
                site.filename,
                site.line,
            )

    def __repr__(self) -> str:
        state = "acquired" if self._held is not None else "not acquired"
        return f"<Connection {state}, asked for at {self._site}>"


def _nothing() -> None:
    """What there is to free for a cursor on a connection that its user holds."""
