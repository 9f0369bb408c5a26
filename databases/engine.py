"""Engine: the backend of one Database, loaded at the first connect, and whether it is connected."""

from __future__ import annotations

import contextlib
import importlib

from databases.compiler import Compiler
from databases.exceptions import NotConnectedError, UnknownBackendError
from databases.routing import OF_SEVERAL, PLACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from databases.backends.base import Backend
    from databases.pending import CallSite, Pending
    from databases.routing import Servers
    from databases.statements import Bound
    from databases.statistics import Statistics
    from databases.steps import Steps
    from databases.stopping import Stop
    from databases.url import DatabaseURL


class Engine:
    """What a Database and its Connections run their queries on.

    Args:
        servers: the address of the database, and those of its replicas.
        options: the backend's options.
        path: the backend's class, as ``"module:Class"``.
        tags: what to write into a comment in each statement, beside the trace; None for no comment.
    """

    def __init__(
        self,
        servers: Servers,
        options: Mapping[str, Any],
        path: str,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._tags = tags
        self._servers = servers
        self._options = options
        self._path = path
        self._backend: Backend | None = None
        self._last_connect: Pending[None] | None = None
        self._disconnected_at: CallSite | None = None
        self._steps: Steps | None = None
        # Whether it is connected in another process, from which this one was forked.
        self._is_forked = False
        self.connected: Backend | None = None
        """What queries run on while the database is connected: the backend, maybe watched."""
        self.stopping: Stop | None = None
        """The end that comes, from the call of ``disconnect()`` until everything is closed."""
        self.compiler: Compiler

    def calls_connect(self, pending: Pending[None]) -> Pending[None]:
        """Remember a call of ``connect()``: one never awaited explains the error that follows."""
        if self.connected is None:
            self._last_connect = pending
        return pending

    @property
    def steps(self) -> Steps:
        """The stream of what the database does."""
        if self._steps is None:
            # Slow to import, and of use only to those who watch.
            from databases.steps import Steps

            self._steps = Steps(self._watch)
        return self._steps

    def _watch(self) -> None:
        """Let queries run on something that tells of each step, or else on the backend itself.

        It stands between them only while somebody watches, so that it costs nothing otherwise.
        """
        backend, steps = self._backend, self._steps
        if self.connected is None or backend is None:
            return
        if self._tags is not None:
            from databases.sql_comments import CommentingBackend

            backend = CommentingBackend(backend, self._tags)
        # Outside of the comments: what is told of a statement is the same at every call.
        if steps is not None and steps.is_watched:
            from databases.observed import ObservedBackend

            steps.dialect = backend.dialect
            backend = ObservedBackend(backend, steps)
        self.connected = backend

    async def connect(self, site: CallSite) -> None:
        """Load the backend, if it is not yet, and connect it."""
        self._last_connect, self._is_forked = None, False
        if self._backend is None:
            self._backend = self._make()
            self.compiler = Compiler(self._backend.dialect)
        with self._told("CONNECT", site, "not connected", "connected"):
            await self._backend.connect()
        self.connected = self._backend
        self._watch()

    def stop(
        self,
        site: CallSite,
        grace: float,
        before: Callable[[Stop], Coroutine[Any, Any, None]] | None = None,
    ) -> Stop:
        """Refuse what is new from now on, and disconnect the backend in the background.

        Args:
            site: where in the user's code it was asked for.
            grace: seconds for which what is under way may go on.
            before: what is to be done before the backend is disconnected.
        """
        # Slow to import, as asyncio is.
        from databases.stopping import Stop

        stop = Stop(grace, site)
        self.connected, self.stopping, self._disconnected_at = None, stop, site
        stop.begin(self._end(stop, site, before))
        return stop

    async def _end(
        self,
        stop: Stop,
        site: CallSite,
        before: Callable[[Stop], Coroutine[Any, Any, None]] | None,
    ) -> None:
        assert self._backend is not None
        try:
            with self._told("DISCONNECT", site, "connected", "not connected"):
                try:
                    if before is not None:
                        await before(stop)
                finally:
                    await self._backend.disconnect(stop)
        finally:
            if self.stopping is stop:
                self.stopping = None

    async def join(self, stop: Stop, grace: float) -> None:
        """Wait for the end, which comes after ``grace`` seconds more at the latest."""
        try:
            await stop.join(grace)
        finally:
            # The event loop that was to bring it may have ended before.
            if stop.has_come and self.stopping is stop:
                self.stopping = None

    def _forked(self) -> object:
        """In a child process: it is connected in the parent, and not here."""
        kept = (self._backend, self.connected, self.stopping)
        self._is_forked = self.connected is not None or self.stopping is not None
        self._backend = self.connected = self.stopping = None
        return kept

    def _told(self, kind: str, site: CallSite, *states: str) -> AbstractContextManager[object]:
        if self._steps is None or not self._steps.is_watched:
            return contextlib.nullcontext()
        from databases.operations import Operation
        from databases.steps import Kind

        return Operation(self._steps, Kind[kind], site, states=states)

    def statistics(self) -> Statistics:
        """The live state."""
        from databases.statistics import Statistics

        return Statistics(False) if self.connected is None else self.connected.statistics()

    async def explain(self, bound: Bound) -> list[str]:
        """How the database would run a statement: the lines of its plan. Nobody is told of it."""
        backend = self._backend
        if backend is None or self.connected is None:
            raise NotConnectedError("explain() needs a connected database, and this one is not.")
        from databases.plans import plan_of

        return await plan_of(backend, bound)

    def dropped(self, pending: Pending[Any]) -> None:
        """The result of a method was never awaited."""
        if self._steps is not None and self._steps.is_watched:
            self._steps.dropped(pending)

    def runs_again(self, site: CallSite, why: str, error: BaseException) -> None:
        """The block of a transaction failed, and is run again."""
        if self._steps is not None and self._steps.is_watched:
            self._steps.again(site, why, error)

    def backend(self, method: str, site: CallSite) -> Backend:
        """Return the connected backend.

        Raises:
            NotConnectedError: where there is none; the message says what to write, and where.
        """
        if self.connected is None:
            raise self._not_connected(method, site)
        return self.connected

    def _load(self) -> Any:
        module, _, name = self._path.partition(":")
        return getattr(importlib.import_module(module), name)

    def _make(self) -> Backend:
        make, servers = self._load(), self._servers
        backend: Any = make(servers.url, **self._options)
        if servers.routing is None:
            return backend  # type: ignore[no-any-return]
        from databases.backends.replicated import ReplicatedBackend

        of_primary = OF_SEVERAL | PLACE
        options = {name: self._options[name] for name in self._options.keys() - of_primary}
        options["min_size"] = 0  # connections to replicas are opened for those who need one
        replicas = {name: make(url, **options) for name, url in servers.replicas.items()}
        return ReplicatedBackend(backend, replicas, servers.max_lag, servers.routing)

    def _not_connected(self, method: str, site: CallSite) -> NotConnectedError:
        lines = [f"{method}() needs a connected database, and this one is not.", f"  {site}"]
        forgotten = self._last_connect
        if self._is_forked:
            from databases.forking import OF_PARENT

            lines.append(OF_PARENT)
        elif forgotten is not None:
            lines += ["database.connect() was called but not awaited:", forgotten.advice()]
        elif self._disconnected_at is not None:
            lines.append(f"It was disconnected at:\n  {self._disconnected_at}")
            lines.append(_HOW)
        else:
            lines.append(_HOW)
        return NotConnectedError("\n".join(lines))


_HOW = """\
Write `await database.connect()` before the first query. Where an application does that:
  FastAPI, Starlette:  app = FastAPI(lifespan=database.lifespan)
  or, older:           @app.on_event("startup")
                       async def startup():
                           await database.connect()
  a script:            async with database: ..."""


def backend_path(url: DatabaseURL, supported: Mapping[str, str]) -> str:
    """Find the backend for a URL.

    Raises:
        UnknownBackendError: (a ``KeyError``) for a scheme that is not supported.
    """
    try:
        # Whoever shares a URL with other programs has their driver in it, such as +psycopg2.
        return supported.get(url.scheme) or supported[url.dialect]
    except KeyError:
        raise UnknownBackendError(
            f"There is no backend for the URL scheme {url.scheme!r}. "
            f"Known schemes: {', '.join(sorted(supported))}. "
            'A file of SQLite is written "sqlite:///./test.db".'
        ) from None
