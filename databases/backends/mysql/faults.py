"""The errors of MySQL and MariaDB: which of ours they are, and what to do about them."""

from __future__ import annotations

import re

from databases import exceptions
from databases.backends.fates import RUN_AGAIN
from databases.backends.link import Role
from databases.backends.reaching import explain

_CLASSES: dict[str, type[exceptions.DriverError]] = {
    name: getattr(exceptions, name)
    for name in (
        "InterfaceError",
        "DataError",
        "OperationalError",
        "IntegrityError",
        "InternalError",
        "ProgrammingError",
        "NotSupportedError",
    )
}
"""The drivers' classes have the names of PEP 249, as ours do."""

DEADLOCK = 1213
UNREACHED = 2003
GONE = 2006
LOST = 2013

FULL = frozenset({1040, 1203, 1226})
"""The server, or what it grants to this user, has no room for another connection."""

BROKEN = frozenset({1053, 1927, GONE, LOST, 2055, 3169, 4031})
"""Codes after which a connection is of no use: the server stops, the connection was killed, gone,
lost, or idle for too long. Source: MySQL's and MariaDB's lists of error codes."""

_UNREACHED = frozenset({2002, 2003, 2005})
"""Nobody listens there, or the name of the host is not known."""

_LOCK_WAIT = 1205
_CHANGED = 1020
_BY_PLUGIN = 3101
UNDONE = frozenset({DEADLOCK, _CHANGED, _BY_PLUGIN})
"""Codes with which the server says that it has rolled the whole transaction back: a deadlock, which
is also what Galera calls a certification that failed; a row that changed since it was read; Group
Replication's certification."""

_CONFLICTS = UNDONE | {_LOCK_WAIT}
"""The same, and a lock that did not come free, by which only the statement is undone."""

_COMMIT_FAILED = 1180
"""The server itself does not know: Galera, where the other nodes went away meanwhile."""

_REASONS = (
    exceptions.DataError,
    exceptions.IntegrityError,
    exceptions.ProgrammingError,
    exceptions.NotSupportedError,
)
"""What a driver itself finds wrong with a statement, also without a code of the server's."""

_ADVICE = {
    1040: (
        "All of the server's connections are taken: make the pools smaller (max_size times the "
        "number of processes), or raise max_connections."
    ),
    1045: "Is the password in the URL right, and percent-encoded where it has reserved signs?",
    1049: "Create it with CREATE DATABASE.",
    _LOCK_WAIT: (
        "Another transaction has locked a row for too long: make transactions shorter. " + RUN_AGAIN
    ),
    DEADLOCK: (
        "Two transactions locked rows in different orders, or wrote the same on two nodes, and the "
        "server rolled this one back. " + RUN_AGAIN
    ),
    _CHANGED: "Another transaction has changed the row since this one read it. " + RUN_AGAIN,
    _BY_PLUGIN: "Another node has written the same at the same time. " + RUN_AGAIN,
}

_OPTION_PREVENTS = 1290
_READ_ONLY = 1836
_UNKNOWN_COMMAND = 1047


def role_told(error: BaseException) -> Role | None:
    """What a server says that it is when it refuses a statement for that."""
    # Two of the codes mean other things too. The names of options are in no language.
    code, text = code_of(error), str(error)
    if code == _UNKNOWN_COMMAND and "WSREP" in text:
        return Role.UNREADY
    if code == _READ_ONLY or (code == _OPTION_PREVENTS and re.search("read[-_]only", text)):
        return Role.STANDBY
    return None


def code_of(error: BaseException) -> int:
    """The code of an error of the drivers; 0 where it has none."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def adopted(
    error: BaseException,
    kind: type[BaseException],
    shown: str,
    lost: type[exceptions.DriverError],
    *,
    readonly: bool,
) -> BaseException:
    """Make an error of the driver or the network ours as well, with the way out noted on it.

    Args:
        error: the error.
        kind: the base class of the driver's errors.
        shown: the address of the database, without its password.
        lost: the class for one that tells no more than that there is no connection.
        readonly: whether the user asked for a transaction, or a server, that only reads.
    """
    code = code_of(error)
    role = role_told(error)
    takes_no_writes = role is Role.UNREADY or (role is not None and not readonly)
    if isinstance(error, kind):
        error = exceptions.adopt(error, _class_for(error, code, lost, takes_no_writes))
    elif isinstance(error, OSError | TimeoutError):
        error = exceptions.adopt(error, lost)
    elif isinstance(error, ValueError):
        # Values that cannot be sent: half of a surrogate pair, a number over 64 bits.
        error = exceptions.adopt(error, exceptions.DataError)
    else:
        return error
    if code in _ADVICE:
        error.add_note(f"The database is {shown}\n{_ADVICE[code]}")
    elif takes_no_writes:
        error.add_note(
            f"The database is {shown}\nThis server takes no writes: it is a replica, or a node "
            "whose cluster is not whole. Nothing was written."
        )
    elif code in _UNREACHED or isinstance(error, OSError | TimeoutError):
        trust = "?ssl=true&ssl_ca=/path/to/ca.pem"
        explain(error, shown, "mysqladmin -h HOST -P PORT ping", trust)
    return error


def _class_for(
    error: BaseException, code: int, lost: type[exceptions.DriverError], takes_no_writes: bool
) -> type[exceptions.DriverError]:
    """Our class for an error of the driver."""
    unknown = lost is exceptions.CommitUnknown
    names = [each.__name__ for each in type(error).__mro__ if each.__name__ in _CLASSES]
    # One without is a warning that the program has made an error.
    ours = _CLASSES[names[0]] if names else exceptions.DriverError
    if code in _CONFLICTS:
        return exceptions.TransactionConflictError
    if takes_no_writes:
        return exceptions.ConnectionFailureError
    if code in BROKEN or code in _UNREACHED:
        return lost if unknown else exceptions.ConnectionFailureError
    if code == 0 and not issubclass(ours, _REASONS):
        return lost
    return lost if unknown and code == _COMMIT_FAILED else ours
