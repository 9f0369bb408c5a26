"""The options of a connection pool, the same for every network database."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, Protocol

from databases.exceptions import UnknownOptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from databases.backends.hosts import Target


class NetworkOptions(Protocol):
    """The options of a network database, as its backend hands them on."""

    pool: PoolOptions

    target: Target

    asked: dict[str, Any]
    """What databases 0.9 would have handed to the driver's pool."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many connections there are, and for how long.

    Args:
        min_size: connections that are kept open, however long they are idle.
        max_size: connections that are open at most.
        pool_timeout: how long to wait for one, opening it included, in seconds.
        max_waiting: how many may wait at a time; 0 for as many as can be served in that time.
        max_lifetime: the age at which a connection is replaced, in seconds.
        max_idle: how long one too many is kept while it is idle, in seconds.
    """

    min_size: int = 1
    max_size: int = 10
    pool_timeout: float = 30.0
    max_waiting: int = 0
    max_lifetime: float = 3600.0
    max_idle: float = 300.0

    @classmethod
    def take(cls, given: dict[str, Any]) -> PoolOptions:
        """Take the pool's options out of those that were given.

        Raises:
            UnknownOptionError: for a value that an option cannot take.
        """
        # What databases 0.9 handed to asyncpg's pool and to aiomysql's.
        given.pop("max_queries", None)
        for theirs, ours in _ALIASES.items():
            value = given.pop(theirs, None)
            if value is not None:
                # There 0 and -1 stand for "never".
                given.setdefault(ours, value if number(theirs, value, -1) > 0 else math.inf)
        defaults = cls()
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            if name not in given:
                continue
            value = number(name, given.pop(name), 0)
            whole = isinstance(getattr(defaults, name), int)
            if whole and value % 1:
                raise UnknownOptionError(f"The option {name} is a whole number, not {value}")
            values[name] = int(value) if whole else value
        # Who asks for fewer connections than we keep, or for more, means both ends.
        values.setdefault("min_size", min(defaults.min_size, values.get("max_size", 1)))
        values.setdefault("max_size", max(defaults.max_size, values["min_size"]))
        options = cls(**values)
        if options.max_size < 1 or options.min_size > options.max_size:
            raise UnknownOptionError(
                f"A pool has at least one connection and no more than max_size: min_size="
                f"{options.min_size} and max_size={options.max_size} do not fit together"
            )
        return options


OURS = (
    *PoolOptions.__dataclass_fields__,
    "statement_cache_size",
    "target_session_attrs",
    "load_balance_hosts",
)
"""The options that every network database has, whatever its driver."""

TRUTH = {"true": True, "1": True, "yes": True, "on": True}
TRUTH |= {"false": False, "0": False, "no": False, "off": False}
"""What a word in a URL means where it stands for a truth value."""

_ALIASES = {"max_inactive_connection_lifetime": "max_idle", "pool_recycle": "max_lifetime"}


def number(name: str, value: Any, least: float) -> float:
    """Read the value of an option that is a number.

    Raises:
        UnknownOptionError: where it is none, or less than ``least``.
    """
    try:
        read = float(value)
    except (TypeError, ValueError, OverflowError):
        read = math.nan
    if not read >= least:
        raise UnknownOptionError(
            f"The option {name} is a number from {least:g} on, not {value!r}: "
            "write for example postgresql://...?min_size=1&max_size=20"
        )
    return read


def check_known(database: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse options that neither a driver has nor we.

    Args:
        database: its name, for the message.
        given: the names of the options that are left for the driver.
        known: those that the driver has.

    Raises:
        UnknownOptionError: for the first that nobody has, with what is there.
    """
    choice = {*known, *OURS}
    for name in given:
        if name not in choice:
            near = difflib.get_close_matches(name, choice, n=1)
            advice = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownOptionError(
                f"{database} has no option {name!r}: {advice}It has {', '.join(sorted(choice))}."
            )
