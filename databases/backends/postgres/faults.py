"""PostgreSQL's errors: which of ours they are, and what to do about them."""

from __future__ import annotations

from databases import exceptions
from databases.backends.fates import RUN_AGAIN
from databases.backends.reaching import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.postgres.options import PostgresOptions

_CLASSES: dict[str, type[exceptions.DriverError]] = {
    "0A": exceptions.NotSupportedError,
    "20": exceptions.ProgrammingError,
    "21": exceptions.ProgrammingError,
    "22": exceptions.DataError,
    "23": exceptions.IntegrityError,
    "24": exceptions.InternalError,
    "25": exceptions.InternalError,
    "26": exceptions.ProgrammingError,
    "2B": exceptions.InternalError,
    "2D": exceptions.InternalError,
    "2F": exceptions.InternalError,
    "34": exceptions.ProgrammingError,
    "3B": exceptions.InternalError,
    "3D": exceptions.ProgrammingError,
    "3F": exceptions.ProgrammingError,
    "42": exceptions.ProgrammingError,
    "44": exceptions.ProgrammingError,
    "P0": exceptions.InternalError,
    "XX": exceptions.InternalError,
}
"""Our class for the class of a SQLSTATE, its first two characters; for others OperationalError.
Source: PostgreSQL's documentation, appendix A; PEP 249 for what ours mean."""

_ADVICE = {
    "28P01": "Is the password in the URL right, and percent-encoded where it has reserved signs?",
    "28000": "May this user come from here? The server's pg_hba.conf says who may.",
    "3D000": 'Create it with `createdb`, or by CREATE DATABASE in the database "postgres".',
    "53300": (
        "All of the server's connections are taken: make the pools smaller (max_size times the "
        "number of processes), or raise max_connections, or put pgbouncer in between."
    ),
    "57P03": "The server is starting or stopping: try again in a moment.",
    "40001": (
        "Other transactions read or wrote the same at the same time, so this one was rolled back. "
        + RUN_AGAIN
    ),
    "40P01": (
        "Two transactions locked rows in different orders, and the server rolled this one back. "
        + RUN_AGAIN
    ),
}

_CONFLICTS = ("40001", "40P01")
"""Serialization failure, deadlock."""

SHUT_DOWN = ("57P01", "57P02")
"""The server ended the session, with or without being asked nicely. It says so before a statement
is committed, or not at all."""

READ_ONLY = "25006"
"""What a replica says to who would write, and a primary that was made one."""

FULL = "53300"

_FULL_POOLER = "no more connections allowed"
"""pgbouncer's max_client_conn is reached; it has no SQLSTATE of its own for that."""

_LOST = ("57P03", "57P04", "57P05", "25P03", "25P04")
"""The other words with which a server lets nobody in, or ends a session: it starts, the database is
dropped, a session or a transaction takes too long."""

_PREPARED = ("26000", "42P05", "08P01")
"""A prepared statement is missing, or is there already: it was prepared in another session."""


def adopted_by_state(
    error: BaseException,
    sqlstate: str | None,
    options: PostgresOptions,
    lost: type[exceptions.DriverError],
    *,
    readonly: bool,
) -> BaseException:
    """Make an error of the server ours as well, with the way out noted on it.

    Args:
        error: the error.
        sqlstate: its SQLSTATE.
        options: those of the database.
        lost: the class for one that tells no more than that there is no connection.
        readonly: whether the user asked for a transaction, or a server, that only reads.
    """
    state = sqlstate or ""
    unprepared = state in _PREPARED and "prepared statement" in str(error)
    if state in _CONFLICTS:
        ours: type[exceptions.DriverError] = exceptions.TransactionConflictError
    elif state in SHUT_DOWN or state in _LOST or (state[:2] == "08" and not unprepared):
        # It is lost, although its end may not have been read yet.
        unknown = lost is exceptions.CommitUnknown
        ours = lost if unknown else exceptions.ConnectionFailureError
    elif state == READ_ONLY and not readonly:
        ours = exceptions.ConnectionFailureError
    else:
        ours = _CLASSES.get(state[:2], exceptions.OperationalError)
    error = exceptions.adopt(error, ours)
    if unprepared and options.statement_cache_size:
        error.add_note(
            "A connection pooler such as pgbouncer (pool_mode = transaction) has given this "
            "connection another session, which does not have the statements prepared before. "
            "Prepare none:\n"
            f"  wrong:  Database({options.shown!r})\n"
            f"  right:  Database({options.with_option('statement_cache_size=0')!r})"
        )
    elif state == READ_ONLY and not readonly:
        error.add_note(
            f"The database is {options.shown}\nThis server takes no writes: it is a replica, or "
            "is one since another took its place. Nothing was written."
        )
    elif state in _ADVICE:
        error.add_note(f"The database is {options.shown}\n{_ADVICE[state]}")
    return error


def is_full(error: BaseException, sqlstate: str | None) -> bool:
    """Whether the server, or a pooler in front of it, has no room for another connection."""
    return sqlstate == FULL or _FULL_POOLER in str(error)


def unreachable(
    error: BaseException, options: PostgresOptions, lost: type[exceptions.DriverError]
) -> BaseException:
    """Make an error of the network ours as well, with the server's address noted on it."""
    error = exceptions.adopt(error, lost)
    if lost is exceptions.ConnectionFailureError:
        trust = "?sslmode=verify-full&sslrootcert=/path/to/ca.crt"
        explain(error, options.shown, "pg_isready -h HOST -p PORT", trust)
    return error
