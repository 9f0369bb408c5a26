"""The errors of MySQL and MariaDB: which of ours they are, and what to do about them."""

from __future__ import annotations

import re

from databases import exceptions
from databases.backends.link import Role

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
GONE = 2006
NO_TLS = 2026

BROKEN = frozenset({1053, 1927, GONE, 2013, 2055, 4031})
"""Codes after which a connection is of no use: the server stops, the connection was killed, gone,
lost, or idle for too long. Source: MySQL's and MariaDB's lists of error codes."""

_ADVICE = {
    1040: (
        "All of the server's connections are taken: make the pools smaller (max_size times the "
        "number of processes), or raise max_connections."
    ),
    1045: "Is the password in the URL right, and percent-encoded where it has reserved signs?",
    1049: "Create it with CREATE DATABASE.",
    1205: "Another transaction has locked a row for too long: make transactions shorter.",
    DEADLOCK: (
        "Two transactions locked rows in different orders, and the server rolled this one back: "
        "run it again from its beginning."
    ),
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


def adopted(error: BaseException, kind: type[BaseException], shown: str) -> BaseException:
    """Make an error of the driver or the network ours as well, with the way out noted on it.

    Args:
        error: the error.
        kind: the base class of the driver's errors.
        shown: the address of the database, without its password.
    """
    if isinstance(error, kind):
        names = [each.__name__ for each in type(error).__mro__ if each.__name__ in _CLASSES]
        # One without is a warning that the program has made an error.
        error = exceptions.adopt(error, _CLASSES[names[0]] if names else exceptions.DriverError)
    elif isinstance(error, OSError | TimeoutError):
        error = exceptions.adopt(error, exceptions.OperationalError)
    elif isinstance(error, ValueError):
        # Values that cannot be sent: half of a surrogate pair, a number over 64 bits.
        error = exceptions.adopt(error, exceptions.DataError)
    else:
        return error
    code = code_of(error)
    if code in _ADVICE:
        error.add_note(_ADVICE[code])
    elif code == 2003 or isinstance(error, OSError | TimeoutError):
        error.add_note(
            f"The database is {shown}\nDoes a server listen there, and can it be reached from "
            "here? `mysqladmin -h HOST -P PORT ping` tells."
        )
    return error
