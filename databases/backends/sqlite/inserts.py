"""What an INSERT made: its row id, or where it made none the number of rows.

SQLite tells the id of the last row inserted on a connection, by whatever statement. It stays what
it was where an INSERT makes no row id: an upsert that updates, a table WITHOUT ROWID, a view. On a
connection that stays open that would be the id of another row, so those cases are told apart here.
"""

from __future__ import annotations

import re
import sqlite3

from databases.statements import LONGEST_KEPT, Kept, Told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from databases.backends.sqlite.options import SQLiteOptions

_NAME = r"""(?:"(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|'[^']+'|[^\s("'`\[.;]+)"""
_TARGET = re.compile(rf"\bINTO\s+(?:{_NAME}\s*\.\s*)?({_NAME})", re.IGNORECASE)
_UPSERT = re.compile(r"\bON\s+CONFLICT\b.*\bDO\s+UPDATE\b", re.IGNORECASE | re.DOTALL)
_COUNTERS = re.compile(r"\b(?:last_insert_rowid|changes)\s*\(", re.IGNORECASE)


class EngineConnection(sqlite3.Connection):
    """SQLite's connection, which remembers which statements make row ids, and what it opened."""

    options: SQLiteOptions
    """How it was opened."""

    is_wal = False
    """Whether readers and writers of its file are in nobody's way."""

    opened_file: tuple[int, int] | None = None
    """What tells its file from others, where it has one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._upserts = Told(_upserts, 500)
        self._makes_ids: Kept[str, bool] = Kept(500)

    def insert(self, sql: str, arguments: Sequence[Any]) -> int:
        """Run an INSERT; return the id of the last row that it made, or else its row count."""
        if self._upserts[sql]:
            return self._upsert(sql, arguments)
        # First: where another process is in the way of anything here, all of it is done again.
        has_row_ids = self._has_row_ids(sql)
        made, count = self._run(sql, arguments)
        return made if has_row_ids and made and count else count

    def _run(self, sql: str, arguments: Sequence[Any]) -> tuple[int, int]:
        cursor = self.execute(sql, arguments)
        # A statement with RETURNING counts its rows only once it has been run to its end.
        cursor.fetchall()
        made, count = cursor.lastrowid or 0, cursor.rowcount
        cursor.close()
        return made, count

    def _upsert(self, sql: str, arguments: Sequence[Any]) -> int:
        before = self.execute("SELECT last_insert_rowid()").fetchone()[0]
        self._set_last_row_id(0)
        made = count = 0
        try:
            made, count = self._run(sql, arguments)
        finally:
            # The user's own last_insert_rowid() does not notice.
            if not made and self.in_transaction:
                self._set_last_row_id(before)
        return made or count

    def _set_last_row_id(self, number: int) -> None:
        try:
            self.execute("REPLACE INTO temp.databases_row_id VALUES (?)", (number,)).close()
        except sqlite3.OperationalError:
            self.execute("CREATE TEMP TABLE databases_row_id (id INTEGER PRIMARY KEY)").close()
            self.execute("REPLACE INTO temp.databases_row_id VALUES (?)", (number,)).close()

    def _has_row_ids(self, sql: str) -> bool:
        makes = self._makes_ids.get(sql)
        if makes is None:
            known = self._target_has_row_ids(sql)
            makes = known is not False
            if known is not None and len(sql) <= LONGEST_KEPT:
                self._makes_ids[sql] = makes
        return makes

    def _target_has_row_ids(self, sql: str) -> bool | None:
        """Whether the table has row ids; None where there is no such table, or not yet."""
        target = _TARGET.search(sql)
        if target is None or sqlite3.sqlite_version_info < (3, 37):
            return True
        name = target[1]
        if name[0] in "\"`['":
            name = name[1:-1].replace('""', '"')
        tables = self.execute(
            "SELECT type, wr FROM pragma_table_list WHERE name = ? COLLATE NOCASE", (name,)
        ).fetchall()
        if not tables:
            return None
        return any(kind != "view" and not without for kind, without in tables)


def _upserts(sql: str) -> bool:
    """Whether an INSERT may update a row in place of making one."""
    return bool(_UPSERT.search(sql) and not _COUNTERS.search(sql))
