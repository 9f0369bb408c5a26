"""What is done on a SQLite connection, in its thread: one function for each kind of work."""

from __future__ import annotations

import re
import sqlite3
import time
from typing import TypeVar

from databases.backends.sqlite.faults import moved
from databases.backends.sqlite.opening import has_moved
from databases.exceptions import TransactionStateError, combined
from databases.records import Result
from databases.verbs import Verb, leading_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.statements import Batch, Bound, Statement

T = TypeVar("T")

_SCHEMA = {"CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE", "VACUUM"}
_AT_ONCE = 1024
"""Rows of a result that are fetched at once."""

_BREATH = 0.000_05
"""Seconds between two such pieces, for which the interpreter is free. SQLite lets go of it at every
row as well, but for too short a time for the event loop to wake up and take it."""

_STEPS = 10_000
"""Instructions of SQLite's between two looks whether work is wanted still: about a millisecond."""

_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)


def changes_session(statement: Statement) -> bool:
    """Whether a statement may leave state in its connection: PRAGMA, ATTACH, TEMP, BEGIN."""
    if statement.verb is not Verb.OTHER:
        return False
    words = [word.upper() for word in leading_words(statement.sql, 8)]
    if not words:
        return False
    temporary = words[1:2] in (["TEMP"], ["TEMPORARY"]) or "TEMP" in words[2:]
    return words[0] not in _SCHEMA or temporary


def fetch(connection: sqlite3.Connection, bound: Bound, limit: int | None) -> Result:
    """Run a statement and take its rows."""
    statement, arguments = bound
    cursor = connection.execute(statement.sql, arguments)
    try:
        shape = statement.shape(column_names(cursor))
        if limit is not None and statement.verb is Verb.READ:
            return shape.result(cursor.fetchmany(limit))
        rows = cursor.fetchmany(_AT_ONCE)
        result = shape.result(rows)
        while len(rows) == _AT_ONCE:
            time.sleep(_BREATH)
            rows = cursor.fetchmany(_AT_ONCE)
            result.rows.extend(shape.result(rows).rows)
        # What writes has to be run to its end, or its failure would go unseen.
        return result if limit is None else Result(shape, result.rows[:limit], result.finished)
    finally:
        cursor.close()


def wait_for_locks(connection: EngineConnection) -> None:
    """Have SQLite itself wait for locks, for a user's own work, which cannot be done again."""
    connection.execute(f"PRAGMA busy_timeout = {connection.options.timeout * 1000:.0f}").close()


def unless(
    connection: EngineConnection, job: Callable[[EngineConnection], T], unwanted: Callable[[], bool]
) -> T:
    """Do work that is stopped once it is unwanted, and nothing but that work.

    ``interrupt()`` stops every statement of a connection, also those that wait for the next
    ``fetchmany()``; and as long as one of them is open, each that is begun.
    """
    connection.set_progress_handler(unwanted, _STEPS)
    try:
        return job(connection)
    finally:
        connection.set_progress_handler(None, 0)


def open_cursor(
    connection: sqlite3.Connection, bound: Bound, opened: list[sqlite3.Cursor], count: int
) -> Result:
    """Start a statement, add its cursor to ``opened``, and take the first of its rows."""
    opened.append(connection.execute(bound.statement.sql, bound.arguments))
    return fetch_more(connection, bound.statement, opened[-1], count)


def fetch_more(
    connection: sqlite3.Connection, statement: Statement, cursor: sqlite3.Cursor, count: int
) -> Result:
    """Take the next rows of a statement, ``count`` of them unless it ends before; end it then."""
    rows = cursor.fetchmany(count)
    shape = statement.shape(column_names(cursor))
    if len(rows) < count:
        cursor.close()
    return shape.result(rows)


def close_cursors(connection: sqlite3.Connection, cursors: list[sqlite3.Cursor]) -> None:
    """End reads that nobody goes on with."""
    for cursor in cursors:
        cursor.close()


def execute(connection: EngineConnection, bound: Bound) -> int:
    """Run a statement; return the id of what an INSERT made, else the number of rows changed."""
    statement, arguments = bound
    if statement.verb is Verb.INSERT:
        return connection.insert(statement.sql, arguments)
    cursor = connection.execute(statement.sql, arguments)
    try:
        if statement.verb is Verb.READ:
            return -1
        # A statement with RETURNING counts its rows only once it has been run to its end.
        cursor.fetchall()
        return cursor.rowcount
    finally:
        cursor.close()


