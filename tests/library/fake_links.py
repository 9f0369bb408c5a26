"""A server of the imagination: connections that do as they are told, and a clock to set."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from databases.backends.hosts import Target
from databases.backends.link import Role
from databases.backends.network import NetworkBackend
from databases.backends.network_connection import NetworkConnection
from databases.backends.pool import Pool
from databases.backends.pool_options import PoolOptions
from databases.backends.postgres import sql
from databases.backends.postgres.replication import look
from databases.backends.slot import Slot
from databases.exceptions import ConnectionFailureError, DriverError, adopt
from databases.pending import CallSite
from databases.records import Result, Shape
from databases.statements import Batch, Bound, Statement

SELECT = "SELECT 1"
UPDATE = "UPDATE users SET id = 2"
SET = "SET search_path = secret"
"""What leaves something in its session."""


def here() -> CallSite:
    """The place of the caller."""
    return CallSite.of(sys._getframe(1))


class Gone(Exception):
    """A connection broke."""


class Ended(Exception):
    """The server said that it ended the session, and what was run on it."""


class Full(Exception):
    """The server has no room for a connection more."""


@dataclass
class FakeOptions:
    """The options of a backend that has no more than those of its pool."""

    pool: PoolOptions
    asked: dict[str, Any] = field(default_factory=dict)
    target: Target = field(default_factory=Target)


class FakeLink:
    """A connection that takes one step of the event loop for everything."""

    commits_by_itself = False

    def __init__(self, server: FakeServer, number: int) -> None:
        self.server = server
        self.number = number
        self.raw = self
        self.sent = False
        self.closed = False
        self.open = False
        self.dirty: list[str] = []
        self.running = 0

    def __repr__(self) -> str:
        return f"<link {self.number}{' closed' if self.closed else ''}>"

    def is_closed(self) -> bool:
        return self.closed

    def in_transaction(self) -> bool:
        return self.open

    def fileno(self) -> int:
        return -1 if self.closed else self.server.descriptor

    async def _do(self, what: str) -> None:
        assert not self.running, f"{what}: two at once on {self}"
        self.running += 1
        try:
            self.sent = False
            if self.closed:
                raise Gone("is closed")
            self.sent = True
            self.server.calls.append(f"{what} {self.number}")
            if what.startswith(("SET", "CREATE")):
                self.dirty.append(what)
            await self.server.step(what, self)
        finally:
            self.running -= 1

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        await self._do(bound.statement.sql)
        return Result(Shape(("number",)), [(self.number,)], True)

    async def execute(self, bound: Bound) -> Any:
        await self._do(bound.statement.sql)
        return self.number

    async def execute_many(self, batch: Batch) -> None:
        await self._do(batch.statement.sql)

    async def open_cursor(self, bound: Bound, *, alone: bool) -> Any:
        raise NotImplementedError

    async def run(self, sql: str) -> str | None:
        await self._do(sql)
        self.open = sql not in ("COMMIT", "ROLLBACK")
        return None

    async def settle(self) -> None:
        pass

    async def reset(self) -> None:
        await self._do("reset")
        self.open = False
        self.dirty.clear()

    async def ping(self) -> None:
        await self._do("ping")

    async def role(self) -> Role:
        return Role.PRIMARY

    async def close(self) -> None:
        await self._do("close")
        self.closed = True

    def terminate(self) -> None:
        self.closed = True


class FakeServer:
    """What opens links, and is their driver too."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.calls: list[str] = []
        self.errors: dict[str, list[BaseException]] = {}
        """What the next calls of a kind raise."""
        self.breaking: set[str] = set()
        """Kinds of calls whose errors break the connection."""
        self.gates: dict[str, asyncio.Event] = {}
        """What calls of a kind wait for."""
        self._reading, self._writing = os.pipe()

    @property
    def descriptor(self) -> int:
        return self._reading

    def hangs_up(self) -> None:
        """Let something come on all sockets."""
        os.write(self._writing, b"!")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        os.close(self._writing)

    @property
    def open(self) -> list[FakeLink]:
        return [link for link in self.links if not link.closed]

    async def step(self, what: str, link: FakeLink | None = None) -> None:
        await asyncio.sleep(0)
        if what in self.gates:
            await self.gates[what].wait()
        if self.errors.get(what):
            error = self.errors[what].pop(0)
            if link is not None and what in self.breaking:
                link.closed = True
            raise error

    # As a driver.

    async def connect(self, host: object = None) -> FakeLink:
        await self.step("connect")
        self.links.append(FakeLink(self, len(self.links) + 1))
        return self.links[-1]

    def adopted(
        self,
        error: BaseException,
        lost: type[DriverError] = ConnectionFailureError,
        *,
        readonly: bool = False,
    ) -> BaseException:
        return adopt(error, lost) if isinstance(error, Gone | Ended) else error

    def role_told(self, error: BaseException) -> Role | None:
        return None

    def is_undone(self, error: BaseException) -> bool:
        return isinstance(error, Ended)

    def is_full(self, error: BaseException) -> bool:
        return isinstance(error, Full)

    async def close(self) -> None:
        pass

    def pool(self, **options: Any) -> Pool[FakeLink]:
        return Pool(self.connect, PoolOptions.take(options), self.is_full)

    def counts(self, pool: Pool[FakeLink]) -> tuple[int, int, int]:
        """How many connections the pool counts, keeps idle, and has lent; all of them its own."""
        assert {slot.link for slot in pool._slots if not slot.link.closed} == set(self.open)
        assert len(pool._slots) == pool._opening.size
        assert len(set(pool._idle)) == len(pool._idle)
        lent = [slot for slot in pool._slots if slot.lent]
        assert not set(lent) & set(pool._idle)
        assert pool._pinned == sum(slot.pinned for slot in pool._slots)
        return pool._opening.size, len(pool._idle), len(lent)


