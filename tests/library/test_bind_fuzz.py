"""Hostile SQL: what is a bind and what is text, in linear time, and what values do in it."""

from __future__ import annotations

import string
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import Database, exceptions
from databases.backends.mysql import sql as mysql
from databases.backends.postgres import sql as postgresql
from databases.backends.session import Leaves
from databases.backends.sqlite import SQLiteBackend
from databases.families import family_of
from databases.records import Record
from databases.sql_summary import sanitized, summary_of
from databases.sql_text import TextStatement
from databases.statements import Dialect
from databases.verbs import leading_words, verb_of
from tests.library.fuzzing import ANY_TEXT, LONG, PATIENCE, examples
from tests.library.kinds import ASYNCPG, MARIADB_ONLY, ON_POSTGRESQL, PSYCOPG, Kind


def placeholder(number: int) -> str:
    return f"\u27e8{number}\u27e9"


def no_core() -> Any:
    raise NotImplementedError


DIALECTS = {
    "sqlite": Dialect("sqlite", placeholder, SQLiteBackend.dialect.opaque, (), no_core),
    "postgresql": Dialect("postgresql", placeholder, postgresql.OPAQUE, (), no_core),
    "mysql": Dialect("mysql", placeholder, mysql.WITHOUT_BINDS, (), no_core, True),
}
LEAVES: dict[str, Callable[[str], Leaves]] = {
    "postgresql": postgresql.leaves,
    "mysql": mysql.leaves,
}

on_every_dialect = pytest.mark.parametrize("name", DIALECTS)


class Piece(NamedTuple):
    """A part of a statement: what it becomes, and the bind that it is, if it is one."""

    text: str
    becomes: str
    bind: str | None = None


HOSTILE = st.lists(
    st.sampled_from(
        [
            *"'\"`[]()$%?@#;,\\ \n\r\t",
            ":a",
            "::",
            "--",
            "/*",
            "*/",
            "$$",
            "$a$",
            "%s",
            "\\'",
            "''",
            "é",
        ]
    ),
    max_size=6,
).map("".join)


def quoted(mark: str, *, backslashes: bool = False) -> st.SearchStrategy[str]:
    """Anything at all between two marks, those within doubled."""

    def close(text: str) -> str:
        if backslashes:
            text = text.replace("\\", "\\\\")
        return mark + text.replace(mark, mark * 2) + mark

    return HOSTILE.map(close)


def comment(begin: str, end: str) -> st.SearchStrategy[str]:
    def close(text: str) -> str:
        for part in (end, "*", "/", "\r", "\n"):
            text = text.replace(part, "")
        return begin + text + end

    return HOSTILE.map(close)


OPAQUE: dict[str, list[st.SearchStrategy[str]]] = {
    "sqlite": [
        *(quoted("'"), quoted('"'), quoted("`"), comment("--", "\n"), comment("/*", "*/")),
        HOSTILE.map(lambda text: f"[{text.replace(']', '')}]"),
    ],
    "postgresql": [
        *(quoted("'"), quoted('"'), comment("--", "\n"), comment("--", "\r"), comment("/*", "*/")),
        # With a comma: behind a line break such a string would go on with the next one.
        quoted("'", backslashes=True).map("E{},".format),
        st.tuples(quoted("'", backslashes=True), quoted("'", backslashes=True)).map(
            lambda both: f"e{both[0]} -- :a\n\n \t{both[1]},"
        ),
        HOSTILE.map(lambda text: f"$$ {text.replace('$', '')} $$"),
        HOSTILE.map(lambda text: f"$tag$ {text.replace('tag', '')} $ta$ $tag$"),
        st.just(r"E'\' :a',"),
    ],
    "mysql": [
        *(quoted("'", backslashes=True), quoted('"', backslashes=True), quoted("`")),
        *(comment("-- ", "\n"), comment("--\x01", "\n"), comment("#", "\n"), comment("/*", "*/")),
        *(comment("/*!", "*/"), comment("/*!99999 ", "*/"), comment("/*M!", "*/")),
        st.sampled_from([r"'\' :a'", r'"\" :a"', r"'\\'", "--\n"]),
    ],
}
PLAIN = {
    "sqlite": ["::", "a::b", "->>", "||", "?"],
    "postgresql": ["::int", "[1:2]", "[1 : 2]", "->>", "@>", "?", "?|", ":=", "=>", "%"],
    "mysql": ["@a := 1", "->>", "%", "%s", "%(a)s", "@a"],
}
NAMES = st.one_of(
    st.sampled_from(["a", "b", "id", "x1", "_", "größe", "名前", "A", "1a"]),
    st.text(string.ascii_letters + string.digits + "_é", min_size=1, max_size=8),
)


