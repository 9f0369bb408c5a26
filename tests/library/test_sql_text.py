"""How SQL text is read: its binds, and what kind of statement it is."""

from __future__ import annotations

import re

import pytest
import sqlalchemy
from hypothesis import assume, given
from hypothesis import strategies as st

from databases.backends.sqlite import SQLiteBackend
from databases.sql_text import TextStatement
from databases.verbs import Verb, verb_of


def names(sql: str) -> list[str]:
    return TextStatement(sql, SQLiteBackend.dialect)._names


def test_a_cast_and_a_word_before_a_colon_are_no_binds() -> None:
    assert names("SELECT a::int, b[1:2], \\:c, :d") == ["d"]
    assert names("SELECT ':a'::text, :id::int") == ["id"]


@given(st.text(alphabet="ab :\\?1_é=(),x", max_size=40))
def test_outside_quotes_binds_and_text_are_the_same_as_for_sqlalchemy(sql: str) -> None:
    # But for a bind with a cast, which is one here and none for SQLAlchemy.
    assume(not re.search(r":\w+::", sql))
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
