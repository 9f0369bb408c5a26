"""How far a replica is behind, told by positions and the clock of the event loop alone."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

from databases.backends.replicas import Replicas
from databases.backends.replication import Sight
from tests.library.fake_links import Clock, settled


class FakeServer:
    """A server that has come to a position."""

    busy = 0

    def __init__(self, clock: Clock, *, is_replica: bool) -> None:
        self.is_replica = is_replica
        self.position: int | None = 1
        """None where it is not known."""
        self.takes = 0.0
        """Seconds until its answer arrives."""
        self._clock = clock

    async def open_link(self) -> Any:
        return self

    async def look(self, link: object, *, caught_up: bool) -> Sight:
        position = None if self.position is None else {"log": self.position}
        self._clock.ahead(self.takes)
        return Sight(self.is_replica, position, position)

    def was_left_by_primary(self, seen: Sight) -> bool:
        return False

    def terminate(self) -> None:
        pass


async def test_a_replica_is_behind_by_the_time_since_the_primary_was_where_it_is(
    clock: Clock,
) -> None:
    primary, replica = FakeServer(clock, is_replica=False), FakeServer(clock, is_replica=True)
    backends: list[Any] = [primary, replica]
    replicas = Replicas(backends[0], backends[1:], max_lag=10)

    async def is_read_after(seconds: float) -> bool:
        await clock.forward(seconds)
        await replicas._look()
        return await replicas.choose(None) is not None

    assert await is_read_after(0)
    # Where nothing is written nothing is missing, however long.
    for _ in range(5):
        assert await is_read_after(9)
    primary.position = 2
    assert await is_read_after(9)
    assert not await is_read_after(2)
    replica.position = 2
    assert await is_read_after(0)
    # What the primary says is as old as the question.
    primary.takes = 6
    assert await is_read_after(0)
    primary.takes, primary.position = 0, 3
    assert not await is_read_after(5)
    assert replicas._history[0][0] >= asyncio.get_running_loop().time() - 11
    await replicas.stop()


async def test_one_that_was_further_than_the_primary_shows_another_history(clock: Clock) -> None:
    primary, replica = FakeServer(clock, is_replica=False), FakeServer(clock, is_replica=True)
    backends: list[Any] = [primary, replica]
    replicas = Replicas(backends[0], backends[1:], max_lag=10)

    async def is_read() -> bool:
        await clock.forward(1)
        await replicas._look()
        return await replicas.choose(None) is not None

    # The one that was promoted had received less.
    replica.position = 5
    assert not await is_read()
    primary.position = 3
    assert await replicas.choose(await replicas.written()) is None
    assert not await is_read()
    # Nor is it only behind once the primary has overtaken it.
    primary.position = 6
    assert not await is_read()
    # It was made anew, as a copy.
    replica.position = 6
    assert await is_read()
    # And one that does follow may be seen to be further, where something was written meanwhile.
    looked = replica.look

    async def meanwhile(link: object, *, caught_up: bool) -> Sight:
        assert replica.position is not None
        primary.position = replica.position = replica.position + 1
        return await looked(link, caught_up=caught_up)

    replica.look = meanwhile  # type: ignore[method-assign]
    assert await is_read()
    assert await replicas.choose(await replicas.written()) is not None
    await replicas.stop()


async def test_where_nobody_knows_how_far_the_primary_is_no_replica_is_behind(
    clock: Clock,
) -> None:
    primary, replica = FakeServer(clock, is_replica=False), FakeServer(clock, is_replica=True)
    backends: list[Any] = [primary, replica]

    async def is_read(of_primary: int | None, of_replica: int | None) -> bool:
        primary.position, replica.position = of_primary, of_replica
        replicas = Replicas(backends[0], backends[1:], max_lag=10)
        try:
            return await replicas.choose(None) is not None
        finally:
            await replicas.stop()

    assert await is_read(None, None)
    assert await is_read(None, 1)
    # One that does not know how far it is itself may be anywhere.
    assert not await is_read(1, None)
    assert await is_read(1, 1)


async def test_who_reads_first_leaves_nothing_of_his_behind_in_what_looks_after_them(
    clock: Clock,
) -> None:
    class Request:
        """What a web application may have in its context."""

    present: contextvars.ContextVar[Request] = contextvars.ContextVar("present")
    backends: list[Any] = [FakeServer(clock, is_replica=number > 0) for number in range(2)]
    replicas = Replicas(backends[0], backends[1:], max_lag=10)

    async def request() -> weakref.ref[Request]:
        present.set(Request())
        assert await replicas.choose(None) is not None
        assert await replicas.written() == {"log": 1}
        assert await replicas.choose({"log": 2}) is None
        return weakref.ref(present.get())

    answered = await asyncio.create_task(request(), context=contextvars.Context())
    await settled()
    gc.collect()
    assert replicas.are_watched
    assert answered() is None
    await replicas.stop()
