"""Every error that this library raises.

The tree::

    DatabaseError
    ├── StateError (AssertionError)           something was used in the wrong order
    │   ├── NotConnectedError                 a query before connect(), or after disconnect()
    │   └── TransactionStateError             a transaction was started or ended out of order
    ├── ForgottenAwaitError (TypeError)       a result was used that nobody awaited
    ├── QueryTypeError (TypeError)            a query that is neither SQL text nor SQLAlchemy Core
    ├── BindError (sqlalchemy's own too)      bind names and values do not fit together
    ├── ConfigurationError                    the Database cannot be set up as written
    │   ├── InvalidURLError (ValueError)
    │   ├── UnknownBackendError (KeyError)
    │   ├── UnknownOptionError (TypeError)
    │   └── BackendUnavailableError (ImportError)
    ├── QueryTimeoutError (TimeoutError)      a query took longer than its ``timeout``
    ├── QueryCancelledError                   a query was stopped by hand, in the inspector
    ├── WaitTimeoutError (TimeoutError)       somebody else held what this one waited for
    │   └── PoolTimeout                       all connections of the pool were lent
    │       └── PoolDeadlock                  and no one of them could come back
    ├── TooManyRequests                       as many wait for a connection as may wait
    └── DriverError (the driver's own too)    the database refused or failed
        ├── InterfaceError
        ├── DataError
        ├── OperationalError
        │   ├── TransactionConflictError      others were in the way: run the transaction again
        │   ├── ConnectionFailureError        the server is away, or takes no writes any more
        │   └── CommitUnknown                 whether it was kept is not known
        ├── IntegrityError
        ├── InternalError
        ├── ProgrammingError
        └── NotSupportedError

A ``DriverError`` is always an instance of the driver's own class as well: a duplicate key on
SQLite is caught by ``except databases.exceptions.IntegrityError`` and by
``except sqlite3.IntegrityError``. Its ``args`` and text are the driver's; the SQL and the place of
the call are added as notes, which a traceback shows.

The names below ``DriverError`` are those of the Python Database API (PEP 249, "Exceptions").
"""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    ErrorT = TypeVar("ErrorT", bound="DatabaseError")


class DatabaseError(Exception):
    """The base of every error raised by this library."""


class StateError(DatabaseError, AssertionError):
    """Something was used in the wrong order."""


class NotConnectedError(StateError):
    """A query ran before ``await database.connect()``, or after ``disconnect()``."""


class TransactionStateError(StateError):
    """A transaction was started or ended out of order."""


class ForgottenAwaitError(DatabaseError, TypeError, AttributeError):
    """The result of a query was used without ``await``.

    It is an ``AttributeError`` too, so that ``hasattr(result, ...)`` keeps answering instead of
    raising.
    """


class QueryTypeError(DatabaseError, TypeError):
    """A query is neither SQL text nor a SQLAlchemy Core expression."""


class BindError(DatabaseError):
    """The bind names of a query and the values given for them do not fit together.

    What is raised is an instance of the error that SQLAlchemy has for the same mistake as well:
    ``ArgumentError`` for a name that the query lacks, ``InvalidRequestError`` for a missing value.
    """


class ConfigurationError(DatabaseError):
    """A ``Database`` cannot be set up as it is written."""


class InvalidURLError(ConfigurationError, TypeError, ValueError):
    """A database URL has the wrong type or cannot be read."""


class UnknownBackendError(ConfigurationError, KeyError):
    """The scheme of a database URL is not one that this library knows."""

    # KeyError shows the repr of its argument, quotes and escapes included.
    __str__ = Exception.__str__


class UnknownOptionError(ConfigurationError, TypeError):
    """An option of a database is misspelt or has a value that it cannot take."""


class BackendUnavailableError(ConfigurationError, ImportError):
    """The backend for a URL, or the driver that it needs, cannot be imported."""


class QueryTimeoutError(DatabaseError, TimeoutError):
    """A query took longer than its ``timeout``; it was stopped in the database."""


class QueryCancelledError(DatabaseError):
    """A query was stopped in the database by hand: with the inspector's button."""


class WaitTimeoutError(DatabaseError, TimeoutError):
    """Somebody else held what this one waited for, longer than the waiting is bounded to."""


class PoolTimeout(WaitTimeoutError):
    """No connection of the pool came free in ``pool_timeout`` seconds; it names who holds them."""


class PoolDeadlock(PoolTimeout):
    """No connection can come free: who holds one waits for one. Raised at once, not at the end."""


class TooManyRequests(DatabaseError):
    """More wait for a connection than may, or than can be served in time.

    Args:
        message: what happened, and what to do.
        retry_after: seconds after which there will be room, as far as that can be told.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DriverError(DatabaseError):
    """The database refused or failed; also an instance of the driver's own error class."""


