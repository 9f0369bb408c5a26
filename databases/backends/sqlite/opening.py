"""Opening a connection as the engine wants it, and noticing when its file is gone."""

from __future__ import annotations

import os
import sqlite3
import time

from databases.backends.sqlite.faults import adopted, is_busy
from databases.backends.sqlite.inserts import EngineConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from databases.backends.sqlite.options import SQLiteOptions

_POLL = 0.001
"""Seconds between two looks at a lock that another connection has."""

_WAL_PATIENCE = 1.0
"""Seconds at most to wait for the moment in which the journal mode can change: nobody else may
read or write then."""


def open_connection(options: SQLiteOptions) -> EngineConnection:
    """Open a connection in autocommit mode, with the journal mode and the pragmas of the options.

    Raises:
        OperationalError: where SQLite cannot open it or it is not a database; notes say why.
    """
    try:
        connection = sqlite3.connect(
            options.address,
            # The engine waits for locks itself: SQLite's own polls become rarer the longer it
            # waits, so that whoever has waited long is the last to get in.
            timeout=0,
            isolation_level=None,
            uri=True,
            detect_types=options.detect_types,
            cached_statements=options.cached_statements,
            factory=EngineConnection,
            # The event loop's thread uses them for short reads, and cursors that nobody wants any
            # more are freed by whichever thread drops them.
            check_same_thread=False,
        )
    except sqlite3.DatabaseError as error:
        raise adopted(error, options) from None
    try:
        # Reads the header, which fails where this is no database.
        connection.execute("PRAGMA schema_version").close()
        _set_journal_mode(connection, options)
        connection.is_wal = _journal_mode(connection) == "wal"
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout(connection.is_wal)}").close()
        for pragma in options.pragmas:
            connection.execute(pragma).close()
        connection.options = options
        if options.path is not None:
            opened = identity(options.path)
            # There are file systems whose files are others each time one looks.
            connection.opened_file = opened if opened == identity(options.path) else None
    except BaseException as error:
        connection.close()
        raise adopted(error, options) from None
    return connection


def busy_timeout(is_wal: bool) -> int:
    """How long SQLite itself waits for a lock, in milliseconds, before the engine tries again.

    Not at all in WAL mode. With a rollback journal a writer has to keep readers from coming in
    while it waits for those that are there, which SQLite does only as long as it waits itself.
    """
    return 0 if is_wal else 500


def has_moved(connection: EngineConnection) -> bool:
    """Whether the file that a connection has open is no longer the one at the database's path.

    SQLite goes on with a file that was removed, and what it then commits is lost.
    """
    path, opened = connection.options.path, connection.opened_file
    return path is not None and opened is not None and identity(path) != opened


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at a path from any other; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_journal_mode(connection: sqlite3.Connection, options: SQLiteOptions) -> None:
    """Set the journal mode, where it is not set already.

    Readers and the writer do not wait for each other in WAL mode. A file that is read-only, or in
    use by somebody else all the time, stays in the mode that it has.
    """
    wanted = options.journal_mode
    give_up = time.monotonic() + min(options.timeout, _WAL_PATIENCE)
    while wanted is not None and _journal_mode(connection) != wanted:
        try:
            connection.execute(f"PRAGMA journal_mode = {wanted}").close()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                return
        time.sleep(_POLL)


def _journal_mode(connection: sqlite3.Connection) -> str:
    mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return mode
