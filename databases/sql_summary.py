"""What a statement is about, and its text without literals, as OpenTelemetry wants them."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.statements import Dialect

_LONGEST = 10_000
"""Characters of a statement that are looked at."""

_LONGEST_SUMMARY = 255

_LITERAL = r"""(?<![\w$?:@])(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?|\b(?:TRUE|FALSE)\b(?!\s*[.(])"""
"""Numbers and truth values, but neither names with digits nor the binds ``$1`` and ``?1``."""


def sanitized(sql: str, dialect: Dialect) -> str:
    """A statement as it is written, with ``?`` for every literal and without its comments.

    Args:
        sql: the statement; of a very long one only the beginning is kept.
        dialect: the backend's SQL.

    Example:
        >>> from databases.backends.sqlite.backend import SQLiteBackend
        >>> sql = "SELECT * FROM users WHERE id = :id AND name = 'Ada' LIMIT 10"
        >>> sanitized(sql, SQLiteBackend.dialect)
        'SELECT * FROM users WHERE id = :id AND name = ? LIMIT ?'
    """
    # Double quotes enclose strings on MySQL.
    names = "`[" if dialect.name == "mysql" else '"`['

    def hidden(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith(("--", "/*", "#")):
            return " "
        return text if text[0] in names else "?"

    pattern = rf"(?:{dialect.opaque})|{_LITERAL}"
    text = re.sub(pattern, hidden, sql[:_LONGEST], flags=re.DOTALL | re.IGNORECASE)
    # A string with '' in it was two.
    return re.sub(r"\?{2,}", "?", text).strip()


_TOKEN = re.compile(
    r"""(?P<name>(?:"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|[^\W\d][\w$]*)"""
    r"""(?:\.(?:"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|[^\W\d][\w$]*))*)|(?P<sign>[(),;])"""
)

_OPENS = re.compile(r"\s*\(")

_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_NOT_BEHIND = frozenset({"FOR", "KEY", "DO", "ON"})
"""Behind these there is no operation: FOR UPDATE, ON DELETE CASCADE, DO UPDATE."""

_BEFORE_TARGETS = frozenset({"FROM", "JOIN", "INTO"})
_BEHIND_TARGETS = frozenset(
    {"WHERE", "SET", "ON", "USING", "VALUES", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT"}
    | {"OFFSET", "FETCH", "FOR", "RETURNING", "UNION", "EXCEPT", "INTERSECT", "DEFAULT"}
)
_OBJECTS = frozenset(
    {"TABLE", "INDEX", "VIEW", "TRIGGER", "SCHEMA", "DATABASE", "SEQUENCE", "TYPE", "FUNCTION"}
)
_FILLERS = frozenset({"IF", "NOT", "EXISTS", "ONLY", "LATERAL", "CONCURRENTLY", "OR", "IGNORE"})


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
        if match["name"] is None:
            reader.sign(match["sign"])
        else:
            reader.word(match["name"], is_call=_OPENS.match(sql, match.end()) is not None)
    length, kept = -1, []
    for found in reader.found:
        length += 1 + len(found)
        if length > _LONGEST_SUMMARY:
            break
        kept.append(found)
    return " ".join(kept)


class _Reader:
    """Reads a statement word by word."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._begins = True
        self._before = ""
        self._awaits_target = False
        # For each parenthesis that is open: whether it has a query, and whether that is at its
        # tables.
        self._in_query = [False]
        self._at_tables = [False]

    def word(self, word: str, *, is_call: bool) -> None:
        """A keyword or a name."""
        known, before, begins = word.upper(), self._before, self._begins
        self._before, self._begins = known, False
        if self._awaits_target:
            if known not in _FILLERS:
                self._awaits_target = False
                self._at_tables[-1] = True
                self.found.append(word)
        elif known in _OPERATIONS and before not in _NOT_BEHIND:
            # REPLACE and INSERT are functions as well.
            if known not in ("REPLACE", "INSERT") or not is_call:
                self.found.append(word)
                self._in_query[-1], self._at_tables[-1] = True, False
                self._awaits_target = known == "UPDATE"
        elif known in _BEFORE_TARGETS:
            # No table comes in EXTRACT(YEAR FROM day) and IS DISTINCT FROM.
            self._awaits_target = self._in_query[-1] and before != "DISTINCT"
        elif begins and known != "WITH":
            self.found.append(word)
        elif known in _OBJECTS and len(self.found) == 1 and not self._in_query[0]:
            self.found.append(word)
            self._awaits_target = True
        elif known in _BEHIND_TARGETS:
            self._at_tables[-1] = False

    def sign(self, sign: str) -> None:
        """A parenthesis, a comma, or the end of a statement."""
        self._before = sign
        self._awaits_target = sign == "," and self._at_tables[-1]
        if sign == "(":
            self._in_query.append(False)
            self._at_tables.append(False)
        elif sign == ")" and len(self._in_query) > 1:
            self._in_query.pop()
            self._at_tables.pop()
        elif sign == ";":
            self._begin()
