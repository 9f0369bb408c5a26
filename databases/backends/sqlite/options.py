"""The options of a SQLite database, read from its URL and from keywords of ``Database``."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from databases.exceptions import InvalidURLError, UnknownOptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from databases.url import DatabaseURL

_URI_PARAMETERS = ("cache", "immutable", "mode", "modeof", "nolock", "psow", "vfs")
"""What SQLite itself reads from the URI of a file. Source: sqlite.org/uri.html, section 3.3."""

_NEEDLESS = ("check_same_thread", "uri")
"""Options of ``sqlite3.connect`` that databases 0.9 passed on, and that the engine settles."""

_NUMBERS: dict[str, tuple[float, int, int]] = {
    # name: the default, the least, the most; a whole number where the default is one
    "timeout": (30.0, 0, 86_400),
    "readers": (5, 1, 64),
    "cached_statements": (128, 0, 100_000),
    "detect_types": (0, 0, 3),
}

_WORDS: dict[str, tuple[str, ...]] = {
    # Not "off": there SQLite cannot roll back, and the engine relies on that it can.
    "journal_mode": ("wal", "delete", "truncate", "persist", "memory"),
    "synchronous": ("full", "normal", "extra", "off"),
    "foreign_keys": ("off", "on"),
}
"""Options that set the pragma of their name, with the values that it takes; the first is the
default. Source: sqlite.org/pragma.html."""

_SIZES: dict[str, str] = {
    "cache_size": "pages where it is positive, KiB where it is negative: cache_size=-8000 is 8 MB",
    "mmap_size": "bytes: mmap_size=268435456 is 256 MB",
}
"""Options that set the pragma of their name to a whole number, and what it counts. Where they are
not given SQLite's own default stays."""

_KNOWN = (*_NUMBERS, *_WORDS, *_SIZES, *_URI_PARAMETERS)

_ALIASES = {"1": "on", "true": "on", "yes": "on", "0": "off", "false": "off", "no": "off"}


@dataclass(frozen=True, slots=True)
class SQLiteOptions:
    """How a SQLite database is opened.

    Args:
        name: what users know it as: the path, or ``":memory:"``.
        address: the URI for ``sqlite3.connect``, absolute where it names a file.
        path: the file, or None for a database in memory.
        journal_mode: the journal mode wanted, or None to take the file as it is.
        pragmas: statements that every connection starts with.
        timeout: how long to wait for a lock, in seconds.
        readers: how many connections read single statements at most.
        cached_statements: how many prepared statements each connection keeps.
        detect_types: as for ``sqlite3.connect``.
    """

    name: str
    address: str
    path: Path | None
    journal_mode: str | None
    pragmas: tuple[str, ...]
    timeout: float
    readers: int
    cached_statements: int
    detect_types: int

    @property
    def in_memory(self) -> bool:
        """Whether the database is in memory, and so lives in one connection alone."""
        return self.path is None

    @classmethod
    def read(cls, url: DatabaseURL, keywords: Mapping[str, Any]) -> SQLiteOptions:
        """Read the options of a database.

        Raises:
            InvalidURLError: for a URL with a host, such as ``sqlite://test.db``.
            UnknownOptionError: for an option that SQLite does not have, or a value that it cannot
                take.
        """
        if url.netloc:
            raise InvalidURLError(
                f"A SQLite URL has no host, and {url.obscure_password} has one before its path.\n"
                "  a file beside you:  sqlite:///./test.db\n"
                "  a file elsewhere:   sqlite:////var/lib/test.db\n"
                "  in memory:          sqlite://"
            )
        given = {**url.options, **keywords}
        for name in given:
            if name not in _KNOWN and name not in _NEEDLESS:
                raise UnknownOptionError(_unknown(name))
        uri = {name: str(given[name]) for name in _URI_PARAMETERS if name in given}
        name = url.database.removeprefix("file:")
        if name in ("", ":memory:") or uri.get("mode") == "memory":
            name, path = name or ":memory:", None
        else:
            # Connections are opened later too, when the working directory may be another.
            path = Path(name).absolute()
            name = str(path)
        try:
            address = "file:" + quote(name, safe=":/") if path is None else path.as_uri()
            address += "?" + urlencode(uri) if uri else ""
        except UnicodeEncodeError:
            raise InvalidURLError(
                f"No file of SQLite can have this path or these options: {name!r} {uri or ''}"
            ) from None
        words = {name: _word(name, given.get(name, known[0])) for name, known in _WORDS.items()}
        sizes = {name: _size(name, given[name]) for name in _SIZES if name in given}
        numbers = {name: _number(name, given) for name in _NUMBERS}
        mode = words.pop("journal_mode")
        return cls(
            name,
            address,
            path,
            mode if path is not None or "journal_mode" in given else None,
            tuple(f"PRAGMA {name} = {value}" for name, value in {**words, **sizes}.items()),
            numbers["timeout"],
            int(numbers["readers"]),
            int(numbers["cached_statements"]),
            int(numbers["detect_types"]),
        )

    def once_connected(self) -> SQLiteOptions:
        """The same for later connections: they must not make a new file where it was removed."""
        query = urlsplit(self.address).query
        if self.path is None or "mode" in parse_qs(query):
            return self
        return replace(self, address=f"{self.address}{'&' if query else '?'}mode=rw")


def _number(name: str, given: Mapping[str, Any]) -> float:
    default, least, most = _NUMBERS[name]
    value = given.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not least <= number <= most or (isinstance(default, int) and number % 1):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise UnknownOptionError(
            f"The SQLite option {name} is {kind} from {least} to {most}, not {value!r}: "
            f"write for example sqlite:///./test.db?{name}={default:g}"
        )
    return number


def _word(name: str, value: Any) -> str:
    known = _WORDS[name]
    word = str(value).lower()
    if "on" in known:
        word = _ALIASES.get(word, word)
    if word not in known:
        raise UnknownOptionError(
            f"The SQLite option {name} is one of {', '.join(sorted(known))}, not {value!r}: "
            f"write for example sqlite:///./test.db?{name}={known[0]}"
        )
    return word


def _size(name: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise UnknownOptionError(
            f"The SQLite option {name} is a whole number, not {value!r}. It counts {_SIZES[name]}"
        ) from None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _KNOWN, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"SQLite has no option {name!r}: {advice}It has {', '.join(sorted(_KNOWN))}."
