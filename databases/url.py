"""DatabaseURL: the address of a database, read and changed."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from databases.exceptions import InvalidURLError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    Host: TypeAlias = tuple[str | None, int | None]

_SEVERAL = re.compile(r"((?:[^/?#]*:)?//(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(.*)", re.S)
"""What stands before, what are, and what comes behind several hosts."""

_PLACE_OPTIONS = frozenset({"host", "port", "unix_sock", "unix_socket"})

_NO_HOST = re.compile(r"[?#@,\[\]\s]")
"""What no host has: it would be read as another part of the URL."""

_CREDENTIALS = re.compile(r"\A((?:[^:@]*:(?=//))?+[^@]*?:).*@", re.S)
"""What looks like a user name and a password, where they could not be read."""

_ENCODED = ("username", "password", "database")
"""Parts that are written in a URL in another way than they are read."""

_HIDDEN = "********"
_SECRET_OPTIONS = frozenset({"password", "passwd", "sslpassword"})


class DatabaseURL:
    """The address of a database: ``dialect[+driver]://user:password@host:port/database?options``.

    It is a value: immutable, hashable, and equal to its own text.

    Args:
        url: the address, as text or as another ``DatabaseURL``. User name, password and database
            are percent-encoded in it where they contain reserved characters (RFC 3986, 2.1).
            There may be several hosts, ``a:5432,b,[::1]:5433``.

    Raises:
        InvalidURLError: (a ``TypeError`` and a ``ValueError``) where ``url`` is neither, a port is
            not a number from 0 to 65535, or one of several hosts is empty.

    Example:
        >>> url = DatabaseURL("postgresql+asyncpg://ada:s%2Fcret@localhost:5432/users?min_size=1")
        >>> url.dialect, url.driver, url.password, url.port, url.options
        ('postgresql', 'asyncpg', 's/cret', 5432, {'min_size': '1'})
        >>> url
        DatabaseURL('postgresql+asyncpg://ada:********@localhost:5432/users?min_size=1')
        >>> url.replace(database="test_" + url.database).database
        'test_users'
        >>> DatabaseURL("postgresql://ada@a:5432,b/users").hosts
        (('a', 5432), ('b', None))
    """

    __slots__ = ("_text", "components", "hosts")

    components: SplitResult
    """The five parts of the URL, as ``urllib.parse.urlsplit`` gives them. Of several hosts it
    makes nothing: they are in ``hosts``."""

    hosts: tuple[Host, ...]
    """Each host with its port, at least one; None for what the URL does not say."""

    def __init__(self, url: str | DatabaseURL) -> None:
        if not isinstance(url, str | DatabaseURL):
            raise InvalidURLError(
                f"A database URL is a str or a DatabaseURL, not {type(url).__name__}: "
                'write Database("sqlite:///./test.db")'
            )
        self._text = str(url)
        read = _read(self._text)
        if read is None:
            # Not as the context of urlsplit's own error: that can quote a password.
            raise InvalidURLError(
                "The host or port of the database URL cannot be read: "
                "write scheme://user:password@host:5432/name, an IPv6 address in brackets, "
                "several hosts as a:5432,b:5432 or ?host=a,b&port=5432, "
                "and percent-encode reserved characters in user name and password"
            )
        self.components, self.hosts = read

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
        userinfo = self.components.netloc.rpartition("@")[0].rstrip(":")
        return userinfo.encode(errors="surrogatepass")

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
        """The host (the first), or else the options ``host``, ``unix_sock`` or ``unix_socket``."""
        return self.hosts[0][0]

    @property
    def port(self) -> int | None:
        """The port (the first) as a number, or else the option ``port``, or None."""
        return self.hosts[0][1]

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
            **changes: any of ``username``, ``password``, ``hostname``, ``port``, ``hosts``,
                ``database``, ``dialect``, ``driver`` (decoded values: what needs quoting is
                quoted), or ``scheme``, ``netloc``, ``path``, ``query``, ``fragment`` (as they stand
                in a URL). None removes a part. Of several hosts all give way to ``hostname``,
                and all get the ``port``.

        Returns:
            The new ``DatabaseURL``.

        Raises:
            TypeError: for a part that a URL does not have.
            InvalidURLError: (a ``TypeError`` too) for a value that would be read as something else
                in a URL, such as a host with ``@`` in it.

        Example:
            >>> str(DatabaseURL("postgresql://localhost/app").replace(database="test_app"))
            'postgresql://localhost/test_app'
            >>> str(DatabaseURL("postgresql://a/app").replace(hosts=[("b", 5433), ("c", None)]))
            'postgresql://b:5433,c/app'
        """
        if not changes:
            return DatabaseURL(self)
        asked = {name: changes[name] or "" for name in _ENCODED if name in changes}
        names = ", ".join(f"{name}=..." for name in changes)
        try:
            components = self._changed(changes)
            changed = DatabaseURL(_unsplit(components))
        except (InvalidURLError, UnicodeEncodeError):
            changed = None
        if (
            changed is None
            or changed.components != components
            or any((getattr(changed, name) or "") != part for name, part in asked.items())
        ):
            # Not with the error of above as its context: that can quote a password.
            raise InvalidURLError(
                f"replace({names}): in a URL that would be read as something else, or not at all. "
                "A host has no @, ?, # or comma, a port is a number from 0 to 65535, a scheme has "
                "letters and digits, and no text has half of a surrogate pair"
            )
        return changed

    def _changed(self, changes: dict[str, Any]) -> SplitResult:
        if changes.keys() & {"username", "password", "hostname", "port", "hosts"}:
            changes["netloc"] = self._netloc(changes)
        if changes.keys() & {"dialect", "driver"}:
            dialect = changes.pop("dialect", self.dialect) or ""
            driver = changes.pop("driver", self.driver)
            changes["scheme"] = f"{dialect}+{driver}" if driver else dialect
        if changes.get("scheme"):
            changes["scheme"] = changes["scheme"].lower()
        if "database" in changes:
            # "/", ":" and the like mean nothing more behind the first slash and stay readable.
            changes["path"] = "/" + quote(changes.pop("database") or "", safe="/:@!$&'()*+,;=~")
        parts = {name: part or "" for name, part in changes.items()}
        components = self.components._replace(**parts)
        if components.netloc and components.path[:1] not in ("", "/"):
            components = components._replace(path=f"/{components.path}")
        return components

    def _netloc(self, changes: dict[str, Any]) -> str:
        # What is not changed stays as it is written.
        username, password = self.components.username, self.components.password
        if (name := changes.pop("username", self)) is not self:
            username = None if name is None else quote(name, safe="")
        if (secret := changes.pop("password", self)) is not self:
            password = None if secret is None else quote(secret, safe="")
        netloc = self._places(changes)
        if username is None and password is None:
            return netloc
        userinfo = username or ""
        if password is not None:
            userinfo += ":" + password
        return f"{userinfo}@{netloc}"

    def _places(self, changes: dict[str, Any]) -> str:
        """The hosts and ports as they are to stand before the path; options for them give way."""
        asked = changes.keys() & {"hostname", "port", "hosts"}
        if not asked or (asked == {"hosts"} and tuple(changes["hosts"] or ()) == self.hosts):
            changes.pop("hosts", None)
            return self.components.netloc.rpartition("@")[2]
        hosts = self.hosts if self.components.hostname else ((None, self.port),)
        if "hostname" in changes:
            hosts = ((changes.pop("hostname"), self.port),)
        if "hosts" in changes:
            hosts = tuple(changes.pop("hosts") or ()) or ((None, None),)
        if "port" in changes:
            port = changes.pop("port")
            hosts = tuple([(host, port) for host, _ in hosts])
        if any(_NO_HOST.search(host or "") for host, _ in hosts):
            raise InvalidURLError
        if "query" not in changes:
            outdated = {"port"} if asked == {"port"} else _PLACE_OPTIONS
            options = self.components.query.split("&")
            kept = [option for option in options if option.partition("=")[0] not in outdated]
            if any("/" in (host or "") for host, _ in hosts):
                # The directory of a socket cannot stand before the path.
                names = ",".join([host or "" for host, _ in hosts])
                ports = ",".join(["" if port is None else str(port) for _, port in hosts])
                kept += [f"host={quote(names, safe='/:,')}"]
                kept += [f"port={ports}"] if ports.strip(",") else []
                hosts = ((None, None),)
            changes["query"] = "&".join(kept).strip("&")
        return ",".join([host_and_port(host, port) for host, port in hosts])

    @property
    def obscure_password(self) -> str:
        """The URL's text with the password, and any in the options, replaced by asterisks."""
        components = self.components
        if _SECRET_OPTIONS & self.options.keys():
            shown = [
                (name, _HIDDEN if name in _SECRET_OPTIONS else value)
                for name, value in parse_qsl(components.query)
            ]
            components = components._replace(query=urlencode(shown, safe="*/:", errors="replace"))
        if components.password is not None:
            # What should have been encoded, and was not, may reach into the path.
            userinfo, _, place = f"{components.netloc}{components.path}".rpartition("@")
            user = userinfo.partition(":")[0]
            components = components._replace(netloc=f"{user}:{_HIDDEN}@{place}", path="")
        text = self._text if components is self.components else _unsplit(components)
        if components.password is None and "@" in text:
            text = _CREDENTIALS.sub(rf"\1{_HIDDEN}@", text)
        return text

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


