"""A process without descriptors: what is open goes on, and what cannot be opened is told why."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from databases import Database, exceptions
from tests.library.fake_links import Clock, FakeServer, here, lent, opened, settled
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, Kind
from tests.library.pools import is_whole, notes_of, pool_of, sleeping

pytestmark = pytest.mark.anyio


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Within the block this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
    try:
        while True:  # those that were free below it
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


@NETWORK_ONLY
async def test_the_connections_that_are_open_serve_everybody(kind: Kind, url: str) -> None:
    query = f"SELECT {sleeping(kind, 0.02)}"
    async with Database(url, max_size=8) as database:

        async def transaction() -> None:
            async with database.transaction():
                await database.execute(query)

        async def all_at_once() -> None:
            works = [transaction() for _ in range(10)]
            async with asyncio.timeout(20):
                await asyncio.gather(*works, *[database.fetch_val(query) for _ in range(10)])

        with no_descriptor_left():
            await all_at_once()
            assert pool_of(database)._opening.size == 1
        await is_whole(database)
        # Soon there may be more again.
        pool_of(database)._opening._grow()
        await all_at_once()
        assert pool_of(database)._opening.size == 8


@CONCURRENT
async def test_whoever_has_no_connection_yet_is_told(kind: Kind, url: str) -> None:
    database = Database(url)
    # Modules are files too.
    await database.connect()
    await database.disconnect()
    with no_descriptor_left(), pytest.raises(exceptions.OperationalError) as caught:
        await database.connect()
    assert "no descriptor left" in notes_of(caught.value)
    assert "ulimit -n" in notes_of(caught.value)
    await database.connect()
    await database.disconnect()


async def test_the_timeout_says_that_it_is_this_process_that_has_no_room(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=0.5)
    await lent(pool, 1)
    fake.errors["connect"] = [OSError(errno.EMFILE, os.strerror(errno.EMFILE))]
    task = asyncio.create_task(pool.acquire(here(), "SELECT 1"))
    await settled()
    await clock.forward(0.6)
    assert "This process may open no more sockets" in str(task.exception())
