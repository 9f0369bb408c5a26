"""Clients of a bank in a process: ``python -m faults.evidence.bank_process URL FIRST``.

The process says each thing that its clients did or saw on its standard output as soon as it is
known, whatever becomes of it later. It ends when its input is closed; what is wrong it says last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Self

from databases import Database
from faults.evidence.bank import ACCOUNTS, EACH, Bank
from faults.evidence.history import History, Read, Shown, Transfer
from faults.evidence.ledger import Ledger
from faults.evidence.load import at_work

APART = 1_000_000
"""The numbers of transfers, and of clients, that a process has for itself."""
CLIENTS = 4
STDOUT = 1


class Process:
    """Such a process, seen from outside.

    Args:
        url: where the accounts are.
        number: its own, from 1 on.
        ledger: of all processes.
        history: of all processes.
    """

    def __init__(self, url: str, number: int, ledger: Ledger, history: History) -> None:
        self._command = ("-m", __name__, url, str(number * APART))
        self._ledger = ledger
        self._history = history
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.broken: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self._listening = asyncio.create_task(self._listen())
        return self

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # it was killed at that
            said = json.loads(line)
            if "broken" in said:
                self.broken += said["broken"]
            elif "shown" in said:
                shown = {int(key): Shown(*value) for key, value in said.pop("shown").items()}
                self._history.note(Read(**said, shown=shown))
            else:
                versions = {int(key): value for key, value in said.pop("versions").items()}
                self._history.note(Transfer(**said, versions=versions))
                self._ledger.acknowledged.add(said["number"])

    async def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._end()

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._end()
            if self._process.returncode:
                self.broken.append(f"a process ended with {self._process.returncode}")

    async def _end(self) -> None:
        assert self._process is not None
        assert self._listening is not None
        async with asyncio.timeout(60):
            await self._listening
            await self._process.wait()


def forgive(ledger: Ledger, kept: Iterable[int]) -> None:
    """Count as unknown what a process wrote that was killed before it could say so."""
    ledger.unknown |= {number for number in kept if number >= APART} - ledger.acknowledged


def say(what: dict[str, Any]) -> None:
    os.write(STDOUT, json.dumps(what).encode() + b"\n")


class Told(History):
    """A history that is told at once, and not kept."""

    def note(self, seen: Read | Transfer) -> None:
        say(asdict(seen))


async def main(url: str, first: int) -> None:
    ledger = Ledger(first=first)
    async with Database(url) as database:
        bank = Bank(database, ledger, Told(ACCOUNTS, EACH))
        async with at_work(bank.work(first + client) for client in range(CLIENTS)) as load:
            await asyncio.to_thread(sys.stdin.read)
    # Of its rows the ledger of the first process knows.
    say({"broken": load.broken + ledger.broken(ledger.acknowledged)})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