class InterfaceError(DriverError):
    """The driver was used wrongly."""


class DataError(DriverError):
    """A value cannot be processed: out of range, of the wrong type, too long."""


class OperationalError(DriverError):
    """The database could not do it: locked, full, unreachable, a file that cannot be opened."""


class TransactionConflictError(OperationalError):
    """Other transactions were in the way, and nothing of this one was kept: run it again.

    A serialization failure, a deadlock, a certification of Galera's that failed, a locked SQLite.
    """


class ConnectionFailureError(OperationalError):
    """The server cannot be reached, went away, or takes no writes any more.

    Nothing of a transaction that had not come to its COMMIT was kept.
    """


class CommitUnknown(OperationalError):
    """The connection broke while the server had the COMMIT: nobody knows whether it was done.

    It is never run again by itself: done twice it could do harm. A single statement that writes is
    a transaction of its own, so this is raised for one too.
    """


class IntegrityError(DriverError):
    """A constraint was violated: unique, foreign key, not null, check."""


class InternalError(DriverError):
    """The database met an error within itself."""


class ProgrammingError(DriverError):
    """The statement is wrong: syntax, a table that is not there, wrong arguments."""


class NotSupportedError(DriverError):
    """The database does not have what was asked for."""


def combined(ours: type[ErrorT], theirs: type[BaseException]) -> type[ErrorT]:
    """Return the class that is both our error and somebody else's.

    Args:
        ours: the class in this module's tree.
        theirs: a class of the driver or of SQLAlchemy.

    Returns:
        A subclass of both, named like ours; the same one at every call.

    Example:
        >>> import sqlite3
        >>> both = combined(IntegrityError, sqlite3.IntegrityError)
        >>> issubclass(both, sqlite3.IntegrityError)
        True
    """
    both = _COMBINED.get((ours, theirs))
    if both is None:
        members = {"__module__": __name__, "__doc__": ours.__doc__, "__reduce__": _reduce}
        # new_class finds the metaclass, of which some drivers' errors have one of their own.
        both = types.new_class(ours.__name__, (ours, theirs), exec_body=lambda d: d.update(members))
        _COMBINED[ours, theirs] = both
    return both


def _reduce(error: BaseException) -> tuple[Any, ...]:
    # Made as it is needed, the class cannot be found by its name when the error is unpickled.
    ours, theirs = type(error).__bases__
    return _restore, (ours, theirs, error.args), error.__dict__


def _restore(ours: type[DatabaseError], theirs: type[BaseException], args: Any) -> DatabaseError:
    return combined(ours, theirs)(*args)


_COMBINED: dict[tuple[type, type], Any] = {}


def disconnected(where: str | None = None) -> NotConnectedError:
    """The error for what was under way when the database was disconnected.

    Args:
        where: who did that, and where in the user's code.
    """
    lines = [
        "The database was disconnected while this was under way. What is new is refused at once, "
        "what holds a connection after some time of grace: "
        "`await database.disconnect(grace=30)` gives it 30 seconds."
    ]
    if where is not None:
        lines.append(f"  {where}")
    return NotConnectedError("\n".join(lines))


def given_back() -> StateError:
    """The error for a statement whose connection was given back before its turn came."""
    return StateError(
        "The connection was given back before this statement had its turn on it: wait for all "
        "tasks that use a connection inside its block. gather() does not where one of them fails.\n"
        "  async with database.connection() as connection:\n"
        "      async with asyncio.TaskGroup() as group:\n"
        "          group.create_task(use(connection))"
    )


def adopt(error: BaseException, ours: type[DriverError]) -> BaseException:
    """Make a driver's error an instance of our class as well.

    The object, its attributes and its traceback stay the driver's: nothing is hidden or wrapped.

    Returns:
        The same object, or where Python does not allow that (its own classes cannot change) a new
        one with the same arguments.
    """
    both: Any = combined(ours, type(error))
    try:
        error.__class__ = both
    except TypeError:
        adopted: BaseException = both(*error.args)
        adopted.__dict__.update(error.__dict__)  # its notes too
        return adopted.with_traceback(error.__traceback__)
    return error


def explain(error: DatabaseError, site: object, query: object = None) -> None:
    """Note on an error where in the user's code it was caused, and by what SQL.

    Args:
        error: the error on its way to the user.
        site: the place.
        query: the query, where the driver's own message may not show it.
    """
    if query is not None and isinstance(error, DriverError):
        error.add_note(f"SQL: {shortened(query)}")
    error.add_note(f"Called at: {site}")


def shortened(query: object) -> str:
    """The SQL of a query on one line of at most 500 characters, for messages."""
    try:
        text = " ".join(str(query).split())
    except Exception:  # an expression that only the database's own dialect can write
        text = f"<{type(query).__name__}>"
    return text if len(text) <= 500 else text[:499] + "…"
