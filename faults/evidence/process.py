"""What this process needs as time goes by: memory, open files and threads."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Needs(NamedTuple):
    """What it needs at one moment."""

    seconds: float
    megabytes: float
    files: int
    threads: int

    @classmethod
    def now(cls, since: float) -> Needs:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            time.monotonic() - since,
            resident * _PAGE / 1e6,
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
        )

    def __str__(self) -> str:
        return f"{self.megabytes:.1f} MB, {self.files} files, {self.threads} threads"


class Watch:
    """Looks at the process every now and then, for as long as its block is open.

    Args:
        pause: between two looks, in seconds.
    """

    def __init__(self, pause: float = 1.0) -> None:
        self._pause = pause
        self.seen: list[Needs] = []

    async def __aenter__(self) -> Watch:
        self._since = time.monotonic()
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.seen.append(Needs.now(self._since))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self.seen.append(Needs.now(self._since))

    @property
    def warm(self) -> Needs:
        """When a fifth of the time was over: caches are full by then."""
        return self.seen[len(self.seen) // 5]

    @property
    def growth(self) -> float:
        """Megabytes more at the end than when it was warm."""
        return self.seen[-1].megabytes - self.warm.megabytes

    def __str__(self) -> str:
        return f"warm {self.warm}; at the end {self.seen[-1]}"
