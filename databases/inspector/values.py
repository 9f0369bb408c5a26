"""What is shown of the values of queries: types and sizes, themselves only if asked for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 50
"""Values that are described at most, of one statement."""

_LONGEST = 200
"""Characters of a value that are shown at most."""

SMALL = frozenset((int, float, bool, type(None), date, datetime, time, Decimal, UUID))
"""Types of values that are small, and hold nothing else alive."""

_VALUES = re.compile(
    # Names are quoted too: what the word before says is one.
    r"""(?P<name>\b(?:column|constraint|database|field|function|index|key|relation|schema|table|type)"""
    r"""\s+(?:"[^"]*"|'[^']*'|`[^`]*`))"""
    r"""|'(?:[^']|'')*(?:'|\Z)|"[^"]*(?:"|\Z)"""
    r"""|(?P<argument>\bquery argument \$\d+:).*"""
    r"""|(?P<search>\bno such column:).*"""  # what SQLite's full-text search takes for one
    r"""|(?<![\w.])-?\d[\d.,:+-]*"""
)


_ABOUT_NAMES = ("Column ", "Field ", "Key ", "Table ", "Unknown ")
"""How messages of MariaDB begin that quote names alone."""


class Value(NamedTuple):
    """A value of a query."""

    name: str
    """Its name or its place, counted from 1."""
    type: str
    size: str | None
    value: str | None
    """The value itself, where values are shown."""


def are_small(arguments: list[Any]) -> bool:
    """Whether the arguments of many statements may be kept as they are."""
    if max(map(len, arguments)) > _MOST:
        return False
    # The names of a mapping are text, so that it does not count as small.
    return SMALL.issuperset(map(type, itertools.chain.from_iterable(arguments)))


def kept_values(arguments: Any, *, show: bool) -> Any:
    """What is kept of the arguments of a statement until somebody looks, at little cost.

    Small values of types that hold nothing else are kept as they are, and described by whoever
    shows them; text, bytes and whatever may be large or lead to something large is described now.
    """
    is_short = type(arguments) is tuple and len(arguments) <= _MOST
    if is_short and not show and SMALL.issuperset(map(type, arguments)):
        return arguments
    return described(arguments, show=show)


def described(arguments: Any, *, show: bool) -> tuple[Value, ...]:
    """Describe the arguments of a statement.

    Args:
        arguments: in the driver's order, or by name.
        show: whether the values themselves may be seen.
    """
    if arguments and isinstance(arguments, tuple) and isinstance(arguments[0], Value):
        return arguments
    named: Iterable[tuple[Any, Any]]
    named = arguments.items() if isinstance(arguments, Mapping) else enumerate(arguments, 1)
    found: list[Value] = []
    for name, value in named:
        if len(found) == _MOST:
            found.append(Value("...", f"{len(arguments) - _MOST} more", None, None))
            break
        shown = _shown(value) if show else None
        found.append(Value(str(name), type(value).__name__, _size(value), shown))
    return tuple(found)


def _size(value: Any) -> str | None:
    if isinstance(value, str):
        return f"{len(value)} characters"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple | dict | set):
        return f"{len(value)} items"
    return None


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # it is the user's class
        text = f"<repr failed: {type(error).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def error_text(error: BaseException, arguments: Any, *, show: bool, is_ours: bool = True) -> str:
    """What is shown of an error: databases and applications put values into their messages.

    Args:
        error: the error.
        arguments: the values of its statement, if it has one.
        show: whether values may be seen.
        is_ours: whether it came from a database. Of others only the class is told.
    """
    name = type(error).__name__
    if not (show or is_ours):
        return name
    try:
        # MySQL's drivers: a number and a message.
        said = error.args[1] if len(error.args) > 1 and isinstance(error.args[0], int) else error
        lines = str(said).splitlines()
    except Exception:  # it is somebody's class
        return name
    text = lines[0] if lines else ""
    if not show:
        # MariaDB shortens values, and does not say where one with a quote in it ends.
        is_plain = said is error or text.startswith(_ABOUT_NAMES)
        text = masked(text, arguments) if is_plain else _up_to_quote(text)
    return f"{name}: {text}" if text else name


def masked(text: str, arguments: Any) -> str:
    """A message of a database without the values of a statement, or what looks like any.

    Args:
        text: the message.
        arguments: the values.
    """
    values = list(arguments.values() if isinstance(arguments, Mapping) else arguments or ())
    # The longest first: a short one may be part of it.
    for written in sorted({_written(value) for value in values}, key=len, reverse=True):
        if written:
            text = re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", "…", text)

    def hidden(match: re.Match[str]) -> str:
        before = match["argument"] or match["search"] or ""
        if before and not values:
            return match[0]
        return match["name"] or f"{before}…"

    return _VALUES.sub(hidden, text)


def _up_to_quote(text: str) -> str:
    before, quote, _ = text.partition("'")
    return f"{before}…" if quote else text


def _written(value: Any) -> str:
    try:
        return str(value)[:10_000]
    except Exception:  # it is the user's class
        return ""


def plan_without_values(line: str, arguments: Any) -> str:
    """A line of a plan; costs are no values, but what rows are compared with is."""
    return line if "(cost=" in line else masked(line, arguments)
