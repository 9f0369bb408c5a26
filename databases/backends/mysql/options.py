"""The options of a MySQL or MariaDB database, read from its URL and from keywords."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from databases.backends.hosts import Target
from databases.backends.pool_options import TRUTH, PoolOptions, check_known
from databases.exceptions import UnknownOptionError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from databases.url import DatabaseURL, Host

_NUMBERS = ("connect_timeout", "statement_cache_size")
_SIZES = {"min_size": "minsize", "max_size": "maxsize", "pool_recycle": "pool_recycle"}
_SWALLOWING = frozenset({"big5", "cp932", "gb18030", "gbk", "sjis"})
"""Character sets in which a backslash can be the second half of a character. The drivers put one in
front of a quote, and behind a byte that is none of its own the server would take both for one."""

_TLS = ("ssl_ca", "ssl_cert", "ssl_key")


class MySQLOptions:
    """How a MySQL or MariaDB database is reached.

    Args:
        url: ``mysql://user:password@host:port/database``, or several hosts; behind the ``?`` the
            pool's options, ``target_session_attrs``, ``ssl``, ``ssl_ca``, ``ssl_cert``, ``ssl_key``
            (paths), ``unix_socket``, ``charset``, ``connect_timeout`` (seconds),
            ``statement_cache_size``, ``init_command``, ``sql_mode``.
        keywords: the keywords of ``Database``, which win over the URL's options. What is not one of
            the pool's is handed to the driver.

    Raises:
        UnknownOptionError: for an option that is not known, or a value that it cannot take.
    """

    def __init__(self, url: DatabaseURL, keywords: Mapping[str, Any]) -> None:
        in_url = {n: value for n, value in url.options.items() if n not in ("host", "port")}
        given: dict[str, Any] = {**in_url, **keywords}
        if "unix_sock" in given:
            given.setdefault("unix_socket", given.pop("unix_sock"))
        self.shown = url.obscure_password
        sizes = {name: given[name] for name in _SIZES if name in given}
        self.pool = PoolOptions.take(given)
        self.asked: dict[str, Any] = {_SIZES[name]: _whole(name, sizes[name]) for name in sizes}
        """What databases 0.9 handed to the driver's pool, but for the keywords."""
        for name in _NUMBERS:
            if name in given:
                given[name] = _whole(name, given[name])
        socket = "unix_socket" in given
        self.target = Target.take(
            ((None, None),) if socket else url.hosts, given, given.get("connect_timeout"), 60.0
        )
        self.connect_timeout: int = given.setdefault(
            "connect_timeout", int(self.target.timeout or 60)
        )
        if not given.pop("autocommit", True):
            raise UnknownOptionError(
                "MySQL without autocommit would never keep a single statement: leave autocommit= "
                "out, and use transactions: async with database.transaction(): ..."
            )
        self._sql_mode: str | None = given.pop("sql_mode", None)
        self.statement_cache_size: int = given.pop("statement_cache_size", 100)
        if str(given.setdefault("charset", "utf8mb4")).lower() in _SWALLOWING:
            raise UnknownOptionError(
                f"The option charset is not taken for {given['charset']}, in which a value could "
                "end its own string. utf8mb4 has all of its characters: leave charset out"
            )
        who = {"user": url.username, "password": url.password, "db": url.database or None}
        self._who = {name: value for name, value in who.items() if value is not None}
        tls = {name: given.pop(name, None) for name in _TLS}
        asked = given.pop("ssl", None)
        if isinstance(asked, str):
            if asked.lower() not in TRUTH:
                raise UnknownOptionError(
                    f"The option ssl is true or false, not {asked!r}; where the certificate of the "
                    "authority is not the system's: ?ssl=true&ssl_ca=/path/to/ca.pem"
                )
            asked = TRUTH[asked.lower()]
        self.asked |= {name: given[name] for name in ("unix_socket",) if name in given}
        self.asked |= {} if asked is None else {"ssl": asked}
        if asked is True or (asked is None and any(tls.values())):
            asked = _context(**tls)
        if asked:
            given["ssl"] = asked
        self._given = given

    def after_connect(self, connection: Any) -> list[str]:
        """The statements for what the drivers do not do rightly themselves."""
        if self._sql_mode is None:
            return []
        return [f"SET sql_mode = {connection.escape(self._sql_mode)}"]

    def session(self, connection: Any) -> list[str]:
        """The statements that make a session what it was when the driver had connected."""
        statements = [f"SET autocommit = 1, NAMES {self._given['charset']}"]
        statements += self.after_connect(connection)
        if "init_command" in self._given:
            statements.append(self._given["init_command"])
        return statements

    def place(self, host: Host) -> dict[str, Any]:
        """The arguments for one of the hosts, where keywords of the driver's do not say another."""
        place = zip(("host", "port"), host, strict=True)
        return {k: v for k, v in place if v is not None and k not in self._given}

    def arguments(self, connect: Callable[..., Any]) -> dict[str, Any]:
        """The arguments for a driver's ``connect``, but for the host."""
        check_known("MySQL", self._given, {*inspect.signature(connect).parameters, *_TLS})
        who = dict(self._who)
        if isinstance(who.get("password"), str):
            # The drivers encode it as latin-1, the server expects the bytes of UTF-8.
            who["password"] = who["password"].encode(errors="surrogatepass").decode("latin-1")
        return {**who, "autocommit": True, **self._given}


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise UnknownOptionError(f"The option {name} is a whole number, not {value!r}") from None


def _context(ssl_ca: str | None, ssl_cert: str | None, ssl_key: str | None) -> ssl.SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=ssl_ca)
        if ssl_cert is not None:
            context.load_cert_chain(ssl_cert, ssl_key)
    except (OSError, TypeError, ValueError) as error:
        raise UnknownOptionError(
            f"The options ssl_ca={ssl_ca!r}, ssl_cert={ssl_cert!r} and ssl_key={ssl_key!r} are "
            f"paths of files in PEM format: {error}"
        ) from error
    return context
