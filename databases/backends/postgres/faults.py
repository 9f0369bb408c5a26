"""PostgreSQL's errors: which of ours they are, and what to do about them."""

from __future__ import annotations

from databases import exceptions

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
}

SHUT_DOWN = ("57P01", "57P02")
"""The server ended the session, with or without being asked nicely. It says so before a statement
is committed, or not at all."""

READ_ONLY = "25006"
"""What a server says that takes no writes."""

_PREPARED = ("26000", "42P05", "08P01")
"""A prepared statement is missing, or is there already: it was prepared in another session."""


def adopted_by_state(
    error: BaseException, sqlstate: str | None, options: PostgresOptions
) -> BaseException:
    """Make an error of the server ours as well, with the way out noted on it."""
    state = sqlstate or ""
    error = exceptions.adopt(error, _CLASSES.get(state[:2], exceptions.OperationalError))
    if state in _PREPARED and options.statement_cache_size and "prepared statement" in str(error):
        error.add_note(
            "A connection pooler such as pgbouncer (pool_mode = transaction) has given this "
            "connection another session, which does not have the statements prepared before. "
            "Prepare none:\n"
            f"  wrong:  Database({options.shown!r})\n"
            f"  right:  Database({options.with_option('statement_cache_size=0')!r})"
        )
    elif state in _ADVICE:
        error.add_note(_ADVICE[state])
    return error


def unreachable(error: BaseException, options: PostgresOptions) -> BaseException:
    """Make an error of the network ours as well, with the server's address noted on it."""
    error = exceptions.adopt(error, exceptions.OperationalError)
    error.add_note(
        f"The database is {options.shown}\nDoes a server listen there, and can it be reached from "
        "here? `pg_isready -h HOST -p PORT` tells."
    )
    return error
