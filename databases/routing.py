"""Where reads go: to the primary or to a replica, as far as that is asked for and safe.

What is asked for, and what one request has written itself, belongs to the context of the task, so
that it holds in the tasks that are started from there too.
"""

from __future__ import annotations

import contextlib
import contextvars
import math

from databases.exceptions import UnknownOptionError
from databases.url import DatabaseURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Literal

    Preference = Literal["primary", "replica"]
    """Where reads go that may go to either."""

_CHOICE = ("primary", "replica")


def checked(prefer: Preference) -> Preference:
    """Return the word for where reads are to go.

    Raises:
        UnknownOptionError: (a ``TypeError``) where it is none.
    """
    if prefer not in _CHOICE:
        raise UnknownOptionError(
            f'prefer is "primary" or "replica", not {prefer!r}: '
            'await database.fetch_all(query, prefer="replica")'
        )
    return prefer


class Writes:
    """What one request or task, and the tasks started from it, have written on a database.

    A read that is to see it goes to the primary, or to a replica that has come as far as the
    primary was at any time after the last write.
    """

    __slots__ = ("count", "known", "leaves_table", "position")

    def __init__(self) -> None:
        self.count = 0
        """How many there were; as many as came to an end, well or not."""
        self.known = 0
        """How many of them the position covers."""
        self.position: Mapping[str, int] | None = None
        """Where the primary was after them."""
        self.leaves_table = False
        """Whether there is a temporary table on a connection to the primary."""

    def mark(self) -> None:
        """Something was written."""
        self.count += 1

    def covered(self, count: int, position: Mapping[str, int]) -> None:
        """The primary is known to have come to a position after so many writes."""
        if count > self.known:
            self.known, self.position = count, position


class Routing:
    """What is asked for and was written, for one database that has replicas.

    Args:
        prefer: where reads go where nothing else is asked for.
    """

    def __init__(self, prefer: Preference) -> None:
        # One of each for each database, which applications have for as long as they run: contexts
        # keep the variables that were set in them.
        self._prefer: contextvars.ContextVar[Preference] = contextvars.ContextVar(
            "databases.prefer", default=prefer
        )
        self._writes: contextvars.ContextVar[Writes | None] = contextvars.ContextVar(
            "databases.writes", default=None
        )

    @property
    def prefers_replica(self) -> bool:
        """Whether the present task asks for replicas."""
        return self._prefer.get() == "replica"

    @contextlib.contextmanager
    def preferring(self, prefer: Preference) -> Iterator[None]:
        """Ask for one or the other within the block, and in tasks that are started there."""
        self.writes()
        token = self._prefer.set(prefer)
        try:
            yield
        finally:
            # A generator that is not run to its end may be closed in another context.
            with contextlib.suppress(ValueError):
                self._prefer.reset(token)

    def writes(self) -> Writes:
        """What the request or task has written that the present task belongs to.

        It begins where it is asked for first; tasks started after that belong to it.
        """
        writes = self._writes.get()
        if writes is None:
            writes = Writes()
            self._writes.set(writes)
        return writes


class Servers:
    """The servers of one database: the primary, and what is read from in its place.

    Args:
        url: the address of the primary, maybe among other hosts.
        replicas: the addresses of replicas.
        prefer: where reads go where nothing else is asked for.
        max_lag: the most seconds that a replica may be behind; None for what the URL says.

    Raises:
        InvalidURLError: for a replica whose address cannot be read.
        UnknownOptionError: for one that cannot be a replica of this database, and for a
            ``max_lag`` that is no number of seconds.

    Example:
        >>> servers = Servers(DatabaseURL("mysql://a:3306,b/users?max_lag=2"), ["mysql://c/users"])
        >>> servers.url, list(servers.replicas), servers.max_lag
        (DatabaseURL('mysql://a:3306,b/users'), ['a:3306', 'b', 'c'], 2.0)
    """

    def __init__(
        self,
        url: DatabaseURL,
        replicas: Iterable[str | DatabaseURL] = (),
        prefer: Preference = "primary",
        max_lag: float | None = None,
    ) -> None:
        self.max_lag = _seconds(url.options.get("max_lag", 10.0) if max_lag is None else max_lag)
        self.url = _without(url, {"max_lag"}) if "max_lag" in url.options else url
        """The address for the primary's backend."""
        self.replicas: dict[str, DatabaseURL] = {}
        """The address of each server that may be a replica, by a name for messages."""
        each = [url] if len(url.hosts) > 1 else []
        for one in (*each, *(_of_replica(replica, url) for replica in replicas)):
            for host, port in one.hosts:
                name = f"[{host}]" if ":" in (host or "") else host or "localhost"
                name += "" if port is None else f":{port}"
                self.replicas[name] = _without(one.replace(hosts=[(host, port)]), OF_SEVERAL)
        self.routing = Routing(prefer) if self.replicas else None
        """What knows where reads go; None where there is one place only."""


OF_SEVERAL = {"max_lag", "target_session_attrs", "load_balance_hosts"}
"""Options that say which of several hosts is wanted."""

PLACE = {"host", "port", "unix_sock", "unix_socket"}
"""Options that say where a server is: each replica's own."""


def _of_replica(replica: str | DatabaseURL, primary: DatabaseURL) -> DatabaseURL:
    """The address of a replica, with the options of the primary that it does not have itself."""
    url = DatabaseURL(replica)
    # postgres:// is postgresql://, and a driver is the same for all.
    if primary.dialect == "sqlite" or url.dialect[:8] != primary.dialect[:8]:
        raise UnknownOptionError(
            f"A replica of {primary.obscure_password} cannot be at {url.obscure_password}: "
            "PostgreSQL, MySQL and MariaDB have replicas, of the same kind as the primary. "
            'Write Database("postgresql://a/users", replicas=["postgresql://b/users"])'
        )
    here = primary.components.query.split("&")
    own = url.options.keys() | PLACE
    if url.username is not None:
        own |= {"user", "password", "passwd"}  # another user's
    more = [option for option in here if option.partition("=")[0] not in own]
    query = "&".join(filter(None, [*more, url.components.query]))
    return url.replace(scheme=primary.scheme, query=query)


def _without(url: DatabaseURL, options: set[str]) -> DatabaseURL:
    parts = url.components.query.split("&")
    kept = [part for part in parts if part.partition("=")[0] not in options]
    return url.replace(query="&".join(kept))


def _seconds(max_lag: object) -> float:
    with contextlib.suppress(TypeError, ValueError):
        seconds = float(max_lag)  # type: ignore[arg-type]
        if 0 < seconds < math.inf:
            return seconds
    raise UnknownOptionError(
        f"The option max_lag is a number of seconds above 0, not {max_lag!r}: "
        "Database(url, replicas=[...], max_lag=10)"
    )
