"""Families: statements that differ in their values only, for counting them together."""

from __future__ import annotations

import re

from databases.sql_summary import sanitized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.statements import Dialect

_LONGEST = 2_000
"""Characters of a family's text at most."""

_BIND = re.compile(
    # Names in quotes may have anything in them.
    r"""(?P<name>"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|::\s*\w+)"""
    r"""|\$\d+|%s|%\(\w+\)s|:\w+|\?\d*"""
)
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"(\((?:\?|\.\.\.)\))(?:\s*,\s*\((?:\?|\.\.\.)\))+")


def family_of(sql: str, dialect: Dialect) -> str:
    r"""The text that all statements share which differ in their values only.

    Literals and binds become ``?``, lists of them ``(...)``; comments and the layout are left out.

    Args:
        sql: the statement.
        dialect: the backend's SQL.

    Example:
        >>> from databases.backends.sqlite.backend import SQLiteBackend
        >>> sql = "SELECT * FROM users\n  WHERE id IN (:a, :b) AND name = 'Ada' -- all"
        >>> family_of(sql, SQLiteBackend.dialect)
        'SELECT * FROM users WHERE id IN (...) AND name = ?'
    """
    text = _BIND.sub(lambda match: match["name"] or "?", sanitized(sql, dialect))
    text = " ".join(text.split()).rstrip("; ")
    text = _ROWS.sub(r"\1", _LISTS.sub("(...)", text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
