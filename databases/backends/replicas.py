"""The replicas of a database, looked after: which of them can be read from, and how far they are.

While anybody reads from replicas, the primary and each of them are asked once a second how far they
have come. A replica is as fresh as the primary was when it was where the replica is now: that is
known without any clock but our own.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import math
import weakref
from typing import Any, TypeVar

from databases.backends.replication import has_reached, is_beyond

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from databases.backends.link import Link
    from databases.backends.network import NetworkBackend
    from databases.backends.replication import Position, Sight

T = TypeVar("T")

_EVERY = 1.0
"""Seconds between two looks, where replicas may be much further behind than that."""

_PATIENCE = 1.0
"""Seconds within which a server has to answer a look, and the first looks have to be done."""


class Server:
    """A server that is looked at, by way of a connection beside its pool.

    In the pool a look would have to wait where all connections are lent: just when it matters.

    Args:
        backend: its pool, and what knows how to look at it.
        caught_up: whether a look covers what was acknowledged anywhere.
    """

    def __init__(self, backend: NetworkBackend, *, caught_up: bool = False) -> None:
        self.backend = backend
        self.sight: Sight | None = None
        """What it was last; None while it does not answer."""
        self._caught_up = caught_up
        self._link: Link | None = None
        self._asking: asyncio.Task[Sight | None] | None = None
        self._next: asyncio.Task[Sight | None] | None = None

    async def look(self) -> Sight | None:
        """What it is now; None where it does not answer.

        It is asked after the call: those who call while a question is under way share the next.
        """
        if self._next is None:
            self._next = _start(self._look_after(self._asking))
        asked = self._next
        await asyncio.wait([asked])
        return None if asked.cancelled() else asked.result()

    async def _look_after(self, before: asyncio.Task[Sight | None] | None) -> Sight | None:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._link is None:
                    self._link = await self.backend.open_link()
                self.sight = await self.backend.look(self._link, caught_up=self._caught_up)
            if self._caught_up and self.backend.was_left_by_primary(self.sight):
                # What is written elsewhere by now its position does not cover.
                self.close()
        except Exception:
            self.close()
        except BaseException:
            self.close()
            raise
        return self.sight

    def close(self) -> None:
        """Close the connection; the next look opens another one."""
        link, self._link, self.sight = self._link, None, None
        if link is not None:
            link.terminate()

    async def stop(self) -> None:
        """Let what is under way come to its end."""
        if looks := [task for task in (self._asking, self._next) if task is not None]:
            # Cancelled at once, it could leave a session open on the server.
            await asyncio.wait(looks, timeout=_PATIENCE)
            for task in looks:
                task.cancel()
            await asyncio.wait(looks)


class Replica(Server):
    """A server that may be read from in place of the primary.

    Args:
        backend: its pool, and what knows how to look at it.
    """

    def __init__(self, backend: NetworkBackend) -> None:
        super().__init__(backend)
        self.fresh_at = -math.inf
        """A time of which it provably shows all that was on the primary."""
        self.strayed_at = -math.inf
        """When it was last seen to show what is not on the primary. Where their histories have
        parted a position says nothing, so of no time before that anything is proven."""

    def has(self, required: Position) -> bool:
        """Whether it was seen to have come so far."""
        return self.sight is not None and has_reached(self.sight.shown, required)


class Replicas:
    """The replicas of a database.

    Args:
        primary: the backend of the primary.
        replicas: those of its replicas.
        max_lag: the most seconds that one may be behind to be read from.
    """

    def __init__(
        self, primary: NetworkBackend, replicas: Sequence[NetworkBackend], max_lag: float
    ) -> None:
        self._max_lag = max_lag
        self._every = min(_EVERY, max_lag / 4)
        # Which of equal servers is the primary, the connections of its pool may see differently.
        self.primary = Server(primary, caught_up=True)
        self.all = [Replica(replica) for replica in replicas]
        self._history: collections.deque[tuple[float, Position | None]] = collections.deque()
        self._first: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self._turn = 0

    @property
    def are_watched(self) -> bool:
        """Whether anybody has read from them yet, or tried to."""
        return self._watching is not None

    async def choose(self, required: Position | None) -> Replica | None:
        """The replica to read from; None where there is none that will do.

        Args:
            required: the position that it has to have come to.
        """
        first = self._begun()
        if first is None:
            return None
        if not first.done():
            await asyncio.wait([first], timeout=_PATIENCE)
        usable = [replica for replica in self.all if self._is_usable(replica)]
        if not usable or required is None:
            return self._least_busy(usable)
        there = [replica for replica in usable if replica.has(required)]
        if not there:
            # It may have got there since the last look.
            asked = self._least_busy(usable)
            assert asked is not None
            await asked.look()
            if self._is_usable(asked) and asked.has(required):
                return asked
        return self._least_busy(there)

    async def written(self) -> Position | None:
        """A position that covers all that was written on the primary; None if it is not known."""
        if self._begun() is None:
            return None
        seen = await self._look_at_primary()
        return None if seen is None else seen.written

    def fails(self, replica: Replica) -> None:
        """Read from it no more until it is seen to be well again."""
        replica.sight = None

    def start(self) -> None:
        """Look after them as soon as somebody reads from them."""
        self._stopped = False

    async def stop(self) -> None:
        """Look after them no longer."""
        self._stopped = True
        self._loop, loop = None, self._loop
        tasks = [task for task in (self._first, self._watching) if task is not None]
        self._first = self._watching = None
        servers = (self.primary, *self.all)
        if loop is asyncio.get_running_loop():
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.gather(*[server.stop() for server in servers])
        for server in servers:
            server.close()

    def __del__(self) -> None:
        # The Database was dropped without having been disconnected.
        for server in (self.primary, *self.all):
            server.close()

    def _begun(self) -> asyncio.Task[None] | None:
        """Look after them from now on, in the running event loop; the first look.

        None where the database was disconnected while somebody was about to read.
        """
        if self._stopped:
            return None
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._first is not None:
            return self._first
        self._loop = loop
        self._history.clear()
        # What belonged to another event loop has ended with it.
        for server in (self.primary, *self.all):
            server.close()
        self.primary = Server(self.primary.backend, caught_up=True)
        self.all = [Replica(replica.backend) for replica in self.all]
        self._first = _start(self._look())
        self._watching = _start(_watch(weakref.ref(self), self._every, self._first))
        return self._first

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        # First the primary: what a replica has come to after that it has come to by now.
        seen = await self._look_at_primary()
        if seen is not None:
            history = self._history
            history.append((now, seen.shown))
            while history[0][0] < now - self._max_lag:
                history.popleft()
        await asyncio.gather(*[self._look_at(replica) for replica in self.all])
        if seen is not None and self._beyond(seen):
            # It may be there by now.
            await self._look_at_primary()

    async def _look_at_primary(self) -> Sight | None:
        """What the primary is now, and which replicas cannot be its own.

        One that was further before has a history that the primary does not have: it followed one
        that is no more, and the present one had received less when it was promoted.
        """
        before = [(replica, replica.sight) for replica in self.all]
        seen = await self.primary.look()
        if seen is not None and not seen.is_replica:
            for replica, sight in before:
                if sight is not None and is_beyond(sight.shown, seen.written):
                    replica.strayed_at = asyncio.get_running_loop().time()
                    replica.fresh_at = -math.inf
        return seen

    def _beyond(self, seen: Sight) -> bool:
        """Whether a replica shows more than the primary did."""
        sights = [replica.sight for replica in self.all]
        return any(sight and is_beyond(sight.shown, seen.written) for sight in sights)

    async def _look_at(self, replica: Replica) -> None:
        seen = await replica.look()
        if seen is None:
            return
        for time, position in reversed(self._history):
            if time <= replica.strayed_at:
                return
            # Where the primary's is not known, nobody can tell how far another one is behind.
            if position is None or has_reached(seen.shown, position):
                replica.fresh_at = time
                return

    def _is_usable(self, replica: Replica) -> bool:
        seen, primary = replica.sight, self.primary.sight
        if seen is None or not seen.is_replica:
            return False
        if seen.node is not None and primary is not None and seen.node == primary.node:
            return False
        return asyncio.get_running_loop().time() - replica.fresh_at <= self._max_lag

    def _least_busy(self, replicas: Sequence[Replica]) -> Replica | None:
        """The one that is used least; of several each in its turn."""
        if len(replicas) < 2:
            return replicas[0] if replicas else None
        self._turn += 1
        turn = self._turn % len(replicas)
        return min([*replicas[turn:], *replicas[:turn]], key=_busy)


def _busy(replica: Replica) -> int:
    return replica.backend.busy


async def _watch(watched: weakref.ref[Replicas], every: float, first: asyncio.Task[None]) -> None:
    """Look after replicas until they are dropped."""
    await asyncio.wait([first])
    while True:
        await asyncio.sleep(every)
        replicas = watched()
        if replicas is None:
            return
        await replicas._look()
        del replicas


def _start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task that belongs to nobody: it keeps nothing of the context of who asked first."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