def execute_many(connection: sqlite3.Connection, batches: list[Batch]) -> None:
    """Run every row of every batch, or leave nothing of them."""
    undo: tuple[str, ...]
    if connection.in_transaction:
        begin, keep, undo = (
            "SAVEPOINT databases_many",
            "RELEASE databases_many",
            ("ROLLBACK TO databases_many", "RELEASE databases_many"),
        )
    else:
        begin, keep, undo = "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
    connection.execute(begin).close()
    try:
        for statement, rows in batches:
            # sqlite3's executemany takes neither queries nor statements that return rows.
            if statement.verb in (Verb.INSERT, Verb.WRITE) and not _RETURNS.search(statement.sql):
                connection.executemany(statement.sql, rows).close()
            else:
                for row in rows:
                    connection.execute(statement.sql, row).fetchall()
        connection.execute(keep).close()
    except BaseException:
        for sql in undo:
            _end(connection, sql)
        raise


def begun_at_once(connection: EngineConnection, sql: str, *, readonly: bool) -> bool:
    """Begin in the event loop's thread: a lock and no reading; False where it has to wait."""
    if not connection.is_wal:
        return False
    try:
        begin(connection, sql, readonly=readonly)
    except sqlite3.Error:
        return False
    return True


def begin(connection: EngineConnection, sql: str, *, readonly: bool) -> None:
    """Begin a transaction, as ``sql`` says; one that only reads sees the database as it is now."""
    _expect_file(connection)
    connection.execute(sql).close()
    if readonly:
        try:
            # BEGIN alone takes no snapshot yet: the first read does.
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").close()
            connection.execute("PRAGMA query_only = ON").close()
        except BaseException:
            _end(connection, "ROLLBACK")
            raise


def commit(connection: EngineConnection, *, readonly: bool) -> None:
    """Commit the transaction that is open.

    Raises:
        TransactionStateError: where SQLite has rolled it back itself meanwhile.
        OperationalError: where the file was removed: SQLite would commit to what is gone.
    """
    _expect_transaction(connection)
    _expect_file(connection)
    connection.execute("COMMIT").close()
    if readonly:
        connection.execute("PRAGMA query_only = OFF").close()


def rollback(connection: sqlite3.Connection, *, readonly: bool) -> None:
    """Roll back, if a transaction is open."""
    _end(connection, "ROLLBACK")
    if readonly:
        connection.execute("PRAGMA query_only = OFF").close()


def savepoint(connection: sqlite3.Connection, sql: str) -> None:
    """Set, release or roll back to a savepoint."""
    _expect_transaction(connection)
    connection.execute(sql).close()


def rollback_to_savepoint(connection: sqlite3.Connection, name: str) -> None:
    """Undo what happened since a savepoint, and remove it."""
    try:
        _end(connection, f"ROLLBACK TO {name}")
        _end(connection, f"RELEASE {name}")
    except sqlite3.OperationalError as error:
        # Its RELEASE was under way when whoever waited for it was cancelled.
        if "no such savepoint" not in str(error):
            raise


def _end(connection: sqlite3.Connection, sql: str) -> None:
    # A full disk, a conflict clause or a trigger can have made SQLite roll back everything.
    if connection.in_transaction:
        connection.execute(sql).close()


def on_its_file(connection: EngineConnection, job: Callable[[EngineConnection], T]) -> T:
    """Do what is committed at once, but not to a file that was removed."""
    _expect_file(connection)
    return job(connection)


def inside_transaction(connection: EngineConnection, job: Callable[[EngineConnection], T]) -> T:
    """Do what belongs to a transaction, but not once that is open no longer."""
    _expect_transaction(connection)
    return job(connection)


def _expect_file(connection: EngineConnection) -> None:
    if has_moved(connection):
        raise moved(connection.options)


def _expect_transaction(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        # Code for databases 0.9 got sqlite3's own error here.
        raise combined(TransactionStateError, sqlite3.OperationalError)(
            "The transaction is open no longer. Either SQLite has rolled it back already, because "
            "a statement in it failed with ON CONFLICT ROLLBACK, RAISE(ROLLBACK), a full disk, "
            "an input/output error, or was stopped by a time limit: run it again as a whole. Or a "
            "COMMIT or ROLLBACK was executed as SQL: leave that to the transaction."
        )


def column_names(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    """The names of a result's columns; none where the statement has no result."""
    description: Sequence[Any] = cursor.description or ()
    return tuple([column[0] for column in description])
