"""DatabaseURL: the address of a database, read and changed."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from databases.exceptions import InvalidURLError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HIDDEN = "********"
_SECRET_OPTIONS = frozenset({"password", "passwd", "sslpassword"})


class DatabaseURL:
    """The address of a database: ``dialect[+driver]://user:password@host:port/database?options``.

    It is a value: immutable, hashable, and equal to its own text.

    Args:
        url: the address, as text or as another ``DatabaseURL``. User name, password and database
            are percent-encoded in it where they contain reserved characters (RFC 3986, 2.1).

    Raises:
        InvalidURLError: (a ``TypeError`` and a ``ValueError``) where ``url`` is neither, or its
            port is not a number from 0 to 65535.

    Example:
        >>> url = DatabaseURL("postgresql+asyncpg://ada:s%2Fcret@localhost:5432/users?min_size=1")
        >>> url.dialect, url.driver, url.password, url.port, url.options
        ('postgresql', 'asyncpg', 's/cret', 5432, {'min_size': '1'})
        >>> url
        DatabaseURL('postgresql+asyncpg://ada:********@localhost:5432/users?min_size=1')
        >>> url.replace(database="test_" + url.database).database
        'test_users'
    """

    __slots__ = ("_text", "components")

    components: SplitResult
    """The five parts of the URL, as ``urllib.parse.urlsplit`` gives them."""

    def __init__(self, url: str | DatabaseURL) -> None:
        if not isinstance(url, str | DatabaseURL):
            raise InvalidURLError(
                f"A database URL is a str or a DatabaseURL, not {type(url).__name__}: "
                'write Database("sqlite:///./test.db")'
            )
        self._text = str(url)
        components = _split(self._text)
        if components is None:
            # Not as the context of urlsplit's own error: that can quote a password.
            raise InvalidURLError(
                "The host or port of the database URL cannot be read: "
                "write scheme://user:password@host:5432/name, an IPv6 address in brackets, "
                "and percent-encode reserved characters in user name and password"
            )
        self.components = components

    @property
    def scheme(self) -> str:
        """Dialect and driver as written, such as ``"postgresql+asyncpg"``."""
        return self.components.scheme

    @property
    def dialect(self) -> str:
        """The kind of database, such as ``"sqlite"``."""
        return self.scheme.partition("+")[0]

    @property
    def driver(self) -> str:
        """The driver named behind the ``+``; empty where none is."""
        return self.scheme.partition("+")[2]

    @property
    def userinfo(self) -> bytes | None:
        """User name and password as written (percent-encoded), or None without a user name."""
        if not self.components.username:
            return None
        return self.components.netloc.rpartition("@")[0].rstrip(":").encode()

    @property
    def username(self) -> str | None:
        """The decoded user name."""
        name = self.components.username
        return None if name is None else unquote(name)

    @property
    def password(self) -> str | None:
        """The decoded password."""
        password = self.components.password
        return None if password is None else unquote(password)

    @property
    def hostname(self) -> str | None:
        """The host, or else the options ``host``, ``unix_sock`` or ``unix_socket``."""
        options = self.options
        return (
            self.components.hostname
            or options.get("host")
            or options.get("unix_sock")
            or options.get("unix_socket")
        )

    @property
    def port(self) -> int | None:
        """The port as a number, or None."""
        return self.components.port

    @property
    def netloc(self) -> str | None:
        """User, password, host and port as written."""
        return self.components.netloc

    @property
    def database(self) -> str:
        """The decoded name of the database; for SQLite the path of the file."""
        return unquote(self.components.path.removeprefix("/"))

    @property
    def options(self) -> dict[str, str]:
        """The options behind the ``?``, by name."""
        return dict(parse_qsl(self.components.query))

    def replace(self, **changes: Any) -> DatabaseURL:
        """Return a copy with some parts changed.

        Args:
            **changes: any of ``username``, ``password``, ``hostname``, ``port``, ``database``,
                ``dialect``, ``driver`` (decoded values: what needs quoting is quoted), or
                ``scheme``, ``netloc``, ``path``, ``query``, ``fragment`` (as they stand in a URL).
                None removes a part.

        Returns:
            The new ``DatabaseURL``.

        Raises:
            TypeError: for a part that a URL does not have.

        Example:
            >>> str(DatabaseURL("postgresql://localhost/app").replace(database="test_app"))
            'postgresql://localhost/test_app'
        """
        if changes.keys() & {"username", "password", "hostname", "port"}:
            changes["netloc"] = self._netloc(changes)
        if changes.keys() & {"dialect", "driver"}:
            dialect = changes.pop("dialect", self.dialect)
            driver = changes.pop("driver", self.driver)
            changes["scheme"] = f"{dialect}+{driver}" if driver else dialect
        if "database" in changes:
            # "/", ":" and the like mean nothing more behind the first slash and stay readable.
            changes["path"] = "/" + quote(changes.pop("database") or "", safe="/:@!$&'()*+,;=~")
        return DatabaseURL(_unsplit(self.components._replace(**changes)))

    def _netloc(self, changes: dict[str, Any]) -> str:
        username = changes.pop("username", self.username)
        password = changes.pop("password", self.password)
        hostname = changes.pop("hostname", self.components.hostname) or ""
        port = changes.pop("port", self.port)
        if ":" in hostname:
            hostname = f"[{hostname}]"
        netloc: str = hostname if port is None else f"{hostname}:{port}"
        if username is None and password is None:
            return netloc
        userinfo = quote(username or "", safe="")
        if password is not None:
            userinfo += ":" + quote(password, safe="")
        return f"{userinfo}@{netloc}"

    @property
    def obscure_password(self) -> str:
        """The URL's text with the password, and any in the options, replaced by asterisks."""
        components = self.components
        if components.password is not None:
            userinfo, _, place = components.netloc.rpartition("@")
            user = userinfo.partition(":")[0]
            components = components._replace(netloc=f"{user}:{_HIDDEN}@{place}")
        if _SECRET_OPTIONS & self.options.keys():
            shown = [
                (name, _HIDDEN if name in _SECRET_OPTIONS else value)
                for name, value in parse_qsl(components.query)
            ]
            components = components._replace(query=urlencode(shown, safe="*/:"))
        return self._text if components is self.components else _unsplit(components)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.obscure_password!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | DatabaseURL):
            return str(self) == str(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)


def _split(text: str) -> SplitResult | None:
    """Split a URL; None where its host or port cannot be read."""
    try:
        components = urlsplit(text)
        _ = components.port
    except ValueError:
        return None
    return components


def _unsplit(components: SplitResult) -> str:
    """Put a URL together again, keeping the ``//`` that urlunsplit drops for unknown schemes."""
    text = f"{components.scheme}://{components.netloc}{components.path}"
    if components.query:
        text += f"?{components.query}"
    if components.fragment:
        text += f"#{components.fragment}"
    return text