@st.composite
def pieces(draw: Any, name: str) -> list[Piece]:
    """A statement of which it is known what is a bind in it."""
    opaque = st.one_of(OPAQUE[name]).map(lambda text: Piece(text, text))
    plain = st.sampled_from(
        [*("SELECT", "FROM", "(", ")", ",", "1", "1.5e-3", "=", "a.b", "\n", "\t"), *PLAIN[name]]
    )
    bind = NAMES.map(lambda name: Piece(f":{name}", "", name))
    cast = NAMES.map(lambda name: Piece(f":{name}", "", name))
    escaped = NAMES.map(lambda name: Piece(f"\\:{name}", f":{name}"))
    parts = st.one_of(
        opaque, bind, plain.map(lambda text: Piece(text, text)), opaque, bind, cast, escaped
    )
    found: list[Piece] = draw(st.lists(parts, max_size=12))
    return found


@on_every_dialect
@examples(120)
@given(data=st.data())
def test_a_bind_is_what_stands_outside_of_strings_names_and_comments(
    name: str, data: st.DataObject
) -> None:
    dialect = DIALECTS[name]
    parts = data.draw(pieces(name))
    binds = [part.bind for part in parts if part.bind is not None]
    statement = TextStatement(" ".join(part.text for part in parts), dialect)
    assert statement._names == binds
    expected: list[str] = []
    number = 0
    for part in parts:
        if part.bind is not None:
            number += 1
            expected.append(placeholder(number))
        else:
            # Escapes are undone everywhere, as in SQLAlchemy's text().
            written = part.becomes.replace("%", "%%") if dialect.doubles_percent else part.becomes
            expected.append(written)
    if "\\:" not in " ".join(part.becomes for part in parts):
        assert statement.sql == " ".join(expected)


@on_every_dialect
@examples(120)
@given(st.one_of(HOSTILE, ANY_TEXT, st.lists(HOSTILE, max_size=8).map(" ".join)))
def test_any_text_is_read_and_each_bind_is_one_placeholder(name: str, text: str) -> None:
    dialect = DIALECTS[name]
    statement = TextStatement(text, dialect)
    if "\u27e8" not in text:
        marks = [placeholder(number + 1) for number in range(len(statement._names))]
        assert [mark for mark in marks if statement.sql.count(mark) != 1] == []
        assert statement.sql.count("\u27e8") == len(marks)
    values = {name: object() for name in statement._names}
    assert list(statement.arguments(values)) == [values[name] for name in statement._names]


@on_every_dialect
@examples(120)
@given(
    st.one_of(
        ANY_TEXT,
        st.lists(
            st.one_of(
                HOSTILE,
                st.sampled_from(
                    [
                        *(
                            "WITH",
                            "SELECT",
                            "a AS",
                            "INSERT INTO",
                            "(",
                            ")",
                            "FROM",
                            "a.b",
                            "TABLE",
                        ),
                        *(
                            "CREATE TEMP TABLE",
                            "REPLACE",
                            "set_config(",
                            "f (",
                            "IN (1, 2)",
                            "UPDATE",
                        ),
                    ]
                ),
            ),
            max_size=12,
        ).map(" ".join),
    )
)
def test_whatever_a_statement_is_it_is_classified(name: str, text: str) -> None:
    dialect = DIALECTS[name]
    verb_of(text)
    leading_words(text, 2)
    summary_of(sanitized(text, dialect))
    assert len(family_of(text, dialect)) <= 2_000
    if name in LEAVES:
        LEAVES[name](text)


