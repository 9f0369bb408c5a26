"""What a statement does, as far as its words tell."""

from __future__ import annotations

import enum
import itertools
import re


class Verb(enum.Enum):
    """What a statement does."""

    READ = "read"
    INSERT = "insert"
    WRITE = "write"
    OTHER = "other"


_VERBS = {
    "SELECT": Verb.READ,
    "VALUES": Verb.READ,
    "EXPLAIN": Verb.READ,
    "INSERT": Verb.INSERT,
    "REPLACE": Verb.INSERT,
    "UPDATE": Verb.WRITE,
    "DELETE": Verb.WRITE,
}

_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TOKEN = re.compile(
    # What is never closed ends with the statement, or every opening would search to its end.
    r"""'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)"""
    r"|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|\b(?P<verb>SELECT|VALUES|INSERT|REPLACE|UPDATE|DELETE)\b|[()]",
    re.DOTALL | re.IGNORECASE,
)


def verb_of(sql: str) -> Verb:
    """Tell from its words what a statement does.

    Example:
        >>> verb_of("WITH new(name) AS (SELECT 'Ada') INSERT INTO users(name) SELECT name FROM new")
        <Verb.INSERT: 'insert'>
    """
    words = leading_words(sql, 1)
    word = words[0].upper() if words else ""
    return _verb_of_with(sql) if word == "WITH" else _VERBS.get(word, Verb.OTHER)


def _verb_of_with(sql: str) -> Verb:
    """The verb of WITH is the one directly behind the last parenthesis of its queries."""
    depth = end = 0
    behind = False
    for token in _TOKEN.finditer(sql):
        # Only blanks and comments may come between the parenthesis and the verb.
        behind = behind and not sql[end : token.start()].strip()
        end = token.end()
        if token[0] == "(":
            depth, behind = depth + 1, False
        elif token[0] == ")":
            depth, behind = depth - 1, depth == 1
        elif token["verb"] and behind:
            return _VERBS[token["verb"].upper()]
        elif not token["comment"]:
            behind = False
    return Verb.OTHER


def leading_words(sql: str, count: int) -> list[str]:
    r"""The first words of a statement; comments, parentheses and other signs are left out.

    Example:
        >>> leading_words("-- all\n /* of */ (SELECT id FROM users)", 2)
        ['SELECT', 'id']
    """
    words = _WORD.finditer(_COMMENT.sub(" ", sql))
    return [match[0] for match in itertools.islice(words, count)]
