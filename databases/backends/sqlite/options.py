"""The options of a SQLite database, read from its URL and from keywords of ``Database``."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

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

_PASSED_ON = ("cached_statements", "detect_types")
"""Options of ``sqlite3.connect`` that mean there what they mean here."""

_KNOWN = ("timeout", *_PASSED_ON, *_URI_PARAMETERS)


@dataclass(frozen=True, slots=True)
class SQLiteOptions:
    """How a SQLite database is opened.

    Args:
        address: the URI for ``sqlite3.connect``, absolute where it names a file.
        in_memory: whether the database is in memory, and so lives in one connection alone.
        directory: the directory of the file, or None for a database in memory.
        timeout: how long to wait for a lock, in seconds.
        cached_statements: how many prepared statements each connection keeps.
        detect_types: as for ``sqlite3.connect``.
    """

    address: str
    in_memory: bool
    directory: Path | None
    timeout: float
    cached_statements: int
    detect_types: int

    @classmethod
    def read(cls, url: DatabaseURL, keywords: Mapping[str, Any]) -> SQLiteOptions:
        """Read the options of a database.

        Raises:
            InvalidURLError: for a URL with a host, such as ``sqlite://test.db``.
            UnknownOptionError: for an option that SQLite does not have, or a timeout that is not a
                number of seconds.
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
        in_memory = name in ("", ":memory:") or uri.get("mode") == "memory"
        timeout = _number("timeout", given.get("timeout", 30.0), 86_400)
        cached = _number("cached_statements", given.get("cached_statements", 500), 100_000)
        detect = _number("detect_types", given.get("detect_types", 0), 3)
        if in_memory:
            address = "file:" + quote(name or ":memory:", safe=":/")
            directory = None
        else:
            # Connections are opened later too, when the working directory may be another.
            path = Path(name).absolute()
            address = path.as_uri()
            directory = path.parent
        if uri:
            address += "?" + urlencode(uri)
        return cls(address, in_memory, directory, timeout, int(cached), int(detect))


def _number(name: str, value: Any, most: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= most:
        raise UnknownOptionError(
            f"The SQLite option {name} is a number from 0 to {most}, not {value!r}: "
            "write for example sqlite:///./test.db?timeout=30 (seconds)"
        )
    return number


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _KNOWN, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"SQLite has no option {name!r}: {advice}It has {', '.join(sorted(_KNOWN))}."