def host_and_port(host: str | None, port: int | None) -> str:
    """A host and its port as they are written in a URL."""
    host = f"[{host}]" if host and ":" in host else host or ""
    return host if port is None else f"{host}:{port}"


def _read(text: str) -> tuple[SplitResult, tuple[Host, ...]] | None:
    """Take a URL apart; None where its hosts or ports cannot be read."""
    try:
        several = _SEVERAL.match(text)
        if several is None:
            components = urlsplit(text)
            hosts = [(components.hostname, components.port)]
        else:
            # urlsplit knows of one host.
            before, listed, behind = several.groups()
            first = listed.partition(",")[0]
            components = urlsplit(before + first + behind)
            if not components.netloc.endswith(first):
                return None
            hosts = [_read_host(place) for place in listed.split(",")]
            netloc = components.netloc.removesuffix(first) + listed
            components = components._replace(netloc=netloc)
        return components, _with_options(hosts, dict(parse_qsl(components.query)))
    except ValueError:
        return None


def _read_host(place: str) -> Host:
    read = urlsplit(f"//{place}")
    if not read.hostname or read.netloc != place:
        raise ValueError
    return read.hostname, read.port


def _with_options(hosts: Iterable[Host], options: dict[str, str]) -> tuple[Host, ...]:
    """The hosts that stand before the path, or else in the options, with the ports of both."""
    names, ports = map(list, zip(*hosts, strict=True))
    if names == [None]:
        socket = options.get("unix_sock") or options.get("unix_socket")
        names = [name.strip("[]") for name in options.get("host", "").split(",")]
        if len(names) > 1 and not all(names):
            raise ValueError
        names = [name or socket for name in names]
        ports *= len(names)
    more = [_read_port(port) for port in options.get("port", "").split(",")]
    more *= len(names) if len(more) == 1 else 1
    both = zip(names, ports, more, strict=True)
    return tuple([(name, other if port is None else port) for name, port, other in both])


def _read_port(text: str) -> int | None:
    return _read_host(f"host:{text}")[1]


def _unsplit(components: SplitResult) -> str:
    """Put a URL together again, keeping the ``//`` that urlunsplit drops for unknown schemes."""
    scheme, netloc, path, query, fragment = components
    text = f"{scheme}:" if scheme else ""
    # Not for a path alone, such as sqlite:test.db.
    if netloc or path[:2] == "//" or (scheme and path[:1] in ("", "/")):
        text += "//"
    text += netloc + path
    if query:
        text += f"?{query}"
    if fragment:
        text += f"#{fragment}"
    return text
