"""The families of statements: how often each ran, how long it took, from where."""

from __future__ import annotations

import zlib
from typing import Any

from databases.inspector.quantiles import Durations
from databases.inspector.values import SMALL
from databases.statements import Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.operations import Operation
    from databases.pending import CallSite
    from databases.statements import Bound
    from databases.steps import Request

_MOST = 500
"""Families that are kept; of more, those that took least time in all are forgotten."""

_PLACES = 20
"""Places that are kept of each."""

_EXPLAINED = 10_000
"""Characters and bytes of the values with which a statement can be explained later."""


def family_id(family: str) -> str:
    """A short name for a family, for addresses and attributes."""
    return f"{zlib.crc32(family.encode('utf-8', 'surrogatepass')):08x}"


class Family:
    """The statements of one family.

    Args:
        text: the SQL without values.
    """

    def __init__(self, text: str) -> None:
        self.id = family_id(text)
        self.text = text
        self.count = 0
        self.durations = Durations()
        self.rows = 0
        self.errors = 0
        self.slowest: Request | None = None
        self.places: dict[CallSite, int] = {}

    def add(self, operations: list[Operation], seconds: list[float], sent: int) -> None:
        """Count some that are over, and how long each of them took."""
        longest = max(seconds)
        if longest > self.durations.longest:
            slowest = operations[seconds.index(longest)]
            self.slowest = slowest.request or self.slowest
        self.durations.add(seconds)
        self.count += sent
        self.rows += sum([each.rows or 0 for each in operations])
        self.errors += sum([each.failed for each in operations])
        sites = [each.site for each in operations]
        while sites:
            # Mostly it is one place for all.
            site = sites[0]
            count = sites.count(site)
            if site is not None and (site in self.places or len(self.places) < _PLACES):
                self.places[site] = self.places.get(site, 0) + count
            sites = [each for each in sites if each != site] if count < len(sites) else []


class Families:
    """All families."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self.examples: Kept[str, Bound] = Kept(_MOST)
        """One statement of each family, with its values: for EXPLAIN, never shown."""
        self.version = 0
        """Grows when something has changed."""

    def remember(self, text: str, bound: Bound) -> None:
        """Remember a statement as an example of its family, unless its values are large."""
        if _small(bound.arguments):
            self.examples[text] = bound

    def add(self, operations: list[Operation], seconds: list[float], sent: int) -> None:
        """Count statements of one family that are over."""
        family = self._of(operations[0].family)
        if family is not None:
            self.version += 1
            family.add(operations, seconds, sent)

    def get(self, family_id: str) -> Family | None:
        """Find one by its id."""
        return next((each for each in self._families.values() if each.id == family_id), None)

    def by_time(self) -> list[Family]:
        """All of them; those that took the most time first."""
        return sorted(self._families.values(), key=lambda each: -each.durations.total)

    def __len__(self) -> int:
        return len(self._families)

    def clear(self) -> None:
        """Forget all."""
        self._families.clear()
        self.examples.clear()
        self.version += 1

    def _of(self, text: str | None) -> Family | None:
        if text is None:
            return None
        family = self._families.get(text)
        if family is None:
            if len(self._families) >= _MOST:
                for each in self.by_time()[_MOST // 2 :]:
                    del self._families[each.text]
            family = self._families[text] = Family(text)
        return family


def _small(arguments: Any) -> bool:
    values = arguments.values() if isinstance(arguments, dict) else arguments
    size = 0
    for value in values:
        if isinstance(value, str | bytes):
            size += len(value)
        elif type(value) not in SMALL:
            return False
    return size <= _EXPLAINED
