"""A history of bank transfers and of reads, and what a consistent database never shows.

Every account has a balance and a version, which each transfer raises by one. With a transfer goes
a row for each of its two accounts, its entry: the version that it made and by how much it moved
the balance. So the entries of an account are a chain without gaps, and tell of each version what
its balance has to be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OWN_WRITES = "own write not seen"
MONOTONIC = "went back in time"
LATEST = "stale read"
"""What does not happen where it is promised that a client sees what it wrote itself; that what it
sees never goes back; that it sees all that was acknowledged to anybody before."""


class Shown(NamedTuple):
    """An account at a moment."""

    version: int
    balance: int


class Entry(NamedTuple):
    """A row that a transfer left: what it did to one account."""

    transfer: int
    account: int
    version: int
    amount: int


@dataclass(frozen=True)
class Read:
    """What a client saw, all of it with one statement or in one transaction."""

    client: int
    started: float
    ended: float
    shown: Mapping[int, Shown]
    """By the numbers of the accounts."""


@dataclass(frozen=True)
class Transfer:
    """A transfer that was acknowledged."""

    client: int
    number: int
    started: float
    ended: float
    versions: Mapping[int, int]
    """The versions that it made, by the numbers of the accounts."""


@dataclass
class History:
    """What clients did and saw.

    Args:
        accounts: how many there are, numbered from 0.
        each: what each of them held in the beginning, at version 0.
    """

    accounts: int
    each: int
    reads: list[Read] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)

    def note(self, seen: Read | Transfer) -> None:
        """Write down what a client did or saw."""
        if isinstance(seen, Read):
            self.reads.append(seen)
        else:
            self.transfers.append(seen)

    def broken(self, entries: Iterable[Entry], final: Mapping[int, Shown]) -> list[str]:
        """What no database may show, at whatever distance from where it was written.

        Args:
            entries: those that are in the database in the end.
            final: the accounts in the end.
        """
        entries = list(entries)
        return [
            *self._torn(),
            *self._lost_updates(entries, final),
            *self._never_written(entries, final),
        ]

    def _torn(self) -> list[str]:
        """Reads of all accounts whose balances do not add up to what there is."""
        total = self.accounts * self.each
        sums = [
            sum(balance for _, balance in read.shown.values())
            for read in self.reads
            if len(read.shown) == self.accounts
        ]
        return _told(
            "read torn", [f"a sum of {found}, not {total}" for found in sums if found != total]
        )

    def _lost_updates(self, entries: list[Entry], final: Mapping[int, Shown]) -> list[str]:
        """Versions that two transfers made, or none, and those of a transfer that are gone."""
        found = []
        chains: dict[int, Counter[int]] = defaultdict(Counter)
        for entry in entries:
            chains[entry.account][entry.version] += 1
        for account, shown in final.items():
            chain = chains[account]
            for version in sorted(chain.keys() | set(range(1, shown.version + 1))):
                times = chain[version] if version <= shown.version else 0
                if times != 1:
                    found.append(f"version {version} of account {account} was made {times} times")
        kept = {(entry.transfer, entry.account): entry.version for entry in entries}
        for transfer in self.transfers:
            for account, version in transfer.versions.items():
                if kept.get((transfer.number, account)) != version:
                    found.append(
                        f"version {version} of account {account}, made by transfer "
                        f"{transfer.number}, is {kept.get((transfer.number, account), 'gone')}"
                    )
        return _told("update lost", found)

    def _never_written(self, entries: list[Entry], final: Mapping[int, Shown]) -> list[str]:
        """Balances that no transfer that was kept has made."""
        amounts: dict[int, dict[int, int]] = defaultdict(dict)
        for entry in entries:
            amounts[entry.account][entry.version] = entry.amount
        balances: dict[tuple[int, int], int] = {}
        for account in range(self.accounts):
            balance = self.each
            balances[account, 0] = balance
            for version in sorted(amounts[account]):
                balance += amounts[account][version]
                balances[account, version] = balance
        all_shown = [*(read.shown for read in self.reads), final]
        return _told(
            "seen and never written",
            [
                f"{balance} in account {account} at version {version}"
                for shown in all_shown
                for account, (version, balance) in shown.items()
                if balances.get((account, version)) != balance
            ],
        )

    def late(self) -> dict[str, list[str]]:
        """What was seen too late, by the promise that forbids it where it is made."""
        return {
            OWN_WRITES: _told(OWN_WRITES, self._behind(by_client=True)),
            MONOTONIC: _told(MONOTONIC, self._went_back()),
            LATEST: _told(LATEST, self._behind(by_client=False)),
        }

    def _behind(self, *, by_client: bool) -> list[str]:
        """Reads that began after a write was acknowledged, to them or to anybody, without it."""
        found = []
        # Of each account (and client): when versions were acknowledged, and the newest until then.
        newest: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
        for transfer in sorted(self.transfers, key=lambda transfer: transfer.ended):
            for account, version in transfer.versions.items():
                known = newest[account, transfer.client if by_client else 0]
                known.append((transfer.ended, max(version, known[-1][1] if known else 0)))
        for read in self.reads:
            for account, (version, _) in read.shown.items():
                known = newest[account, read.client if by_client else 0]
                before = bisect_left(known, (read.started,)) - 1
                if before >= 0 and known[before][1] > version:
                    found.append(
                        f"account {account} at version {version}, "
                        f"{read.started - known[before][0]:.3f} s after {known[before][1]}"
                    )
        return found

    def _went_back(self) -> list[str]:
        """Reads that showed a client less than one that had ended before they began."""
        found = []
        seen: dict[tuple[int, int], int] = {}
        # A client does one thing after the other.
        for read in sorted(self.reads, key=lambda read: read.started):
            for account, (version, _) in read.shown.items():
                before = seen.get((read.client, account), 0)
                if version < before:
                    found.append(f"account {account} at version {version}, after {before}")
                seen[read.client, account] = max(version, before)
        return found


def _told(what: str, found: list[str]) -> list[str]:
    """One line for all of a kind."""
    return [f"{what}, {len(found)} times: {'; '.join(found[:3])}"] if found else []
