"""What a statement is about, and its text without literals, as OpenTelemetry wants them."""

from __future__ import annotations

import re

_LONGEST = 10_000
"""Characters of a statement that are looked at."""

_LONGEST_SUMMARY = 255

_LITERAL = (
    r"""(?<![\w$?:@])(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?|\b(?:TRUE|FALSE)\b(?!\s*[.(])"""
)
"""Numbers and truth values, but neither names with digits in them nor the binds ``$1`` and ``?1``."""


def sanitized(sql: str, opaque: str, *, is_mysql: bool = False) -> str:
    r"""A statement as it is written, with ``?`` for every literal and without its comments.

    Args:
        sql: the statement; of a very long one only the beginning is kept.
        opaque: the dialect's regular expression for strings, quoted names and comments.
        is_mysql: whether double quotes enclose strings, not names.

    Example:
        >>> sanitized("SELECT * FROM users WHERE id = $1 AND name = 'Ada' LIMIT 10", r"'[^']*'")
        'SELECT * FROM users WHERE id = $1 AND name = ? LIMIT ?'
    """
    names = "`[" if is_mysql else '"`['

    def hidden(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith(("--", "/*", "#")):
            return " "
        return text if text[0] in names else "?"

    pattern = rf"(?:{opaque})|{_LITERAL}"
    return re.sub(pattern, hidden, sql[:_LONGEST], flags=re.DOTALL | re.IGNORECASE).strip()


_TOKEN = re.compile(
    r"""(?P<name>(?:"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|[^\W\d][\w$]*)"""
    r"""(?:\.(?:"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|[^\W\d][\w$]*))*)|(?P<sign>[(),;])"""
)

_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_NOT_BEHIND = frozenset({"FOR", "KEY", "DO", "ON", "NO"})
"""Before UPDATE and the like these say that it is none: FOR UPDATE, ON DELETE, DO UPDATE."""

_BEFORE_TARGETS = frozenset({"FROM", "JOIN", "INTO"})
_OBJECTS = frozenset(
    {"TABLE", "INDEX", "VIEW", "TRIGGER", "SCHEMA", "DATABASE", "SEQUENCE", "TYPE", "FUNCTION"}
)
_FILLERS = frozenset({"IF", "NOT", "EXISTS", "ONLY", "LATERAL", "CONCURRENTLY"})
_NO_OPERATION = frozenset({"WITH", "VALUES"})


def summary_of(sql: str) -> str:
    """The operations of a statement and what they are done to, in the order in which they come.

    Args:
        sql: the statement, without literals and comments.

    Example:
        >>> summary_of("INSERT INTO old (id) SELECT id FROM users u JOIN orders o USING (id)")
        'INSERT old SELECT users orders'
    """
    reader = _Reader()
    for match in _TOKEN.finditer(sql):
        if match["name"] is not None:
            reader.name(match["name"], is_call=sql[match.end() : match.end() + 1] == "(")
        else:
            reader.sign(match["sign"])
    return reader.summary()


class _Reader:
    """Reads a statement word by word."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._begins = True
        self._before = ""
        # For each parenthesis that is open: whether a query is in it, and whether a list of tables.
        self._in_query = [False]
        self._in_tables = [False]
        self._awaited = False

    def name(self, word: str, *, is_call: bool) -> None:
        known, before = word.upper(), self._before
        self._before = known
        if self._awaited and known not in _FILLERS:
            self._awaited = False
            if known not in ("SELECT", "VALUES"):
                self._found.append(word)
                self._in_tables[-1] = True
                return
        begins, self._begins = self._begins, False
        if known in _OPERATIONS and before not in _NOT_BEHIND and not (is_call and not begins):
            self._found.append(word)
            self._in_query[-1] = True
            self._in_tables[-1] = False
            self._awaited = known == "UPDATE"
        elif known in _BEFORE_TARGETS:
            # EXTRACT(YEAR FROM day), IS DISTINCT FROM: no table comes behind these.
            self._awaited = self._in_query[-1] and before != "DISTINCT"
        elif begins and known not in _NO_OPERATION:
            self._found.append(word)
        elif known in _OBJECTS and len(self._found) == 1 and not self._in_query[0]:
            # CREATE TABLE users
            self._found.append(word)
            self._awaited = True
        elif known in _CLAUSES:
            self._in_tables[-1] = False

    def sign(self, sign: str) -> None:
        if sign == "(":
            self._in_query.append(False)
            self._in_tables.append(False)
            self._awaited = False
        elif sign == ")" and len(self._in_query) > 1:
            self._in_query.pop()
            self._in_tables.pop()
        elif sign == ",":
            self._awaited = self._in_tables[-1]
        elif sign == ";":
            self.__init__(self._found)
        self._before = sign

    def summary(self) -> str:
        """What was found, cut between two names where it is long."""
        length, kept = -1, []
        for word in self._found:
            length += 1 + len(word)
            if length > _LONGEST_SUMMARY:
                break
            kept.append(word)
        return " ".join(kept)
