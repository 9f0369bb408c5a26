"""The pace of a queue: how soon whoever comes last would be served.

Who cannot be served in the time that he may wait had better hear so at once: he asks for nothing
that others need, and they get what they wait for.
"""

from __future__ import annotations

_ROUNDS = 4
"""How often all that is lent comes back in a span: it comes in bunches."""

_LEAST = 20
"""Hand-overs in a span at least."""

_SHORTEST, _LONGEST = 1 / 30, 1 / 6
"""Parts of the time that somebody may wait. A span is no shorter than the first, so that an event
loop that was busy for a moment does not look like a server that is slow, and it is over after the
second, however few hand-overs there were."""

SURE = 0.8
"""The part of his time that somebody may have to wait by the present pace: a pace changes."""


class Pace:
    """How long it takes from one hand-over to the next while somebody waits.

    It is taken over spans of the present rush, which begins when somebody comes to an empty queue:
    what work took before says nothing of a thousand queries that come together now. The faster of
    the last two spans counts, so that no single halt is held against anybody, and nothing does
    before there were two.

    Args:
        at_once: how many are served at a time.
        limit: how long somebody may wait, in seconds.
    """

    __slots__ = ("_before", "_enough", "_last", "_longest", "_shortest", "_since", "handed")

    def __init__(self, at_once: int, limit: float) -> None:
        self._enough = max(_LEAST, _ROUNDS * at_once)
        self._shortest, self._longest = _SHORTEST * limit, _LONGEST * limit
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Somebody comes to an empty queue."""
        self._since = now
        self._before = self._last = 0.0
        self.handed = 0
        """Hand-overs of late. Whoever hands over counts them here, which is all that it costs."""

    def seconds(self, now: float) -> float:
        """How long it takes from one hand-over to the next, in seconds; 0 while it is not known."""
        taken, handed = now - self._since, self.handed
        if taken >= self._shortest and (handed >= self._enough or taken >= self._longest):
            self._before, self._last = self._last, taken / max(handed, 1)
            self._since, self.handed = now, 0
        return min(self._before, self._last)
