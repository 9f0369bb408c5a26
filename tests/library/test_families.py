"""Families: what statements share that differ in their values only."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import Database
from databases.backends.mysql.backend import MySQLBackend
from databases.backends.postgres.backend import PostgresBackend
from databases.backends.sqlite.backend import SQLiteBackend
from databases.families import family_of
from databases.statements import Dialect
from tests.library.seen import Seen
from tests.library.users import INSERT

SQLITE = SQLiteBackend.dialect
POSTGRESQL = PostgresBackend("postgresql://localhost/test").dialect
MYSQL = MySQLBackend("mysql://localhost/test").dialect
DIALECTS = [SQLITE, POSTGRESQL, MYSQL]

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def double_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


WAYS = {
    "sqlite": [doubled],
    "postgresql": [
        doubled,
        lambda text: "E" + escaped(text),
        lambda text: f"$secret${text.replace('$', '')}$secret$",
        lambda text: f"$${text.replace('$', '')}$$",
    ],
    "mysql": [lambda text: doubled(text.replace("\\", "\\\\")), escaped, double_quoted],
}
"""The ways to write a text in SQL."""

TEMPLATES = [
    "SELECT * FROM users WHERE name = {}",
    "SELECT * FROM users WHERE name={} AND id > 7",
    "INSERT INTO users (name, id) VALUES ({}, 1), ({}, 2)",
    "UPDATE users SET name = {} WHERE name = {} OR name LIKE {};",
    "SELECT {} AS a -- and nothing else",
    "SELECT upper({})/* the name */, 1 FROM users",
    "WITH a AS (SELECT {} AS b) SELECT * FROM a WHERE b IN ({}, {})",
]


@each_dialect
@given(st.data())
def test_no_text_survives_in_whatever_way_it_is_written(
    dialect: Dialect, data: st.DataObject
) -> None:
    text = data.draw(st.text(max_size=60))
    written = data.draw(st.sampled_from(WAYS[dialect.name]))(text)
    template = data.draw(st.sampled_from(TEMPLATES))
    other = template.replace("{}", "'x'")
    if written.startswith("E"):
        other = template.replace("{}", "E'x'")
    assert family_of(template.replace("{}", written), dialect) == family_of(other, dialect)


@each_dialect
@given(st.integers(min_value=0) | st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_no_number_survives(dialect: Dialect, number: float) -> None:
    for template in ("SELECT * FROM a WHERE b={}", "SELECT -{} AS c", "SELECT f({}, {}) LIMIT {}"):
        sql = template.replace("{}", repr(number))
        assert family_of(sql, dialect) == family_of(template.replace("{}", "1"), dialect)


@each_dialect
@given(st.text(alphabet="ab1'\"`[]\\$?:@%-/*#(),;.= \né\0\ud800", max_size=80))
def test_whatever_comes_is_a_family(dialect: Dialect, sql: str) -> None:
    family = family_of(sql, dialect)
    assert "\n" not in family
    assert family == family.strip()
    assert family == family_of(sql, dialect)


@each_dialect
def test_long_hostile_sql_has_its_family_in_reasonable_work(dialect: Dialect) -> None:
    units = ["'", '"', "/*", "--", "(", "?", "(?,", "(?),", "1", "[", "'a", "(/*", "$", "$a$", " "]
    units += ["/**/ ", "`", "1e", ".", ".1", "( ? , ", "::", "%(", ":a", "TRUE ", "(?, ?), ", "''"]
    for unit in units:
        for before in ("", "SELECT ", "("):
            assert len(family_of(before + unit * (200_000 // len(unit)), dialect)) <= 2_000


@pytest.mark.parametrize(
    "dialect",
    [
        SQLITE,
        POSTGRESQL,
        MYSQL,
    ],
    ids=lambda dialect: dialect.name,
)
def test_nothing_survives_where_a_long_statement_is_cut(dialect: Dialect) -> None:
    for way in WAYS[dialect.name]:
        for length in (2_000, 10_000, 20_000):
            for offset in range(40):
                sql = "SELECT" + " " * (length - 6 - offset) + way("secret it's secret") + " AS b"
                assert "it's" not in family_of(sql, dialect)
                assert "secret it" not in family_of(sql, dialect)


@each_dialect
def test_it_is_of_bounded_length(dialect: Dialect) -> None:
    columns = ", ".join(f"column_{number}" for number in range(1000))
    family = family_of(f"SELECT {columns} FROM wide", dialect)
    assert len(family) == 2_000
    assert family.endswith("...")


SAME = [
    ["SELECT 1", "SELECT  2", "\n SELECT\t3 ;", "SELECT 4 -- four", "/* five */ SELECT 5"],
    ["SELECT /* a */ x FROM b", "SELECT x FROM b", "SELECT x -- c\nFROM b;"],
    ["SELECT a FROM b WHERE c IN (1, 2)", "SELECT a FROM b WHERE c IN (1,2,  3,4)"],
    ["INSERT INTO a VALUES (1, 'b')", "INSERT INTO a VALUES (1, 'b'), (2, 'c'),\n (3, 'd')"],
    ["INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (1), (2), (3)"],
    ["UPDATE a SET b = TRUE", "UPDATE a SET b = false", "UPDATE a SET b = .5e-7"],
]
DIFFERENT = [
    ["SELECT a FROM b", "SELECT a FROM c", "SELECT a FROM b2", "SELECT a FROM b3"],
    ['SELECT "column 1" FROM a', 'SELECT "column 2" FROM a'],
    ["SELECT a", "SELECT a, a", "SELECT b"],
    ["SELECT a FROM b WHERE c = 1", "SELECT a FROM b WHERE c > 1"],
]


@each_dialect
@pytest.mark.parametrize("alike", SAME, ids=lambda alike: alike[0])
def test_these_are_the_same(dialect: Dialect, alike: list[str]) -> None:
    assert len({family_of(sql, dialect) for sql in alike}) == 1


@each_dialect
@pytest.mark.parametrize("unlike", DIFFERENT, ids=lambda unlike: unlike[0])
def test_these_are_not(dialect: Dialect, unlike: list[str]) -> None:
    if dialect is MYSQL and '"' in unlike[0]:
        unlike = [sql.replace('"', "`") for sql in unlike]
    assert len({family_of(sql, dialect) for sql in unlike}) == len(unlike)


@each_dialect
@pytest.mark.parametrize("sql", [sql for alike in (*SAME, *DIFFERENT) for sql in alike])
def test_a_family_is_its_own_family(dialect: Dialect, sql: str) -> None:
    family = family_of(sql, dialect)
    assert family_of(family, dialect) == family


def test_casts_and_quoted_names_are_kept() -> None:
    assert family_of("SELECT '1'::int, $1::text", POSTGRESQL) == "SELECT ?::int, ?::text"
    assert family_of('SELECT "a ? b", [c 1] FROM "d"', SQLITE) == 'SELECT "a ? b", [c 1] FROM "d"'
    assert family_of("SELECT `a 'b' 1`, 'c'", MYSQL) == "SELECT `a 'b' 1`, ?"


# As it comes out of the library.


async def test_all_ways_to_ask_for_the_same_are_one_family(database: Database) -> None:
    seen = Seen(database)
    for name in ("Ada", "it's", 'a "quoted" one', "100 %"):
        await database.fetch_all("SELECT id FROM users WHERE name = :name", {"name": name})
        text = doubled(name.replace("%", ""))
        await database.fetch_all(f"SELECT id FROM users WHERE name = {text}")
    seen.leave()
    assert {step.family for step in seen} == {"SELECT id FROM users WHERE name = ?"}


async def test_a_batch_has_the_family_of_its_statement(database: Database) -> None:
    seen = Seen(database)
    await database.execute_many(INSERT, [{"name": str(number)} for number in range(3)])
    await database.execute(INSERT, {"name": str(datetime.date.max)})
    seen.leave()
    assert {step.family for step in seen} == {"INSERT INTO users (name) VALUES (?)"}
