"""The seam: everything that a new database has to implement.

The core compiles a query to a ``Bound`` (a statement and its arguments), and a backend runs it. A
single statement goes to the ``Backend`` itself, which chooses where it runs; what needs one
connection for a while (``connection()``, ``transaction()``, ``iterate()``) acquires a
``BackendConnection``. A backend never imports the core.

What only the backend knows of an operation that is watched, such as the connection that it runs
on, it notes on the one that ``operations`` has; a backend need not do that.
"""

from __future__ import annotations

from typing import Any, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.pending import CallSite
    from databases.records import Result
    from databases.statements import Batch, Bound, Dialect
    from databases.statistics import Statistics
    from databases.stopping import Stop
    from databases.url import DatabaseURL


class Runner(Protocol):
    """Runs statements. Driver errors are raised adopted into our tree (``exceptions.adopt``)."""

    async def fetch(self, bound: Bound, limit: int | None, site: CallSite) -> Result:
        """Run a statement and return its rows, at most ``limit`` of them; None means all."""
        ...

    async def execute(self, bound: Bound, site: CallSite) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        ...

    async def execute_many(self, batches: list[Batch], site: CallSite) -> None:
        """Run all rows of all batches, or none of them."""
        ...


class Cursor(Protocol):
    """An open result that is read piece by piece."""

    async def fetch(self) -> Result:
        """Return the next rows, a bounded number; none at the end."""
        ...

    def close(self) -> None:
        """Free the cursor. Never waits, and can be called again."""
        ...


class BackendConnection(Runner, Protocol):
    """One connection, held by one user of the core until ``release()``."""

    @property
    def raw(self) -> Any:
        """The driver's own connection, or what stands for it (``Connection.raw_connection``)."""
        ...

    async def open_cursor(self, bound: Bound, site: CallSite, *, alone: bool) -> Cursor:
        """Start a query whose rows are read piece by piece, other statements in between.

        ``alone`` promises that there are none: the connection was acquired for this query.
        """
        ...

    async def begin(self, options: Mapping[str, Any], site: CallSite, *, lazy: bool) -> None:
        """Begin a transaction; ``lazy`` takes no lock before the first statement needs it."""
        ...

    async def commit(self) -> None:
        """Commit. Where this raises, the transaction may be open still: roll back."""
        ...

    async def rollback(self) -> None:
        """Roll back; nothing happens where no transaction is open any more."""
        ...

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        ...

    async def release_savepoint(self, name: str) -> None:
        """Keep what happened since the savepoint."""
        ...

    async def rollback_to_savepoint(self, name: str) -> None:
        """Undo what happened since the savepoint, and remove it."""
        ...

    def release(self) -> None:
        """Give the connection back, rolled back and cleaned. Never waits or raises."""
        ...


class Backend(Runner, Protocol):
    """A database: made from its URL, connected and disconnected any number of times."""

    dialect: Dialect

    def __init__(self, url: DatabaseURL | str, **options: Any) -> None:
        """Read the options; ``options`` are the keywords of ``Database`` and win over the URL's.

        Raises:
            UnknownOptionError: for an option that this database does not have.
        """
        ...

    async def connect(self) -> None:
        """Make the database reachable, or raise the reason why it is not."""
        ...

    async def disconnect(self, stop: Stop) -> None:
        """Let what is under way finish while ``stop`` gives it time, then close everything.

        The core has refused what is new by then; who waits for a connection is refused here.
        Whatever the server does, this comes to an end a few seconds later.
        """
        ...

    async def acquire(self, site: CallSite, *, readonly: bool = False) -> BackendConnection:
        """Return a connection of the caller's own, as good as new.

        ``readonly`` is for a transaction that is read only, or for one query that does not look as
        if it wrote.
        """
        ...

    def statistics(self) -> Statistics:
        """Return which connections there are, who has them and who waits for one."""
        ...
