"""Binds in SQL text: what is one, what is text, and what happens to a wrong one."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from databases import Database, exceptions
from databases.backends.sqlite import SQLiteBackend
from databases.sql_text import TextStatement
from databases.verbs import Verb, verb_of


def names(sql: str) -> list[str]:
    return TextStatement(sql, SQLiteBackend.dialect)._names


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT ':x'", ":x"),
        ("SELECT 'it''s :x'", "it's :x"),
        ("SELECT :y /* not :x */ -- nor :x", 1),
        ('SELECT ":x" FROM (SELECT 2 AS ":x")', 2),
        ("SELECT `:x` FROM (SELECT 2 AS `:x`)", 2),
        ("SELECT [:x] FROM (SELECT 2 AS [:x])", 2),
        ("SELECT '12:30:59'", "12:30:59"),
        ("SELECT 'a\\:b'", "a:b"),
        ("SELECT '%(x)s %s ?'", "%(x)s %s ?"),
        ("SELECT :y -- the last line :x", 1),
        ("SELECT :y + :y", 2),
    ],
)
async def test_what_is_quoted_or_a_comment_is_text(
    database: Database, sql: str, value: object
) -> None:
    values = {"y": 1} if ":y" in sql else None
    assert await database.fetch_val(sql, values) == value


async def test_a_cast_and_a_word_before_a_colon_are_no_binds() -> None:
    assert names("SELECT a::int, b[1:2], \\:c, :d") == ["d"]
    assert names("SELECT ':a'::text, :id::int") == ["id"]


VALUES_OF_TYPES: list[tuple[Any, Any]] = [
    (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05.000000"),
    (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02 00:00:00.000000"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.time(3, 4, 5), "03:04:05.000000"),
    (datetime.timedelta(seconds=5), "1970-01-01 00:00:05.000000"),
    (decimal.Decimal("1.5"), 1.5),
    (uuid.UUID(int=5), "00000000000000000000000000000005"),
    (True, 1),
    (b"x", b"x"),
]


@pytest.mark.parametrize(("value", "stored"), VALUES_OF_TYPES)
async def test_values_of_sql_text_are_stored_as_core_expressions_store_them(
    database: Database, value: object, stored: object
) -> None:
    assert await database.fetch_val("SELECT :value", {"value": value}) == stored
    core = sqlalchemy.select(sqlalchemy.cast(sqlalchemy.literal(value), sqlalchemy.Text))
    if not isinstance(value, bool | bytes):
        text = await database.fetch_val("SELECT cast(:value AS TEXT)", {"value": value})
        assert await database.fetch_val(core) == text


async def test_names_may_be_in_any_script(database: Database) -> None:
    assert await database.fetch_val("SELECT :größe || :名前", {"größe": "a", "名前": "b"}) == "ab"


async def test_values_are_bound_never_pasted(database: Database) -> None:
    hostile = "'); DROP TABLE users; --"
    await database.execute("INSERT INTO users (name) VALUES (:name)", {"name": hostile})
    assert await database.fetch_val("SELECT name FROM users") == hostile


async def test_a_missing_value_is_an_error_and_not_null(database: Database) -> None:
    with pytest.raises(exceptions.BindError, match=r"The bind :b has no value") as caught:
        await database.fetch_all("SELECT :a, :b", {"a": 1})
    assert isinstance(caught.value, InvalidRequestError)
    with pytest.raises(exceptions.BindError, match="The bind :a has no value"):
        await database.fetch_all("SELECT :a")
    assert await database.fetch_val("SELECT :a", {"a": None}) is None


async def test_an_unknown_name_is_an_argument_error_with_the_near_one(database: Database) -> None:
    with pytest.raises(exceptions.BindError, match="did you mean 'user_name'") as caught:
        await database.fetch_all("SELECT :user_name", {"user_name": 1, "user_nmae": 2})
    assert isinstance(caught.value, ArgumentError)
    assert "test_binds.py" in caught.value.__notes__[0]
    with pytest.raises(ArgumentError, match="no binds at all"):
        await database.fetch_all("SELECT 1", {"a": 1})
    with pytest.raises(ArgumentError, match="it has 'a', 'b'"):
        await database.fetch_all("SELECT :a, :b", {"a": 1, "b": 2, "zzz": 3})


@given(st.text(alphabet="ab :\\?1_é=(),x", max_size=40))
def test_outside_quotes_binds_and_text_are_the_same_as_for_sqlalchemy(sql: str) -> None:
    ours = TextStatement(sql, SQLiteBackend.dialect)
    theirs = sqlalchemy.text(sql).compile(dialect=SQLiteBackend.dialect.core())
    assert (ours.sql, ours._names) == (str(theirs), list(theirs.positiontup or ()))


@given(st.text(alphabet="'\"`[]-/*:ab \n", max_size=60))
def test_the_parser_keeps_every_character_of_text_without_binds(sql: str) -> None:
    statement = TextStatement(sql, SQLiteBackend.dialect)
    if not statement._names and "\\:" not in sql:
        assert statement.sql == sql


def test_long_hostile_sql_is_parsed_in_reasonable_work() -> None:
    for unit in ("'", '"', "/*", "--", "(", ":a", "[", "'a", "\\:", "(/*"):
        sql = unit * (200_000 // len(unit))
        TextStatement(sql, SQLiteBackend.dialect)
        verb_of("WITH " + sql)


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("SELECT 1", Verb.READ),
        ("  -- c\n /* d */ (SELECT 1)", Verb.READ),
        ("VALUES (1)", Verb.READ),
        ("EXPLAIN DELETE FROM a", Verb.READ),
        ("insert into a values (1)", Verb.INSERT),
        ("REPLACE INTO a VALUES (1)", Verb.INSERT),
        ("UPDATE a SET b = 1", Verb.WRITE),
        ("DELETE FROM a", Verb.WRITE),
        ("WITH a AS (SELECT 1) SELECT * FROM a", Verb.READ),
        ("WITH a AS (SELECT ')' , 'INSERT'), b(c) AS (SELECT 1) DELETE FROM t", Verb.WRITE),
        ("WITH RECURSIVE a(n) AS (VALUES (1)) INSERT INTO t SELECT n FROM a", Verb.INSERT),
        ('WITH "insert" AS (SELECT 1) UPDATE t SET x = 1', Verb.WRITE),
        ("WITH replace AS (SELECT 1) SELECT 1", Verb.READ),
        ("WITH a AS (SELECT '--') /* so */ -- then\n INSERT INTO t SELECT 1", Verb.INSERT),
        ("CREATE TABLE a (x)", Verb.OTHER),
        ("PRAGMA user_version", Verb.OTHER),
        ("", Verb.OTHER),
        ("/* unfinished", Verb.OTHER),
    ],
)
def test_the_verb_of_a_statement_is_told_from_its_words(sql: str, verb: Verb) -> None:
    assert verb_of(sql) is verb
