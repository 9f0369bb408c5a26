"""Faults: what SQLite's errors are called here, and what to do about them."""

from __future__ import annotations

import copy
import sqlite3

from databases import exceptions
from databases.backends import descriptors
from databases.backends.fates import RUN_AGAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.sqlite.options import SQLiteOptions

_ADOPTED = {
    sqlite3.IntegrityError: exceptions.IntegrityError,
    sqlite3.OperationalError: exceptions.OperationalError,
    sqlite3.ProgrammingError: exceptions.ProgrammingError,
    sqlite3.DataError: exceptions.DataError,
    sqlite3.InternalError: exceptions.InternalError,
    sqlite3.NotSupportedError: exceptions.NotSupportedError,
    sqlite3.InterfaceError: exceptions.InterfaceError,
    # SQLite's own words for a broken file come as plain DatabaseError.
    sqlite3.DatabaseError: exceptions.OperationalError,
    # Values that SQLite cannot store: an int over 64 bits, half of a surrogate pair.
    OverflowError: exceptions.DataError,
    UnicodeEncodeError: exceptions.DataError,
}

_CONFLICTS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""Primary codes: other connections are in the way, of another cache or of the same."""

_ADVICE = {
    sqlite3.SQLITE_FULL: (
        "There is no room left for it: free some space on its disk. What was committed before is "
        "safe, and the next statement works again once there is room."
    ),
    sqlite3.SQLITE_IOERR: (
        "The operating system could not read or write it: look at the disk (full? a quota? "
        "unplugged?) and at the system's log. What was committed before is safe if the disk is."
    ),
    sqlite3.SQLITE_READONLY: (
        "This process may not write to it: give its user the right to write to the file and to "
        "the directory that it is in, where SQLite keeps the journal; or connect to read only, "
        "with sqlite:///...?mode=ro"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The file is damaged. Stop writing to it, copy it, and see what is left: "
        '`sqlite3 FILE "PRAGMA integrity_check"`, then `sqlite3 FILE .recover`; or go back to a '
        "backup."
    ),
    sqlite3.SQLITE_NOTADB: (
        "Whatever it is, SQLite did not write it (or it is encrypted): is the path right?"
    ),
    **dict.fromkeys(_CONFLICTS, f"Another connection reads or writes it. {RUN_AGAIN}"),
}
"""What to do, by SQLite's primary result code. Source: sqlite.org/rescode.html."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY)
"""Another connection is in the way, for now. A snapshot that is too old to be written to
(SQLITE_BUSY_SNAPSHOT) does not get better by waiting."""


def is_busy(error: BaseException) -> bool:
    """Whether a statement can succeed once another connection has gone on."""
    return getattr(error, "sqlite_errorcode", None) in _BUSY


def is_interrupted(error: BaseException) -> bool:
    """Whether a statement was stopped from outside."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


def adopted(error: BaseException, options: SQLiteOptions) -> BaseException:
    """Make an error of SQLite's ours as well, with the file and the way out noted on it."""
    ours = _ADOPTED.get(type(error))
    if ours is None:
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _CONFLICTS:
        ours = exceptions.TransactionConflictError
    error = exceptions.adopt(error, ours)
    advice = _ADVICE.get(code)
    if advice is None and code == sqlite3.SQLITE_CANTOPEN and options.path is not None:
        advice = _why_not_opened(error, options)
    if advice is not None:
        error.add_note(f"The database is {options.name}\n{advice}")
    return error


def _why_not_opened(error: BaseException, options: SQLiteOptions) -> str:
    if descriptors.are_used_up(error):
        return descriptors.ADVICE
    path = options.path
    assert path is not None
    if not path.parent.is_dir():
        return f"Its directory does not exist: create it with `mkdir -p {path.parent}`"
    if path.is_dir():
        return "That is a directory: the path has to name a file in it."
    if not path.exists():
        return (
            "The file does not exist. If it was removed or moved while the application ran, put it "
            "back, or disconnect() and connect() to begin with an empty one."
        )
    return "The file exists: may this process's user open it, and write to its directory?"


class LockedError(
    exceptions.WaitTimeoutError, exceptions.TransactionConflictError, sqlite3.OperationalError
):
    """Somebody else had the database for as long as may be waited.

    Code that is ready for SQLite's own "database is locked" is ready for this.
    """

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


def locked_by_others(options: SQLiteOptions) -> LockedError:
    """The error for a statement that another process kept out."""
    return LockedError(
        f"database is locked: waited {options.timeout:g} s for {options.name}, which another "
        "connection keeps: another process, or another Database or sqlite3 connection in this "
        f"one.\nSee who has it open with `fuser -v {options.name}`, have it end its transaction "
        "sooner, or wait longer: sqlite:///...?timeout=60"
    )


def moved(options: SQLiteOptions) -> exceptions.OperationalError:
    """The error for writing to a file that is no longer where it was."""
    return exceptions.combined(exceptions.OperationalError, sqlite3.OperationalError)(
        f"The database file {options.name} was removed or replaced while this connection had it "
        "open. What the connection wrote since is not kept: put the file back, or run it again."
    )


def of_each(error: BaseException) -> BaseException:
    """A copy of an error that several callers get, each of whom notes his own place on it."""
    copied = copy.copy(error)
    copied.__traceback__ = error.__traceback__
    return copied
