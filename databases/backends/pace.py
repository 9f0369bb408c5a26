"""The pace of a queue: how soon whoever comes last would be served.

Who cannot be served in the time that he may wait had better hear so at once: he asks for nothing
that others need, and they get what they wait for.
"""

from __future__ import annotations

_SPAN = 4
"""Rounds over which the pace is taken: what is lent comes back in bunches."""

_LEAST = 20
"""Hand-overs over which it is taken at least."""


class Pace:
    """How long it takes from one hand-over to the next while somebody waits.

    It is that of the present rush, which begins when somebody comes to an empty queue: what work
    took before says nothing of a thousand queries that come together now. As nothing is known then,
    the pace begins at nought and is believed as hand-overs come, or as they stay away: the time
    since the last one counts too, so that it gets slower while nothing comes.

    Args:
        at_once: how many are served at a time.
    """

    __slots__ = ("_known", "_since", "_span", "handed")

    def __init__(self, at_once: int) -> None:
        self._span = max(_LEAST, _SPAN * at_once)
        self._since = 0.0
        self._known = 0.0
        self.handed = 0
        """Hand-overs of late. Whoever hands over counts them here, which is all that it costs."""

    def begin(self, now: float) -> None:
        """Somebody comes to an empty queue."""
        self._since, self._known, self.handed = now, 0.0, 0

    def seconds(self, now: float) -> float:
        """How long it takes from one hand-over to the next, in seconds."""
        span, handed, taken = self._span, self.handed, now - self._since
        # As if the last span had gone at the pace that was known before it.
        pace = (span * self._known + taken) / (span + handed)
        if handed >= span:
            self._since, self._known, self.handed = now, taken / handed, 0
        return pace
