"""Database: what an application connects, queries and disconnects."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from databases.connection import Connection
from databases.engine import Engine, backend_path
from databases.exceptions import DatabaseError, explain
from databases.pending import CallSite, Pending, mark_as_coroutine_functions
from databases.queries import Queries
from databases.routing import Servers, checked
from databases.transaction import Transaction
from databases.transactional import Transactional
from databases.url import DatabaseURL
from databases.verbs import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from databases.backends.base import Cursor, Runner
    from databases.compiler import Compiler
    from databases.routing import Preference
    from databases.shared import SharedConnection
    from databases.statements import Bound
    from databases.statistics import Statistics
    from databases.steps import Steps
    from databases.stopping import Stop
    from databases.testing import Ran

_GRACE = 5.0
"""Seconds for which disconnect() lets work that is under way finish, unless it is told."""

_LOOK_AGAIN = 0.005
"""Seconds between two looks whether another task has connected."""


class Database(Queries, Transactional):
    """A database, used from any number of tasks at once.

    Args:
        url: its address, such as ``"sqlite:///./test.db"`` or
            ``"postgresql://user:password@host/name"``; ``"sqlite://"`` is one in memory.
        force_rollback: keep nothing: all tasks share one connection and one transaction, which is
            rolled back at disconnect. For tests.
        replicas: the addresses of replicas of the database, which are read from where that is
            preferred. Those among several hosts of ``url`` need not be named. See docs/replicas.md.
        prefer: "replica" has all reads go to a replica that may, as if each asked for it.
        max_lag: the most seconds that a replica may be behind to be read from (10, or what the
            URL says).
        sql_comments: end each statement with a comment that names the present OpenTelemetry trace
            (sqlcommenter); a dict adds words of your own. SQL then differs with each request, so
            no statement is prepared once for many calls.
        **options: the backend's; they win over the options in the URL. SQLite: ``timeout`` (30),
            the longest time to wait for another's transaction, in seconds; ``journal_mode``
            ("wal"), ``synchronous`` ("full"), ``foreign_keys`` (off), ``readers`` (5),
            ``cache_size`` (pages, negative: KiB), ``mmap_size`` (bytes); see docs/sqlite.md.
            PostgreSQL and MySQL: ``min_size`` (1) and ``max_size`` (10), connections;
            ``pool_timeout`` (30), how long to wait for one, opening it included, in seconds;
            ``max_waiting`` (0: as many as can be served in that time); ``max_lifetime`` (3600) and
            ``max_idle`` (300), seconds;
            ``statement_cache_size`` (100; 0 for pgbouncer); see docs/servers.md.

    Raises:
        InvalidURLError: (a ``TypeError``) where ``url`` is not an address.
        UnknownBackendError: (a ``KeyError``) for a scheme that is not supported.
        UnknownOptionError: (a ``TypeError``) for ``replicas``, ``prefer`` or ``max_lag`` that
            cannot be.

    Example:
        >>> import asyncio, databases
        >>> async def main():
        ...     async with databases.Database("sqlite://") as database:
        ...         await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        ...         await database.execute("INSERT INTO users (name) VALUES (:n)", {"n": "Ada"})
        ...         return await database.fetch_all("SELECT * FROM users")
        >>> asyncio.run(main())
        [<Record id=1, name='Ada'>]
    """

    SUPPORTED_BACKENDS: ClassVar[dict[str, str]] = {
        "mysql": "databases.backends.mysql:MySQLBackend",
        "mysql+aiomysql": "databases.backends.mysql:MySQLBackend",
        "mysql+asyncmy": "databases.backends.asyncmy:AsyncMyBackend",
        "postgres": "databases.backends.postgres:PostgresBackend",
        "postgresql": "databases.backends.postgres:PostgresBackend",
        "postgresql+asyncpg": "databases.backends.postgres:PostgresBackend",
        "postgresql+psycopg": "databases.backends.postgres:PostgresBackend",
        "postgresql+aiopg": "databases.backends.aiopg:AiopgBackend",
        "sqlite": "databases.backends.sqlite:SQLiteBackend",
        "sqlite+aiosqlite": "databases.backends.sqlite:SQLiteBackend",
    }
    """URL scheme -> backend, as ``"module:Class"``."""

    def __init__(
        self,
        url: str | DatabaseURL,
        *,
        force_rollback: bool = False,
        replicas: Sequence[str | DatabaseURL] = (),
        prefer: Preference = "primary",
        max_lag: float | None = None,
        sql_comments: bool | Mapping[str, str] = False,
        **options: Any,
    ) -> None:
        _mark_coroutine_functions()
        self.url = DatabaseURL(url)
        self.options = options
        self._force_rollback = force_rollback
        path = backend_path(self.url, self.SUPPORTED_BACKENDS)
        tags = sql_comments if isinstance(sql_comments, Mapping) else {} if sql_comments else None
        servers = Servers(self.url, replicas, checked(prefer), max_lag)
        self._routing = servers.routing
        self._engine = Engine(servers, options, path, tags)
        # A task's own Connection; a child task does not inherit it.
        self._connections: WeakKeyDictionary[asyncio.Task[Any], Connection] = WeakKeyDictionary()
        # The one connection of everybody under force_rollback.
        self._shared: SharedConnection | None = None
        self._lock = threading.Lock()
        self._changed_in: asyncio.AbstractEventLoop | None = None

    @property
    def is_connected(self) -> bool:
        """Whether ``connect()`` has been awaited, and ``disconnect()`` was not called since."""
        return self._engine.connected is not None

    @functools.cached_property  # a subclass may have an attribute of that name
    def steps(self) -> Steps:
        """The stream of all that this database does: see ``Steps.subscribe``."""
        return self._engine.steps

    def statistics(self) -> Statistics:
        """Return the live state: which connections are open, who holds them, and who waits.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         async with database.transaction():
            ...             [connection] = database.statistics().held
            ...             return connection.name, connection.state, connection.holder.sql
            >>> asyncio.run(main())
            ('writer', 'held', None)
        """
        return self._engine.statistics()

    def prefer(self, prefer: Preference) -> AbstractContextManager[None]:
        """Within the block, and in tasks that are started there, prefer replicas for reading.

        A query goes to a replica only if its words prove that it reads and locks nothing, and if a
        replica shows all that the same request or task has written; so do ``iterate()`` and
        ``transaction(readonly=True)``. All else goes to the primary, as do all queries where there
        are no replicas. See docs/replicas.md.

        Args:
            prefer: "replica", or "primary" to undo it.

        Raises:
            UnknownOptionError: (a ``TypeError``) for another word.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         with database.prefer("replica"):
            ...             return await database.fetch_val("SELECT 1")
            >>> asyncio.run(main())
            1
        """
        return self._preferring(prefer)

    def expect(
        self,
        *,
        queries: int | None = None,
        max_queries: int | None = None,
        max_repeats: int | None = None,
        allow_dropped: bool = False,
    ) -> AbstractContextManager[Ran]:
        """In tests: fail unless the queries within the block are as expected.

        All queries on this database count, whichever task sends them: those of an application
        whose client is in the same event loop too. ``execute_many`` and ``iterate`` are one each.

        Args:
            queries: how many queries there are.
            max_queries: how many there are at most.
            max_repeats: how many times the same query (whatever its values) may run from one place
                in the code. More is a query in a loop, an N+1: ``max_repeats=1`` allows none.
            allow_dropped: whether it is all right that a result was never awaited.

        Returns:
            A context manager; ``as ran`` gives what ran: ``ran.queries``, ``ran.steps`` and
            ``ran.table()``.

        Raises:
            AssertionError: at the end of the block, with a table of what ran, where it differs.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         with database.expect(queries=1) as ran:
            ...             await database.fetch_all("SELECT name FROM sqlite_schema")
            ...         return ran.queries[0].sql
            >>> asyncio.run(main())
            'SELECT name FROM sqlite_schema'
        """
        from databases.testing import expect

        return expect(
            self,
            queries=queries,
            max_queries=max_queries,
            max_repeats=max_repeats,
            allow_dropped=allow_dropped,
        )

    def connect(self) -> Pending[None]:
        """Connect; nothing happens where it is connected already.

        Raises:
            BackendUnavailableError: where the backend or its driver cannot be imported.
            UnknownOptionError: for an option that the backend does not have.
            DriverError: where the database cannot be reached or opened.
        """
        return self._engine.calls_connect(
            Pending("database.connect", sys._getframe(1), self._connect)
        )

    def disconnect(self, *, grace: float = _GRACE) -> Pending[None]:
        """Disconnect; nothing happens where it is not connected.

        What is new is refused from the call on, and so is what waits for a connection. What is
        under way may go on for a while: statements, ``connection()`` blocks, transactions,
        ``iterate()`` loops. Then it is stopped in the database, and gets a ``NotConnectedError``;
        transactions are rolled back. Nobody waits for a task that waits for this itself.

        Args:
            grace: seconds for which what is under way may go on.

        Raises:
            UnknownOptionError: (a ``TypeError``) for a ``grace`` that is no number; it stays
                connected.

        Example:
            >>> import asyncio, databases
            >>> async def transfer(database):
            ...     async with database.transaction():
            ...         await asyncio.sleep(0.1)
            ...         return await database.fetch_val("SELECT 'done'")
            >>> async def main():
            ...     database = databases.Database("sqlite://")
            ...     await database.connect()
            ...     task = asyncio.create_task(transfer(database))
            ...     await asyncio.sleep(0.05)
            ...     await database.disconnect(grace=10)
            ...     return await task
            >>> asyncio.run(main())
            'done'
        """
        disconnect = functools.partial(self._disconnect, grace=grace)
        return Pending("database.disconnect", sys._getframe(1), disconnect)

    async def __aenter__(self) -> Database:
        await self._connect(CallSite.of(sys._getframe(1)))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._disconnect(CallSite.of(sys._getframe(1)))

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Connect for as long as an application runs: ``FastAPI(lifespan=database.lifespan)``.

        Args:
            app: the application, which is not used.

        Example:
            >>> import databases, fastapi
            >>> database = databases.Database("sqlite://")
            >>> app = fastapi.FastAPI(lifespan=database.lifespan)
        """
        async with self:
            yield

    def connection(self) -> Connection:
        """Return this task's connection, for ``async with``; the same one inside as outside."""
        return self._connection(CallSite.of(sys._getframe(1)))

    @contextlib.contextmanager
    def force_rollback(self) -> Iterator[None]:
        """Within the block, ``connect()`` behaves as with ``Database(force_rollback=True)``."""
        before, self._force_rollback = self._force_rollback, True
        try:
            yield
        finally:
            self._force_rollback = before

    async def _connect(self, site: CallSite) -> None:
        engine = self._engine
        while True:
            async with self._changing():
                stop = engine.stopping
                if stop is None:
                    if not self.is_connected:
                        await self._connect_now(site)
                    return
            with contextlib.suppress(Exception):  # it is for who disconnects
                await engine.join(stop, math.inf)

    async def _connect_now(self, site: CallSite) -> None:
        # Slow to import, with what it needs.
        from databases import forking

        engine = self._engine
        forking.watch(self)
        try:
            await engine.connect(site)
        except DatabaseError as error:
            explain(error, site)
            raise
        if not self._force_rollback:
            return
        # For tests.
        from databases.shared import SharedConnection

        shared = SharedConnection(engine, site)
        try:
            await shared.start()
        except BaseException:
            await engine.stop(site, 0.0).join(0.0)
            raise
        self._shared = shared

    async def _disconnect(self, site: CallSite, grace: float = _GRACE) -> None:
        from databases.stopping import checked as checked_grace

        engine, grace = self._engine, checked_grace(grace)
        # A connect() that is under way comes to its end first.
        async with self._changing():
            stop = engine.stopping
            if stop is None:
                if not self.is_connected:
                    return
                stop = engine.stop(site, grace, self._end_shared)
        await engine.join(stop, grace)
        import asyncio

        # Whoever disconnects within blocks of his own begins anew. Others keep what they held: what
        # they do next in their transactions must not be done outside of them.
        task = asyncio.current_task()
        if task is not None:
            self._connections.pop(task, None)

    async def _end_shared(self, stop: Stop) -> None:
        shared = self._shared
        if shared is not None:
            try:
                await shared.end(stop)
            finally:
                if self._shared is shared:
                    self._shared = None

    def _forked(self) -> object:
        """In a child process: it is connected in the parent, and not here."""
        connections = [*self._connections.values(), *([self._shared] if self._shared else [])]
        kept = [connection._forked() for connection in connections]
        self._connections.clear()
        self._shared, self._lock = None, threading.Lock()
        return (connections, kept, self._engine._forked())

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """Only one at a time connects, or begins to disconnect, in whatever event loop."""
        import asyncio

        while not self._lock.acquire(blocking=False):
            if self._changed_in is not None and not self._changed_in.is_running():
                self._lock = threading.Lock()  # that event loop has ended in the middle of it
            else:
                await asyncio.sleep(_LOOK_AGAIN)
        lock, self._changed_in = self._lock, asyncio.get_running_loop()
        try:
            yield
        finally:
            lock.release()

    def _connection(self, site: CallSite) -> Connection:
        if self._shared is not None:
            return self._shared
        import asyncio

        task = asyncio.current_task()
        if task is None:
            return Connection(self._engine, site)
        connection = self._connections.get(task)
        if connection is None:
            connection = self._connections[task] = Connection(self._engine, site)
        return connection

    def _held_connection(self) -> Connection | None:
        """The connection that this task's statements go to, if it holds one."""
        if self._shared is not None:
            return self._shared
        import asyncio

        task = asyncio.current_task()
        connection = None if task is None else self._connections.get(task)
        return connection if connection is not None and connection.is_acquired else None

    def _preferring(self, prefer: Preference) -> AbstractContextManager[None]:
        checked(prefer)
        routing = self._routing
        return contextlib.nullcontext() if routing is None else routing.preferring(prefer)

    def _runner(self, method: str, site: CallSite) -> tuple[Runner, Compiler]:
        engine = self._engine
        if self._connections or self._shared is not None:
            connection = self._held_connection()
            if connection is not None:
                return connection._runner(method, site)
        backend = engine.connected or engine.backend(f"database.{method}", site)
        return backend, engine.compiler

    async def _open_cursor(
        self, bound: Bound, method: str, site: CallSite
    ) -> tuple[Cursor, Callable[[], None]]:
        connection = self._held_connection()
        if connection is not None:
            return await connection._open_cursor(bound, method, site)
        reads = bound.statement.verb is Verb.READ
        held = await self._engine.backend(method, site).acquire(site, readonly=reads)
        try:
            return await held.open_cursor(bound, site, alone=True), held.release
        except BaseException:
            held.release()
            raise

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<Database {self.url.obscure_password} ({state})>"


@functools.cache
def _mark_coroutine_functions() -> None:
    mark_as_coroutine_functions(
        Database.connect,
        Database.disconnect,
        Queries.fetch_all,
        Queries.fetch_one,
        Queries.fetch_val,
        Queries.execute,
        Queries.execute_many,
        Transactional.run_in_transaction,
        Transaction.start,
        Transaction.commit,
        Transaction.rollback,
    )
