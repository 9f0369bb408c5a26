"""Many more tasks than connections: first come, first served. See ``scripts/faults crowd``."""

from __future__ import annotations

from typing import Any

from databases import Database
from faults.evidence.crowd import Crowd, prepare
from tests.library.kinds import ASYNCMY, ASYNCPG, FILE, Kind, on


@on([ASYNCPG, ASYNCMY, FILE])
async def test_a_crowd_is_served_in_the_order_in_which_it_came(kind: Kind, url: str) -> None:
    tasks = 200 if kind is FILE else 2_000
    # Open from the beginning: who opens a connection waits for that one alone.
    options: dict[str, Any] = {} if kind is FILE else {"min_size": 10}
    async with Database(url, **options) as database:
        await prepare(database, tasks)
        served = await Crowd(kind, database, tasks).run(2.0)
    assert (served.overtaken, served.refused) == (0, 0)
    assert served.wrong == []
    assert served.turns >= tasks
    assert served.most_waiting > tasks / 2
