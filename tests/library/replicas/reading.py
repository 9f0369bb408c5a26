"""Reads on replicas: where they are answered, what is seen there, and waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from databases import Database
from tests.servers.processes import PATIENCE
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

T = TypeVar("T")

WHERE = "SELECT inet_server_port()"
INSERT = "INSERT INTO users (name) VALUES ('Ada')"
COUNT = "SELECT count(*) FROM users"


async def where(database: Database, **options: Any) -> Any:
    """The port of the server that answers."""
    return await database.fetch_val(WHERE, **options)


async def count(database: Database) -> Any:
    return await database.fetch_val(COUNT, prefer="replica")


async def insert(database: Database) -> None:
    await database.execute(INSERT)


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run it as another request would: with nothing of what this one has written."""
    return await asyncio.create_task(work, context=contextvars.Context())


@contextlib.contextmanager
def paused(nodes: ReplicatedPostgreSQL) -> Iterator[None]:
    """Replicas get what is written, and do not show it."""
    for node in nodes.replicas:
        node.execute("SELECT pg_wal_replay_pause()")
        while node.execute("SELECT pg_get_wal_replay_pause_state()").strip() != "paused":
            pass
    try:
        yield
    finally:
        for node in nodes.replicas:
            node.execute("SELECT pg_wal_replay_resume()")
        nodes.catch_up()


async def until_where(database: Database, expected: Callable[[set[int]], bool]) -> None:
    """Wait until some reads in a row go where they are expected to."""
    async with asyncio.timeout(PATIENCE):
        while not expected({await apart(where(database, prefer="replica")) for _ in range(4)}):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
