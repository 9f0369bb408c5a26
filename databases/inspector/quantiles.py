"""Durations, counted so that their quantiles are known within a few per cent."""

from __future__ import annotations

import math
from math import log2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTS = 8
"""Classes for each doubling: a quantile is at most 9 % too high."""


_NOTHING = -1_000
"""The class of those that took no time."""


class Durations:
    """Many durations in little memory: how many, how long in all, and about how distributed."""

    __slots__ = ("_classes", "count", "longest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        """Seconds in all."""
        self.longest = 0.0
        self._classes: dict[int, int] = {}

    def add(self, seconds: Iterable[float]) -> None:
        """Count some."""
        classes = self._classes
        for each in seconds:
            self.count += 1
            self.total += each
            if each > self.longest:
                self.longest = each
            number = int(_PARTS * log2(each)) if each > 0 else _NOTHING
            classes[number] = classes.get(number, 0) + 1

    def quantile(self, part: float) -> float:
        """Seconds that a part of them, such as 0.95, took at most.

        Example:
            >>> durations = Durations()
            >>> durations.add(milliseconds / 1000 for milliseconds in range(1, 101))
            >>> 0.095 <= durations.quantile(0.95) < 0.104
            True
        """
        wanted = math.ceil(part * self.count)
        seen = 0
        for each in sorted(self._classes):
            seen += self._classes[each]
            if seen >= wanted:
                break
        else:
            return 0.0
        if each == _NOTHING:
            return 0.0
        # A class of negative numbers ends at its own power: int() rounds towards zero.
        upper = each + 1 if each >= 0 else each
        return min(self.longest, 2 ** (upper / _PARTS))
