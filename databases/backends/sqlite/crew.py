"""The threads of one database."""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.sqlite.worker import ConnectionThread


class Crew:
    """What the threads of one database know of each other."""

    def __init__(self) -> None:
        self.at_work: set[ConnectionThread] = set()
        """Those that are doing something but single writes, which mostly wait for the disk."""
        self.reopened = 0
        """How often the database's file turned out to be another one than before."""
        self._names: set[str] = set()

    def take_name(self, role: str) -> str:
        """The first name for a connection of a role that no other one has."""
        names = (f"{role} {number}" for number in itertools.count(1))
        name = next(name for name in names if name not in self._names)
        self._names.add(name)
        return name

    def free_name(self, name: str) -> None:
        """A connection is closed: the next one may have its name."""
        self._names.discard(name)
