"""Many rows to and from a server: as a whole or not at all, and no more at a time than needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from databases import Database, exceptions
from tests.library.kinds import NETWORK_ONLY, Kind, Network
from tests.library.places import OnServer, until
from tests.library.pools import is_whole
from tests.library.users import USERS, count


@pytest.fixture
async def lone(kind: Network, url: str, server: OnServer) -> AsyncIterator[Database]:
    """A database by way of a single connection, and a table of users."""
    server.rows(USERS.format(kind.key))
    async with Database(url, max_size=1) as database:
        yield database


@NETWORK_ONLY
async def test_many_rows_of_several_shapes_are_kept_as_a_whole_or_not_at_all(
    lone: Database,
) -> None:
    users = sa.table("users", sa.column("id"), sa.column("name"))
    rows: list[dict[str, Any]] = [
        {"id": 1, "name": "Ada"},
        {"name": "Grace"},
        {"id": 3},
        {"id": 4, "name": "Ada"},
    ]
    for holding in (False, True):
        with pytest.raises(exceptions.IntegrityError):
            if holding:
                async with lone.connection() as connection:
                    await connection.execute_many(sa.insert(users), rows)
            else:
                await lone.execute_many(sa.insert(users), rows)
        assert await count(lone) == 0
        await is_whole(lone)
    await lone.execute_many(sa.insert(users), rows[:2])
    assert await count(lone) == 2


@NETWORK_ONLY
async def test_iterating_reads_no_more_than_it_needs_and_breaking_off_stops_the_server(
    kind: Kind, lone: Database, server: OnServer
) -> None:
    """10,000 rows of 10 kB each: more than fits between the server and here."""
    server.rows("CREATE SEQUENCE seen")
    series = kind.series(10_000).replace("SELECT i", "SELECT nextval('seen'), repeat('x', 10000)")
    if kind.place == "on_mariadb":
        series = "SELECT nextval(seen), repeat('x', 10000) FROM seq_1_to_10000"
    async for _ in lone.iterate(series):
        break
    # MariaDB counts by the thousand.
    made = "last_value" if kind.place == "on_postgresql" else "next_not_cached_value"
    assert await lone.fetch_val("SELECT 1") == 1
    await until(lambda: not server.running())
    assert server.rows(f"SELECT {made} FROM seen")[0][0] < 9000
    await is_whole(lone)
