"""Binds in SQL text: what is one, what is text, and what happens to a wrong one."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from databases import Database, exceptions
from tests.library.kinds import MARIADB_ONLY, POSTGRESQL_ONLY, SQLITE_ONLY


async def keeps_text(database: Database, sql: str, value: object) -> None:
    values = {"y": 1} if ":y" in sql else None
    assert await database.fetch_val(sql, values) == value


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT ':x'", ":x"),
        ("SELECT 'it''s :x'", "it's :x"),
        ("SELECT 0 + :y /* not :x */ -- nor :x", 1),
        ("SELECT '12:30:59'", "12:30:59"),
        ("SELECT 'a\\:b'", "a:b"),
        ("SELECT '%(x)s %s ?'", "%(x)s %s ?"),
        ("SELECT 0 + :y -- the last line :x", 1),
        ("SELECT 0 + :y + :y", 2),
        ("SELECT '$1 %s ?' WHERE 1 = :y", "$1 %s ?"),
    ],
)
async def test_what_is_quoted_or_a_comment_is_text(
    database: Database, sql: str, value: object
) -> None:
    await keeps_text(database, sql, value)


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ('SELECT ":x" FROM (SELECT 2 AS ":x")', 2),
        ("SELECT `:x` FROM (SELECT 2 AS `:x`)", 2),
        ("SELECT [:x] FROM (SELECT 2 AS [:x])", 2),
    ],
)
async def test_what_sqlite_quotes_is_text(database: Database, sql: str, value: object) -> None:
    await keeps_text(database, sql, value)


@POSTGRESQL_ONLY
@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ('SELECT ":x" FROM (SELECT 2 AS ":x") AS a', 2),
        ("SELECT $$it's :x$$", "it's :x"),
        ("SELECT $a$ $$ :x $a$", " $$ :x "),
        (r"SELECT E'it\'s :x'", "it's :x"),
        ("SELECT '5'::int", 5),
        ("SELECT (0 + :y)::text", "1"),
        ("SELECT :y::int", 1),
        ("SELECT (ARRAY[7, 8, 9])[2:3]", [8, 9]),
        ("SELECT (ARRAY[7, 8, 9])[:y]", 7),
        ("SELECT ('{\"a\": 1}'::jsonb ? 'a') AND 1 = :y", True),
        (r"SELECT 'a backslash\'", "a backslash\\"),
    ],
)
async def test_what_postgresql_quotes_is_text(database: Database, sql: str, value: object) -> None:
    await keeps_text(database, sql, value)


@MARIADB_ONLY
@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT `:x` FROM (SELECT 2 AS `:x`) AS a", 2),
        ('SELECT ":x"', ":x"),
        (r"SELECT 'it\'s :x'", "it's :x"),
        (r'SELECT "a \" :x"', 'a " :x'),
        ("SELECT 0 + :y # not :x", 1),
        ("SELECT @a := 1", 1),
    ],
)
async def test_what_mariadb_quotes_is_text(database: Database, sql: str, value: object) -> None:
    await keeps_text(database, sql, value)


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


@SQLITE_ONLY
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
    await database.execute("INSERT INTO users (name) VALUES (:größe)", {"größe": "名前"})
    query = "SELECT name FROM users WHERE name = :名前 AND name <> :größe"
    assert await database.fetch_val(query, {"größe": "a", "名前": "名前"}) == "名前"


async def test_values_are_bound_never_pasted(database: Database) -> None:
    hostile = "'); DROP TABLE users; --"
    await database.execute("INSERT INTO users (name) VALUES (:name)", {"name": hostile})
    assert await database.fetch_val("SELECT name FROM users") == hostile


CHARACTERS = [*"'\"\\?\n\x7f名🐘", "\\'", "%s", "%(a)s", "%%", ":a", "$1", "' -- "]


@pytest.mark.parametrize("value", CHARACTERS)
async def test_every_character_comes_back_as_it_was(database: Database, value: str) -> None:
    await database.execute("INSERT INTO users (name) VALUES (:name)", {"name": value})
    update = "UPDATE users SET name = :name WHERE id = :id"
    await database.execute_many(update, [{"name": value, "id": 1}])
    row = await database.fetch_one("SELECT id, name FROM users WHERE name = :name", {"name": value})
    assert row is not None
    assert row.name == value


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
