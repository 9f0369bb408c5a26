"""Replicas that lag behind, die, are promoted or never answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from databases import Database
from tests.library.kinds import POSTGRESQL_ONLY, Kind
from tests.library.places import of_driver, until
from tests.library.replicas.reading import (
    INSERT,
    WHERE,
    apart,
    insert,
    paused,
    until_where,
    where,
)
from tests.servers.processes import PATIENCE
from tests.servers.replicated_postgresql import Node, ReplicatedPostgreSQL

pytestmark = POSTGRESQL_ONLY


async def started(node: Node) -> None:
    """Start one that was killed: what is left of it may take a moment to end."""
    async with asyncio.timeout(PATIENCE):
        while not node.is_running:
            with contextlib.suppress(RuntimeError):
                await asyncio.to_thread(node.start)
            await asyncio.sleep(0.1)


async def test_a_replica_that_is_too_far_behind_is_not_read(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    async with make(max_lag=0.4) as database:
        await until_where(database, replicas.__eq__)
        with paused(nodes):
            nodes.primary.execute(INSERT)
            await until_where(database, {primary}.__eq__)
        await until_where(database, replicas.__eq__)


@contextlib.asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Counter[int]]:
    """Tasks that read all the time: the ports of who answers. None may see an error."""
    answers: Counter[int] = Counter()
    stop = asyncio.Event()

    async def read(number: int) -> None:
        while not stop.is_set():
            if number % 3:
                answers[await where(database, prefer="replica")] += 1
            else:
                await database.fetch_val(f"{WHERE}, pg_sleep(0.01)", prefer="replica")

    readers = [asyncio.create_task(read(number)) for number in range(6)]
    try:
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*readers)


async def test_a_replica_that_is_killed_is_missed_by_nobody_and_used_again_when_it_is_back(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    victim, other = nodes.replicas
    async with make(max_size=4, max_lag=2) as database, reading(database) as answers:
        await until(lambda: answers[victim.port] and answers[other.port])
        await asyncio.to_thread(victim.kill)
        answers.clear()
        await until(lambda: answers[other.port] > 50)
        await started(victim)
        await until(lambda: answers[victim.port])


async def test_without_any_replica_the_primary_is_read(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    async with make(max_lag=2) as database:
        await until_where(database, replicas.__eq__)
        stopped = nodes.replicas
        for node in stopped:
            node.stop("immediate")
        with database.prefer("replica"):
            assert await where(database) == primary
            assert [row[0] async for row in database.iterate(WHERE)] == [primary]
            async with database.transaction(readonly=True):
                assert await where(database) == primary
    for node in stopped:
        await started(node)


async def test_one_that_was_promoted_is_a_replica_no_longer(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    promoted, other = nodes.replicas
    async with make(max_lag=2) as database:
        await until_where(database, replicas.__eq__)
        promoted.promote()
        await until_where(database, {other.port}.__eq__)


async def test_one_that_never_answers_delays_the_first_read_alone(
    make: Callable[..., Database],
    nodes: ReplicatedPostgreSQL,
    primary: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_for(seconds: float) -> None:
        monkeypatch.setattr("databases.backends.replicas._PATIENCE", seconds)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = nodes.primary.url.replace(str(primary), str(port))
        async with make(replicas=[url]) as database, asyncio.timeout(PATIENCE):
            look_for(0.2)
            assert await where(database, prefer="replica") == primary
            # Whoever waited for it now would do so until the test fails.
            look_for(2 * PATIENCE)
            for _ in range(3):
                assert await where(database, prefer="replica") == primary
            look_for(0.2)


async def test_standbys_among_several_hosts_are_replicas(
    kind: Kind, nodes: ReplicatedPostgreSQL
) -> None:
    url = of_driver(nodes.url, kind.scheme)
    async with Database(f"{url}?max_lag=2", max_size=2, prefer="replica") as database:
        primary, (one, other) = nodes.primary, nodes.replicas
        await until_where(database, {one.port, other.port}.__eq__)
        assert await where(database, prefer="primary") == primary.port
        # What is the primary by now is none, and takes the writes.
        await asyncio.to_thread(nodes.fail_over)
        primary, (replica,) = nodes.primary, nodes.replicas
        await until_where(database, {replica.port}.__eq__)
        async with asyncio.timeout(PATIENCE):
            await apart(insert(database))
        assert await where(database, prefer="primary") == primary.port
    nodes.rejoin(next(node for node in nodes.nodes if not node.is_running))
