"""Plans: how a database would run a statement, in lines that can be read."""

from __future__ import annotations

import sys
from typing import Any

from databases.pending import CallSite
from databases.statements import Bound, Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.base import Backend
    from databases.records import Record


async def plan_of(backend: Backend, bound: Bound) -> list[str]:
    """Ask a database how it would run a statement, which is not run.

    Args:
        backend: the database, connected.
        bound: the statement and its values.

    Raises:
        DriverError: where it does not say.
    """
    statement = Statement(f"{backend.dialect.explain} {bound.statement.sql}")
    site = CallSite.of(sys._getframe())
    result = await backend.fetch(Bound(statement, bound.arguments), None, site)
    return _lines(result.records())


def _lines(rows: list[Record]) -> list[str]:
    names = rows[0].keys() if rows else ()
    if "detail" in names and "parent" in names:
        # SQLite: a tree. Source: sqlite.org/eqp.html
        depths = {0: -1}
        for row in rows:
            depths[row["id"]] = depths.get(row["parent"], -1) + 1
        return ["  " * depths[row["id"]] + str(row["detail"]) for row in rows]
    if len(names) == 1:
        return [str(row[0]) for row in rows]
    return [", ".join(_fields(row)) for row in rows]


def _fields(row: Record) -> list[str]:
    fields: list[tuple[str, Any]] = list(row._mapping.items())
    return [f"{name}: {value}" for name, value in fields if value is not None]
