"""A connection of the pool, and what the pool knows of it."""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Generic, TypeVar

from databases.statistics import ConnectionState

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from databases.backends.link import Link
    from databases.holding import Holding

LinkT = TypeVar("LinkT", bound="Link")


class Slot(Generic[LinkT]):
    """A connection of the pool.

    Args:
        link: the driver's connection.
        expires: when it is too old to be lent again, by the clock of the event loop.
        name: tells it from the others of the pool.
    """

    __slots__ = ("expires", "holding", "idle_since", "lent", "link", "name", "pinned", "tenant")

    def __init__(self, link: LinkT, expires: float, name: str) -> None:
        self.link = link
        self.name = name
        self.expires = expires
        self.idle_since = 0.0
        self.lent = False
        self.holding: Holding | None = None
        """Who has it, or had it last."""
        self.pinned = False
        """Whether it is lent for more than one statement."""
        self.tenant: weakref.ref[asyncio.Task[Any]] | None = None
        """The task that has a temporary table in its session; for others it is reset first."""

    @property
    def is_committing(self) -> bool:
        """Whether a COMMIT is under way, of which nobody would know what became of it."""
        holding = self.holding
        if not self.lent or holding is None or holding.running_since is None:
            return False
        return holding.sql == "COMMIT"

    def state(self) -> ConnectionState:
        """Who has it, and whether a statement runs on it."""
        holding = self.holding
        if not self.lent or holding is None:
            return ConnectionState(self.name, "idle")
        if not self.pinned:
            # Lent for one statement, which runs from the beginning.
            holding.running_since = holding.since
        return ConnectionState.held_by(self.name, holding)


def free_name(slots: Collection[Slot[LinkT]], prefix: str = "") -> str:
    """The first that none has, so that a connection bears the name of the one it replaces."""
    taken = {slot.name for slot in slots}
    names = (f"{prefix}connection {number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)
