"""What statements may leave in the session that runs them, and which of them only read.

Most leave nothing: the next user of the connection cannot tell that they were run. After any other
the session has to be made as good as new. The proof is by words: a statement counts as leaving
nothing if it reads or changes rows and calls only functions that are known to leave nothing. What
is not known costs a round trip; it never leaks. In the same way a statement counts as only reading:
nothing in it is known to write or to lock, and nothing is unknown.
"""

from __future__ import annotations

import enum
import re

from databases.verbs import Verb, verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Leaves(enum.Enum):
    """What a statement may leave in its session."""

    NOTHING = "nothing"
    TEMPORARY_TABLE = "a temporary table"
    ANYTHING = "what a reset undoes"
    MORE = "what no reset undoes"


_ROWS = re.compile(r"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|REPLACE|VALUES|WITH|TABLE)\b", re.I)

_TEMPORARY = re.compile(r"\s*CREATE\s+(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\s+TABLE\b", re.I)

_NAME = r"""(?:\w+|"[^"]*"|`[^`]*`)"""
_TARGET = re.compile(
    # INSERT INTO "users" (name) names columns, as CREATE TABLE does; it does not call a function.
    rf"\b(?:INTO|REPLACE|TABLE)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_NAME}\s*\.\s*)*{_NAME}\s*\(",
    re.I,
)

_CTE = re.compile(
    # Nothing else has a name, a parenthesis and AS before a query: WITH numbers (n) AS (SELECT 1).
    # A function has them before its columns, whose names may be words that are not reserved.
    r"\b\w++\s*\([^()]*\)\s*(?=AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?"
    r"\(\s*(?:(?:SELECT|WITH|TABLE)\b|VALUES\s*\(|(?:INSERT|MERGE)\s+INTO\b|DELETE\s+FROM\b))",
    re.I,
)

_SIGN = r"[\w$\x80-\U0010ffff]"
# A name behind a dot is in a schema, and so is whatever the user has made of it.
# Each is looked at once: what begins in the middle of a long name would be read from there again.
_CALL = re.compile(rf"""(\.\s*{_SIGN}++|(?<!{_SIGN}){_SIGN}++|"|`)\s*\(""")

_STANDARD = """
    abs all and any array as avg between bit_length boolean by case cast ceil ceiling char
    char_length character_length check coalesce collate concat concat_ws conflict constraint count
    cross cube cume_dist current_date current_time current_timestamp date day decimal default
    dense_rank distinct else end except exists exp extract filter first_value float floor for from
    full global greatest group grouping having hour if ifnull in inner int integer intersect
    interval into is join key lag last_value lateral lead least left length like limit ln local
    localtime localtimestamp log log10 log2 lower lpad ltrim materialized max md5 min minute mod
    month not now nth_value ntile null nullif numeric octet_length of offset on only or order over
    overlay partition percent_rank pi position pow power precision quarter radians rank recursive
    repeat replace returning reverse right rollup round row row_number rows rpad rtrim second
    select set sets sha1 sha2 sign sin some sqrt stddev stddev_pop stddev_samp strpos substr
    substring sum table tan then time timestamp to trim trunc truncate union unique update upper
    using uuid value values var_pop var_samp varchar variance when where window with within year
"""
"""Words before a parenthesis that leave nothing: keywords, types and functions that databases
share."""


def what_is_left(
    opaque: str, functions: str, suspicious: str, quote: str, beyond: str = "(?!)"
) -> Callable[[str], Leaves]:
    """Make the function that tells of a SQL text what it may leave in its session.

    Args:
        opaque: the dialect's regular expression for strings, quoted identifiers and comments.
        functions: the dialect's own functions that leave nothing, separated by blanks.
        suspicious: a regular expression for words that a harmless statement does not have.
        quote: what encloses identifiers.
        beyond: one for statements after which no reset makes the session as good as new.
    """
    harmless = {*_STANDARD.split(), *functions.split()}
    hidden = re.compile(opaque, re.DOTALL)
    suspect = re.compile(suspicious, re.I)
    beyond_reset = re.compile(rf"\s*(?:{beyond})", re.I)

    def only_names(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith(quote) else " "

    def leaves(sql: str) -> Leaves:
        # Strings and comments become nothing; of quoted identifiers the quotes stay.
        text = hidden.sub(_blank, sql)
        if beyond_reset.match(text):
            return Leaves.MORE
        if "/*" in text or suspect.search(hidden.sub(only_names, sql)):
            return Leaves.ANYTHING
        created = _TEMPORARY.match(text)
        rest = text[created.end() - len("TABLE") :] if created else text
        if not _ROWS.match(rest) or ";" in rest.rstrip(" ;\n"):
            return Leaves.ANYTHING
        if any(
            name.lower() not in harmless
            for name in _CALL.findall(_CTE.sub(" ", _TARGET.sub(" ", rest)))
        ):
            return Leaves.ANYTHING
        return Leaves.TEMPORARY_TABLE if created else Leaves.NOTHING

    return leaves


_CHANGES = re.compile(
    # Of rows, also inside WITH; of tables, files and variables (SELECT INTO); of locks; of
    # sequences, which have a value next also without calling a function.
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO|FOR\s+(?:KEY\s+)?SHARE|LOCK\s+IN|NEXT\s+VALUE|NEXTVAL"
    r"|TXID_CURRENT)\b",
    re.I,
)


def what_only_reads(opaque: str, leaves: Callable[[str], Leaves]) -> Callable[[str], bool]:
    """Make the function that tells whether an SQL text provably does nothing but read.

    Such a statement may run on a replica, and any number of times.

    Args:
        opaque: the dialect's regular expression for strings, quoted identifiers and comments.
        leaves: tells what a statement may leave in its session.
    """
    hidden = re.compile(opaque, re.DOTALL)

    def only_reads(sql: str) -> bool:
        if verb_of(sql) is not Verb.READ or leaves(sql) is not Leaves.NOTHING:
            return False
        return _CHANGES.search(hidden.sub(_blank, sql)) is None

    return only_reads


def _blank(match: re.Match[str]) -> str:
    hidden = match[0]
    if "/*" in hidden[2:] and hidden.startswith("/*"):
        return "/*"  # comments inside comments: where they end is not for us to say
    return hidden[0] * 2 if hidden[0] in '"`' else " "
