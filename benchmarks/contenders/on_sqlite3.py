"""The sqlite3 of the standard library, synchronous: what nothing above it can exceed."""

from __future__ import annotations

import sqlite3
import sys

from contenders import queries
from contenders.answering import SQLITE, answer_in_step

POINT = queries.positional(queries.POINT, "?")
INSERT = queries.positional(queries.INSERT, "?")
NEW_ROWS = [(row["name"],) for row in queries.NEW_ROWS]

ids = queries.random_ids()
connection = sqlite3.connect(sys.argv[1], isolation_level=None)


def point() -> None:
    assert connection.execute(POINT, (next(ids),)).fetchone()[1]


def rows() -> None:
    assert len(connection.execute(queries.SOME_ROWS).fetchall()) == queries.ROWS


def insert() -> None:
    connection.execute(INSERT, (queries.NAME,))


def many() -> None:
    connection.execute("BEGIN")
    connection.executemany(INSERT, NEW_ROWS)
    connection.execute("COMMIT")


def iterate() -> None:
    seen = 0
    for _ in connection.execute(queries.SOME_ROWS):
        seen += 1
    assert seen == queries.ROWS


if __name__ == "__main__":
    answer_in_step(
        {operation.__name__: operation for operation in (point, rows, insert, many, iterate)},
        "sqlite3 of the standard library",
        SQLITE,
    )
