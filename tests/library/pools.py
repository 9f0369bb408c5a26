"""Looking into the pools of network databases from outside."""

from __future__ import annotations

import asyncio
from typing import Any

from databases import Database
from tests.library.kinds import Kind, Network
from tests.library.places import OnServer, until


def pool_of(database: Database) -> Any:
    backend: Any = database._engine._backend
    # Where there are replicas, the primary's.
    return getattr(backend, "primary", backend)._pool


def idle_for(database: Database, seconds: float) -> None:
    for slot in pool_of(database)._idle:
        slot.idle_since = asyncio.get_running_loop().time() - seconds


async def is_whole(database: Database) -> None:
    """All connections are back, and counted right."""
    pool = pool_of(database)
    await until(lambda: not pool._leaving.tasks and not pool._opening.tasks)
    assert not any(slot.lent for slot in pool._slots)
    assert len(pool._idle) == len(pool._slots) == pool._opening.size <= pool._options.max_size
    assert pool._pinned == 0
    assert not pool._queue
    async with asyncio.timeout(20):
        ones = [database.fetch_val("SELECT 1") for _ in range(2 * pool._options.max_size)]
        assert set(await asyncio.gather(*ones)) == {1}


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


async def a_session(kind: Network, database: Database) -> int:
    return int(await database.fetch_val(kind.session))


async def until_gone(server: OnServer, session: int) -> None:
    await until(lambda: session not in [number for number, _, _ in server.sessions()])


def sleeping(kind: Kind, seconds: float) -> str:
    return f"{'pg_sleep' if kind.place == 'on_postgresql' else 'sleep'}({seconds})"
