"""The seam between the pool and a network driver: one connection of the driver, and what opens it.

``network`` implements the seam of ``base`` on top of this, once for all drivers.
"""

from __future__ import annotations

import enum
from typing import Any, Protocol

from databases.backends.base import Cursor
from databases.exceptions import DatabaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.records import Result
    from databases.statements import Batch, Bound
    from databases.url import Host


class Role(enum.Enum):
    """What a server is to those who connect to it; the value says it behind the server's name."""

    PRIMARY = "takes writes"
    READ_ONLY = "is not a standby, but its sessions only read"
    STANDBY = "is a standby: it only reads"
    UNREADY = "is not ready: its cluster is not whole"


class NetworkCursor(Cursor, Protocol):
    """A cursor of a link, which has the rows on the server."""

    @property
    def is_open(self) -> bool:
        """Whether there may be rows on the server that were not read."""
        ...


class Link(Protocol):
    """One connection of a driver. Only one task uses it at a time. Driver errors pass as they are.

    A statement that is cancelled is stopped on the server too: by the time that ``reset()`` is
    done, or the link is closed.
    """

    commits_by_itself: bool
    """Whether other statements than COMMIT and ROLLBACK end a transaction, as MySQL's DDL does."""

    sent: bool
    """Whether the last statement may have reached the server; False as long as it provably has
    not. What it stands at counts only once the link is lost."""

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        ...

    def is_closed(self) -> bool:
        """Whether it is known to be of no use any more."""
        ...

    def in_transaction(self) -> bool:
        """Whether a transaction is open on it, failed or not."""
        ...

    def fileno(self) -> int:
        """The descriptor of its socket, or -1 where there is none."""
        ...

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        """Run a statement and return its rows, at most ``limit`` of them."""
        ...

    async def execute(self, bound: Bound) -> Any:
        """Run a statement and return what ``execute()`` returns on this database."""
        ...

    async def execute_many(self, batch: Batch) -> None:
        """Run a statement with many rows of arguments, in as few round trips as possible.

        Outside a transaction all rows are kept, or none of them.
        """
        ...

    async def open_cursor(self, bound: Bound, *, alone: bool) -> NetworkCursor:
        """Start a query whose rows are read piece by piece.

        ``alone`` promises that no other statements are run in between, and that the link is reset
        afterwards: what it takes to read the rows may be left to that.
        """
        ...

    async def run(self, sql: str) -> str | None:
        """Run a statement without values or rows, such as BEGIN; what the server calls it."""
        ...

    async def settle(self) -> None:
        """Wait until a statement that was cancelled has stopped."""
        ...

    async def reset(self) -> None:
        """Make the session as good as new. What is open on it is rolled back."""
        ...

    async def ping(self) -> None:
        """Ask the server for a sign of life."""
        ...

    async def role(self) -> Role:
        """What the server is now: in at most one round trip, none where it told already."""
        ...

    async def close(self) -> None:
        """Take leave of the server."""
        ...

    def terminate(self) -> None:
        """Close the socket, and stop on the server what runs there. Never waits or raises."""
        ...


class Driver(Protocol):
    """Opens links, and knows what the errors of its driver mean."""

    async def connect(self, host: Host) -> Link:
        """Open a link to a host."""
        ...

    def role_told(self, error: BaseException) -> Role | None:
        """What a server says that it is when it refuses a statement for that; None where not so."""
        ...

    def adopted(self, error: BaseException) -> BaseException:
        """Make an error of the driver ours as well; another one is returned as it is."""
        ...

    def is_undone(self, error: BaseException) -> bool:
        """Whether the server said that it gave the statement up, along with the link."""
        ...

    async def close(self) -> None:
        """Wait for what is done in the background, such as stopping a cancelled statement."""
        ...


def adopted(driver: Driver, error: BaseException) -> BaseException:
    """Make an error of a driver or the network ours as well; ours are so already."""
    return error if isinstance(error, DatabaseError) else driver.adopted(error)
