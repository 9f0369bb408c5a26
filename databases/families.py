"""Families: statements that differ in their values only, for counting them together."""

from __future__ import annotations

import functools
import re

_LONGEST = 2_000
"""Characters of a family's text at most."""

_PARTS = re.compile(
    # What is never closed ends with the statement.
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"""
    r"""|(?P<name>"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\b[A-Za-z_]\w*)"""
    r"""|(?P<value>'(?:[^']|'')*(?:'|\Z)|\$\d+|%s|[:@]\w+|\?\d*|\b\d[\w.]*)"""
    r"""|(?P<cast>::\s*\w+)"""
    r"""|(?P<space>\s+)""",
    re.DOTALL,
)
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"(\((?:\?|\.\.\.)\))(?:\s*,\s*\((?:\?|\.\.\.)\))+")


@functools.lru_cache(1000)
def family_of(sql: str) -> str:
    r"""The text that all statements share which differ in their values only.

    Literals and binds become ``?``, lists of them ``(...)``; comments and the layout are left out.

    Example:
        >>> family_of("SELECT * FROM users\n  WHERE id IN ($1, $2) AND name = 'Ada' -- all")
        'SELECT * FROM users WHERE id IN (...) AND name = ?'
    """
    text = _PARTS.sub(_plain, sql[: 10 * _LONGEST]).strip().rstrip(";").rstrip()
    text = _ROWS.sub(r"\1", _LISTS.sub("(...)", text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _plain(match: re.Match[str]) -> str:
    if match["value"]:
        return "?"
    if match["comment"] or match["space"]:
        return " "
    return match[0]
