"""The options of a PostgreSQL database, read from its URL and from keywords of ``Database``."""

from __future__ import annotations

import difflib
import inspect
from typing import Any
from urllib.parse import urlencode

from databases.backends.hosts import Target
from databases.backends.pool_options import OURS, TRUTH, PoolOptions, check_known, number
from databases.exceptions import UnknownOptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.url import DatabaseURL, Host

_PLACE = ("host", "port", "unix_sock", "unix_socket")

_LIBPQ_ALONE = frozenset(
    """
    channel_binding client_encoding fallback_application_name gssencmode keepalives keepalives_count
    keepalives_idle keepalives_interval replication sslcompression
    tcp_user_timeout
    """.split()  # noqa: SIM905
)
"""What only libpq does: for asyncpg, which would take it for a setting of the server, left out."""


class PostgresOptions:
    """How a PostgreSQL database is reached.

    Args:
        url: ``postgresql://user:password@host:port/database``, or several hosts; behind the ``?``
            the pool's options, ``statement_cache_size``, ``ssl``, and whatever libpq knows
            (``target_session_attrs``, ``sslmode``, ``application_name`` ...). Source: PostgreSQL's
            documentation, 34.1.2.
        keywords: the keywords of ``Database``, which win over the URL's options. What is not one of
            the pool's is handed to the driver.

    Raises:
        UnknownOptionError: for a value that an option cannot take.
    """

    def __init__(self, url: DatabaseURL, keywords: Mapping[str, Any]) -> None:
        in_url = {name: value for name, value in url.options.items() if name not in _PLACE}
        given: dict[str, Any] = {**in_url, **keywords}
        self.shown = url.obscure_password
        sizes = [name for name in ("min_size", "max_size") if name in given]
        self.pool = PoolOptions.take(given)
        limit = given.get("connect_timeout", given.get("timeout"))
        self.target = Target.take(url.hosts, given, limit, usual=60.0)
        size = given.pop("statement_cache_size", 100)
        try:
            self.statement_cache_size = int(size)
        except (TypeError, ValueError, OverflowError):
            raise UnknownOptionError(
                f"The option statement_cache_size is a number of statements, not {size!r}: "
                "100 is usual, 0 prepares none (for pgbouncer)"
            ) from None
        self.ssl = given.pop("ssl", None)
        if isinstance(self.ssl, str):
            # Also one of libpq's words, such as "require".
            self.ssl = TRUTH.get(self.ssl.lower(), self.ssl)
        self.asked: dict[str, Any] = {name: getattr(self.pool, name) for name in sizes}
        self.asked |= {} if self.ssl is None else {"ssl": self.ssl}
        """What databases 0.9 handed to asyncpg's pool, but for the keywords."""
        # libpq's options are words in a URL; keywords are the driver's own.
        self._libpq = {
            name: given.pop(name) for name in in_url if name not in keywords and name in given
        }
        for name in self._libpq:
            # What libpq does not know asyncpg takes for a setting of the server.
            near = difflib.get_close_matches(name, OURS, n=1, cutoff=0.8)
            if near:
                raise UnknownOptionError(
                    f"PostgreSQL has no option {name!r}: did you mean {near[0]!r}?"
                )
        self._keywords = given
        self.asked |= given
        who = {"user": url.username, "password": url.password, "database": url.database or None}
        self._who = {name: value for name, value in who.items() if value is not None}

    def with_option(self, option: str) -> str:
        """The URL with an option more, to show in a message."""
        return f"{self.shown}{'&' if '?' in self.shown else '?'}{option}"

    def place(self, host: Host) -> dict[str, Any]:
        """The arguments for one of the hosts, where keywords of the driver's do not say another."""
        place = zip(("host", "port"), host, strict=True)
        return {k: v for k, v in place if v is not None and k not in self._keywords}

    def for_asyncpg(self) -> dict[str, Any]:
        """The arguments for ``asyncpg.connect``, but for the host."""
        import asyncpg

        known = set(inspect.signature(asyncpg.connect).parameters) | {"init"}
        known -= {"dsn", "connection_class", "record_class", "loop"}
        check_known("PostgreSQL by asyncpg", self._keywords, known)
        arguments: dict[str, Any] = dict(self._who)
        if self.ssl is not None:
            arguments["ssl"] = self.ssl
        words = {name: word for name, word in self._libpq.items() if name not in _LIBPQ_ALONE}
        for word, name in (("connect_timeout", "timeout"), ("command_timeout", "command_timeout")):
            if word in words:
                arguments[name] = number(word, words.pop(word), 0)
        if words:
            arguments["dsn"] = "postgresql://?" + urlencode(words)
        # We keep prepared statements ourselves, with what we know of their columns; with any size
        # of its own asyncpg gives them names.
        size = {"statement_cache_size": self.statement_cache_size}
        return {**arguments, **self._keywords, **size}

    def for_psycopg(self) -> dict[str, Any]:
        """The arguments for ``psycopg.AsyncConnection.connect``: libpq's words, no host."""
        from psycopg.pq import Conninfo

        known = {option.keyword.decode() for option in Conninfo.get_defaults()}
        given = [*self._libpq, *self._keywords]
        check_known("PostgreSQL by psycopg", given, known | {"context", "init"})
        arguments: dict[str, Any] = {**self._who, **self._libpq, **self._keywords}
        arguments["dbname"] = arguments.pop("database", None)
        # In any other encoding, which the database may have, there is text that cannot be sent.
        arguments["client_encoding"] = "utf8"
        if self.ssl is True:
            arguments.setdefault("sslmode", "verify-full")
            arguments.setdefault("sslrootcert", "system")
        elif self.ssl is False:
            arguments.setdefault("sslmode", "disable")
        elif isinstance(self.ssl, str):
            arguments.setdefault("sslmode", self.ssl)
        elif self.ssl is not None:
            raise UnknownOptionError(
                "psycopg reads certificates itself: instead of ssl=SSLContext write "
                "?sslmode=verify-full&sslrootcert=/path/to/ca.crt"
            )
        return {name: value for name, value in arguments.items() if value is not None}