UNITS = [
    *"'\"`[]()#:\\$%?;,. \n\r\t\x00é1",
    *("/*", "*/", "/*/", "/*!", "--", "--\n", "--\r", "::", ":a", "\\:", "\\:a", "'a", "''", '""'),
    *("E'", "E'\\", "E''\n", "E'a'\n--x\n", "E'a' --\n", "$$", "$a$", "$a", "$a$b$", "$a1$ $a2$"),
    *("a", "a ", "a.", "a . ", "a(", "a (", "a \n", "1e", "1.", "TRUE ", "TRUE", "%s", "$1", "(?,"),
    *(
        "(?),",
        "?,",
        "(?, ?), ",
        "WITH a AS (",
        "WITH ",
        "AS (SELECT ",
        "a() AS ",
        "a() ",
        "a (b) AS",
    ),
    *(
        "INTO a(",
        "INTO ",
        "TABLE a.",
        "REPLACE ",
        "IF NOT EXISTS ",
        "CREATE TEMP TABLE ",
        "SELECT ",
    ),
    *('"a".', 'a."b".', 'U&"', "名", "🐘", "INSERT INTO a VALUES (", "FROM a, ", "UPDATE ", "a:a"),
]
STARTS = {"postgresql": ["SELECT ", "SELECT E'a'\n"]}


@on_every_dialect
def test_long_hostile_sql_is_read_in_reasonable_work(name: str) -> None:
    dialect = DIALECTS[name]
    begun = time.monotonic()
    for unit in UNITS:
        for start in STARTS.get(name, ["SELECT "]):
            text = start + unit * (LONG // 5 // len(unit))
            TextStatement(text, dialect)
            verb_of("WITH " + text)
            summary_of(text)
            family_of(text, dialect)
            if name in LEAVES:
                LEAVES[name](text)
        assert time.monotonic() - begun < PATIENCE, unit


# On real databases.

CONTEXTS = [
    "SELECT {}",
    "SELECT ':v' AS a, {}, '--'",
    "SELECT {} -- :v ' \" \\\n",
    "SELECT /* :v ' \" */ {} /* ` $$ */",
    "SELECT '''\\\\''' AS a, '/*', {}, '*/'",
    "SELECT 'it''s', {} AS b WHERE 'a' <> ':v'",
    "SELECT CASE WHEN 1 = 1 THEN {} ELSE 'x' END",
    "SELECT x FROM (SELECT {} AS x) AS s WHERE x IN ({}, 'a') AND x = {}",
    "SELECT coalesce(NULL, ({}))",
    "SELECT '%s %(v)s %% ? $1 {{}} {{v}}', {}",
]
OF_POSTGRESQL = [
    "SELECT $$ :v ' $$, $a$ :v $$ $a$, E'\\' :v', (ARRAY[1, 2])[1:2], {}",
    "SELECT E'a\\\\' -- :v\n  ' :v', {}::text || ''",
    "SELECT ('{{\"a\": 1}}'::jsonb ? 'a')::text, {}",
]
OF_MARIADB = [
    "SELECT '\\' :v', \"\\\" :v\", `:v`, {} FROM (SELECT 1 AS `:v`) AS s # :v '\n",
    "SELECT /*!99999 :v */ {}",
    "SELECT @a := 1, {}",
]
OF_SQLITE = ["SELECT \":v\", [:v], `:v`, {} FROM (SELECT 1 AS ':v')", "SELECT {} COLLATE NOCASE"]


def contexts(kind: Kind) -> list[str]:
    own = {"on_postgresql": OF_POSTGRESQL, "on_mariadb": OF_MARIADB}.get(kind.place, OF_SQLITE)
    return [*CONTEXTS, *own]


def values_of(row: Record) -> list[object]:
    # By number: columns may have the same name, or a strange one.
    return [row[number] for number in range(len(row))]


async def goes_through(kind: Kind, database: Database, value: object, bind: str) -> None:
    """A value comes back as it was, wherever it stands, and what is beside it is not disturbed."""
    for context in contexts(kind):
        query = context.format(*[bind] * context.count("{}"))
        row = await database.fetch_one(query, {"v": value})
        assert row is not None, query
        assert value in values_of(row), query


HOSTILE_TEXTS = [
    *(
        "",
        "'",
        "''",
        "\\",
        "\\'",
        "\\\\'",
        '"',
        "`",
        "%",
        "%%",
        "%s",
        "%(v)s",
        "{}",
        "{v}",
        "{0}",
        "?",
    ),
    *(
        "$1",
        ":v",
        "\\:v",
        "::int",
        "--",
        "-- \n",
        "#",
        "/*",
        "*/",
        "*/ 1 /*",
        "'); DROP TABLE users; --",
    ),
    *("\n", "\r\n", "\t", "\x01\x1a\x7f", "\x85\u2028", "\ufeff", "é", "名前", "🐘", "a" * 70_000),
    *("'" * 5_000, "\\" * 5_001, "E'", "$$", "$a$", "\\x41", "0x41", "X'41'", "NULL", "b'1'"),
]


async def test_hostile_text_comes_back_from_wherever_it_stands(
    kind: Kind, database: Database
) -> None:
    bind = "CAST(:v AS TEXT)" if kind in ON_POSTGRESQL else ":v"
    for value in HOSTILE_TEXTS:
        await goes_through(kind, database, value, bind)
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


@examples(15)
@given(data=st.data())
async def test_any_text_comes_back_as_it_was(
    kind: Kind, database: Database, data: st.DataObject
) -> None:
    value = data.draw(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    number = data.draw(st.integers(-(2**63), 2**63 - 1))
    binary = data.draw(st.binary())
    types = ("TEXT", "BIGINT", "BYTEA") if kind in ON_POSTGRESQL else ("CHAR", "SIGNED", "BINARY")
    query = "SELECT CAST(:t AS {}), CAST(:n AS {}), CAST(:b AS {})".format(*types)
    if kind.place in ("file", "memory"):
        query = "SELECT :t, :n, :b"
    row = await database.fetch_one(query, {"t": value, "n": number, "b": binary})
    assert row is not None
    assert values_of(row) == [value, number, binary]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "\udc80x"], ids=["NUL", "high", "low"])
