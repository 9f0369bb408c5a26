"""The live state of a database: its connections, who holds them, and who waits for one."""

from __future__ import annotations

import time
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from databases.holding import Holding
    from databases.pending import CallSite
    from databases.steps import Request


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds a connection, or waits for one.

    Args:
        task: the name of the asyncio task.
        request: the request of the web application that it answers, as far as that is watched.
        site: the place in the user's code where the connection was asked for.
        since: since when, in seconds since the epoch.
        seconds: the same as a duration.
        sql: the statement that runs or ran last, or that the connection is wanted for.
        running: seconds for which that statement has been running; None while none is.
    """

    task: str
    request: Request | None
    site: CallSite | None
    since: float
    seconds: float
    sql: str | None
    running: float | None = None

    @classmethod
    def of(cls, holding: Holding) -> Holder:
        """What a ``Holding`` tells at this moment."""
        task, now = holding.task, time.monotonic()
        seconds = now - holding.since
        return cls(
            "a task that has ended" if task is None else task.get_name(),
            holding.request,
            holding.site,
            time.time() - seconds,
            seconds,
            holding.sql,
            None if holding.running_since is None else now - holding.running_since,
        )

    def __str__(self) -> str:
        request = f" ({self.request})" if self.request else ""
        return f"{self.task}{request}, {self.site}"


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection at this moment.

    Args:
        name: such as ``"connection 3"``, the same as in the steps.
        state: ``"in flight"`` while a statement runs on it; ``"held"`` while somebody has it and
            nothing runs; ``"opening"`` until it can be used.
        holder: who has it.
    """

    name: str
    state: Literal["idle", "in flight", "held", "opening"]
    holder: Holder | None = None

    @classmethod
    def held_by(cls, name: str, holding: Holding) -> ConnectionState:
        """The state of a connection that somebody has."""
        holder = Holder.of(holding)
        return cls(name, "held" if holder.running is None else "in flight", holder)


@dataclass(frozen=True, slots=True)
class Waiter:
    """Somebody who waits.

    Args:
        holder: who, where, and since when.
        waits_for: for what, such as ``"one of 10 connections"``.
        held_by: the names of the connections that would have to come free first.
    """

    holder: Holder
    waits_for: str
    held_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """The live state of a database: ``database.statistics()``.

    Args:
        connected: whether the database is connected.
        limit: how many connections there may be; None where nothing limits them.
        connections: those that are open, or are being opened.
        waiting: who waits for a connection or for the turn to write; the longest first.
    """

    connected: bool
    limit: int | None = None
    connections: tuple[ConnectionState, ...] = ()
    waiting: tuple[Waiter, ...] = ()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return sum(each.state != "opening" for each in self.connections)

    @property
    def idle(self) -> int:
        """How many of them nobody has."""
        return sum(each.state == "idle" for each in self.connections)

    @property
    def held(self) -> tuple[ConnectionState, ...]:
        """Those that somebody has."""
        return tuple(each for each in self.connections if each.holder is not None)


def waiters(
    holdings: Iterable[Holding], waits_for: str, held_by: Iterable[str]
) -> tuple[Waiter, ...]:
    """Make the waiters of a queue whose members wait for the same."""
    names = tuple(held_by)
    return tuple(Waiter(Holder.of(holding), waits_for, names) for holding in holdings)
