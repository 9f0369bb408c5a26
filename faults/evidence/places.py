"""An empty database of each kind that the tests have, on a server of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

from tests.library.kinds import Kind
from tests.library.places import OnMariaDB, OnPostgreSQL, OnSQLite, Place
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL


@contextlib.contextmanager
def at(kind: Kind) -> Iterator[Place]:
    """An empty database of a kind."""
    with contextlib.ExitStack() as stack:
        if kind.place == "memory":
            yield OnSQLite("sqlite://")
        elif kind.place == "file":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield OnSQLite(f"sqlite:///{folder}/faults.db")
        elif kind.place == "on_postgresql":
            server = stack.enter_context(PostgreSQL())
            yield stack.enter_context(contextlib.closing(OnPostgreSQL(server)))
        else:
            mariadb = stack.enter_context(MariaDB())
            yield stack.enter_context(contextlib.closing(OnMariaDB(mariadb)))
