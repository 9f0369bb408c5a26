"""What several servers that have the same data say of themselves: who follows whom, and how far.

How far a server has come is a position: numbers that only grow, one for each source of changes.
Positions of different servers can be compared, which their clocks cannot.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.backends.link import Link

    Position = Mapping[str, int]


class Sight(NamedTuple):
    """What a server was seen to be."""

    is_replica: bool
    """Whether it may be read from in place of the primary."""

    shown: Position | None
    """How far it has come, to be compared with the same of another server. On the primary it is
    what replicas can have of it by now. None where that is not known."""

    written: Position | None
    """The position of all that was written on it so far, whether others can have it or not."""

    node: str | None = None
    """Tells it from the others where all of them are equal."""


class Look(Protocol):
    """Looks at the server at the other end of a connection.

    ``caught_up`` has it wait for all that was acknowledged anywhere before, where servers are all
    equal: the connection may lead to another one than the connections that were written on.
    """

    async def __call__(self, link: Link, *, caught_up: bool = False) -> Sight: ...


def has_reached(position: Position | None, required: Position) -> bool:
    """Whether a server that has come to a position shows all that another one requires.

    Example:
        >>> has_reached({"a": 5, "b": 1}, {"a": 5}), has_reached({"a": 4}, {"a": 5})
        (True, False)
        >>> has_reached({"b": 9}, {"a": 5})
        False
    """
    if position is None:
        return False
    return all(position.get(source, -1) >= number for source, number in required.items())


def is_beyond(position: Position | None, other: Position | None) -> bool:
    """Whether a server that has come to a position shows what one at another position has not.

    Example:
        >>> is_beyond({"a": 5}, {"a": 4}), is_beyond({"a": 5, "b": 1}, {"a": 5})
        (True, False)
    """
    if position is None or other is None:
        return False
    return any(number > other.get(source, number) for source, number in position.items())
