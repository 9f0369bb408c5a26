"""Engine: the backend of one Database, loaded at the first connect, and whether it is connected."""

from __future__ import annotations

import importlib

from databases.compiler import Compiler
from databases.exceptions import NotConnectedError, UnknownBackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from databases.backends.base import Backend
    from databases.pending import CallSite, Pending
    from databases.url import DatabaseURL


class Engine:
    """What a Database and its Connections run their queries on.

    Args:
        url: the address of the database.
        options: the backend's options.
        path: the backend's class, as ``"module:Class"``.
    """

    def __init__(self, url: DatabaseURL, options: Mapping[str, Any], path: str) -> None:
        self._url = url
        self._options = options
        self._path = path
        self._backend: Backend | None = None
        self._last_connect: Pending[None] | None = None
        self._disconnected_at: CallSite | None = None
        self.connected: Backend | None = None
        """The backend, while it is connected."""
        self.compiler: Compiler

    def calls_connect(self, pending: Pending[None]) -> Pending[None]:
        """Remember a call of ``connect()``: one never awaited explains the error that follows."""
        if self.connected is None:
            self._last_connect = pending
        return pending

    async def connect(self) -> None:
        """Load the backend, if it is not yet, and connect it."""
        self._last_connect = None
        if self._backend is None:
            self._backend = self._load()(self._url, **self._options)
            self.compiler = Compiler(self._backend.dialect)
        await self._backend.connect()
        self.connected = self._backend

    async def disconnect(self, site: CallSite) -> None:
        """Refuse queries from now on, and disconnect the backend."""
        backend, self.connected = self.connected, None
        assert backend is not None
        self._disconnected_at = site
        await backend.disconnect()

    def backend(self, method: str, site: CallSite) -> Backend:
        """Return the connected backend.

        Raises:
            NotConnectedError: where there is none; the message says what to write, and where.
        """
        if self.connected is None:
            raise self._not_connected(method, site)
        return self.connected

    def _load(self) -> type[Backend]:
        module, _, name = self._path.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]

    def _not_connected(self, method: str, site: CallSite) -> NotConnectedError:
        lines = [f"{method}() needs a connected database, and this one is not.", f"  {site}"]
        forgotten = self._last_connect
        if forgotten is not None:
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