async def test_text_that_cannot_be_stored_is_a_data_error_and_harms_nothing(
    kind: Kind, database: Database, value: str
) -> None:
    bind = "CAST(:v AS TEXT)" if kind in ON_POSTGRESQL else ":v"
    insert = "INSERT INTO users (name) VALUES (:v)"
    stored = value == "a\0b" and kind not in (ASYNCPG, PSYCOPG)
    if stored:
        assert await database.fetch_val(f"SELECT {bind}", {"v": value}) == value
    else:
        for call in (
            lambda: database.fetch_val(f"SELECT {bind}", {"v": value}),
            lambda: database.execute(insert, {"v": value}),
            lambda: database.execute_many(insert, [{"v": "b"}, {"v": value}]),
        ):
            with pytest.raises(exceptions.DataError):
                await call()
    async with database.transaction():
        assert await database.fetch_val("SELECT count(*) FROM users") == 0
    await kind.nothing_is_held(database)


async def test_a_number_too_big_for_the_database_is_an_error_of_ours(
    kind: Kind, database: Database
) -> None:
    for number in (2**63, -(2**63) - 1, 10**30, 10**400):
        bind = "CAST(:v AS BIGINT)" if kind in ON_POSTGRESQL else ":v"
        try:
            got = await database.fetch_val(f"SELECT {bind}", {"v": number})
        except exceptions.DriverError:
            continue
        assert int(got) == number
    assert await database.fetch_val("SELECT 1") == 1


@MARIADB_ONLY
async def test_half_of_a_surrogate_pair_is_a_data_error_without_prepared_statements_too(
    kind: Kind, url: str
) -> None:
    async with Database(url, statement_cache_size=0) as database:
        await database.execute("CREATE TABLE users (name VARCHAR(200))")
        insert = "INSERT INTO users (name) VALUES (:v)"
        for value in ("\udcbf' OR 1=1 -- ", "\udc80", "\ud800"):
            with pytest.raises(exceptions.DataError):
                await database.fetch_val("SELECT :v", {"v": value})
            with pytest.raises(exceptions.DataError):
                await database.execute(insert, {"v": value})
            with pytest.raises(exceptions.DataError):
                await database.execute_many(insert, [{"v": "b"}, {"v": value}])
        assert await database.fetch_val("SELECT count(*) FROM users") == 0


@MARIADB_ONLY
@pytest.mark.parametrize("charset", ["gbk", "GBK", "sjis"])
async def test_a_charset_in_which_a_value_could_end_its_string_is_refused(
    url: str, charset: str
) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="utf8mb4"):
        await Database(f"{url}?charset={charset}").connect()