class Clock:
    """The clock of the running event loop, to be set forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._time = loop.time
        self._ahead = 0.0
        self._still: float | None = None
        loop.time = self._now  # type: ignore[method-assign]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.time = self._time  # type: ignore[method-assign]

    def _now(self) -> float:
        return (self._time() if self._still is None else self._still) + self._ahead

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Within the block it only goes as it is set: what a slow machine takes is no time."""
        self._still = self._time()
        try:
            yield
        finally:
            self._ahead -= self._time() - self._still
            self._still = None

    def ahead(self, seconds: float) -> None:
        self._ahead += seconds

    async def forward(self, seconds: float) -> None:
        self.ahead(seconds)
        await settled()


async def settled(steps: int = 20) -> None:
    """Let the other tasks get as far as they can."""
    for _ in range(steps):
        await asyncio.sleep(0)


async def opened(fake: FakeServer, **options: Any) -> Pool[FakeLink]:
    pool = fake.pool(**options)
    await pool.open()
    return pool


async def lent(pool: Pool[FakeLink], count: int) -> list[Slot[FakeLink]]:
    return [await pool.acquire(here()) for _ in range(count)]


def backend_of(fake: FakeServer, target: Target | None = None, **options: Any) -> NetworkBackend:
    driver: Any = fake
    taken = FakeOptions(PoolOptions.take(options), target=target or Target())
    return NetworkBackend(driver, taken, sql.leaves, sql.begin, sql.only_reads, look)


async def connected(
    fake: FakeServer, target: Target | None = None, **options: Any
) -> NetworkBackend:
    backend = backend_of(fake, target, **options)
    await backend.connect()
    return backend


async def in_transaction(fake: FakeServer) -> NetworkConnection:
    """A connection that is held, in a transaction."""
    connection = await (await connected(fake)).acquire(here())
    await connection.begin({}, here(), lazy=False)
    return connection


def bound(text: str) -> Bound:
    return Bound(Statement(text), ())


async def run(backend: NetworkBackend, text: str) -> Any:
    return await backend.execute(bound(text), here())


async def hold_and(held: asyncio.Event, pool: Pool[FakeLink], sql: str | None) -> None:
    slot = await pool.acquire(here(), sql)
    held.set()
    await asyncio.Event().wait()
    pool.give_back(slot)
