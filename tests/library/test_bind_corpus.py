"""The binds of statements are those that SQLAlchemy's text() finds, but where that is wrong."""

from __future__ import annotations

import pytest
import sqlalchemy

from databases.backends.mysql import sql as mysql
from databases.backends.postgres import sql as postgresql
from databases.backends.sqlite import SQLiteBackend
from databases.sql_text import TextStatement
from tests.library.bind_corpus import EVERYWHERE, MYSQL, OTHERWISE, POSTGRESQL, SQLITE

OPAQUE = {
    "postgresql": postgresql.OPAQUE,
    "mysql": mysql.WITHOUT_BINDS,
    "sqlite": SQLiteBackend.dialect.opaque,
}
OWN = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}


def theirs(sql: str) -> tuple[list[str], str]:
    compiled = sqlalchemy.text(sql).compile(dialect=SQLiteBackend.dialect.core())
    return list(compiled.positiontup or ()), str(compiled)


@pytest.mark.parametrize("name", OWN)
def test_the_binds_are_those_of_sqlalchemys_text(name: str) -> None:
    dialect = SQLiteBackend.dialect._replace(opaque=OPAQUE[name])
    for sql in [*EVERYWHERE, *OWN[name]]:
        ours = TextStatement(sql, dialect)
        names, text = theirs(sql)
        if sql in OTHERWISE:
            assert ours._names == OTHERWISE[sql], sql
            assert names != OTHERWISE[sql], f"text() finds the same in {sql}"
        else:
            assert (ours._names, ours.sql) == (names, text), sql
            assert list(dict.fromkeys(ours._names)) == list(sqlalchemy.text(sql)._bindparams), sql


def test_the_corpus_is_large_and_what_differs_is_in_it() -> None:
    statements = {*EVERYWHERE, *POSTGRESQL, *MYSQL, *SQLITE}
    assert len(statements) > 200
    assert OTHERWISE.keys() <= statements
