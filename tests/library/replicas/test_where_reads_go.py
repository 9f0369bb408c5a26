"""Which server a read goes to: a replica where that is asked for, unless it may write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from databases import Database
from tests.library.kinds import POSTGRESQL_ONLY
from tests.library.replicas.reading import (
    INSERT,
    WHERE,
    count,
    where,
)

pytestmark = POSTGRESQL_ONLY


async def test_reads_go_to_replicas_where_that_is_asked_for(
    make: Callable[..., Database], primary: int, replicas: set[int]
) -> None:
    async with make() as database:
        assert await where(database) == primary
        assert await where(database, prefer="replica") in replicas
        with database.prefer("replica"):
            assert await where(database) in replicas
            assert await asyncio.create_task(where(database)) in replicas
            assert await where(database, prefer="primary") == primary
            with database.prefer("primary"):
                assert await where(database) == primary
            row = await database.fetch_one(WHERE)
            assert row is not None
            assert row[0] in replicas
            assert (await database.fetch_all(WHERE))[0][0] in replicas
        assert await where(database) == primary
    async with make(prefer="replica") as database:
        assert await where(database) in replicas
        assert await where(database, timeout=5) in replicas
        assert await where(database, prefer="primary") == primary


async def test_a_block_is_for_its_database_alone(
    make: Callable[..., Database], primary: int
) -> None:
    async with make() as one, make() as other:
        with one.prefer("replica"):
            assert await where(other) == primary


async def test_reads_are_spread_over_all_replicas(database: Database, replicas: set[int]) -> None:
    with database.prefer("replica"):
        one_by_one = Counter([await where(database) for _ in range(10)])
        assert one_by_one == dict.fromkeys(replicas, 5)
        at_once = Counter(await asyncio.gather(*[where(database) for _ in range(40)]))
        assert at_once.keys() == replicas
        assert min(at_once.values()) >= 15


MAY_WRITE = [
    f"{WHERE} FROM users FOR UPDATE",
    f"{WHERE} FROM users FOR /* no */ KEY\nSHARE",
    f"{WHERE}, nextval('users_id_seq')",
    f"{WHERE}, unknown()",
    f"WITH a AS (INSERT INTO users (name) VALUES ('b') RETURNING id) {WHERE} FROM a",
    "INSERT INTO users (name) VALUES ('b') RETURNING inet_server_port()",
    "SELECT inet_server_port FROM counting",  # of which no word tells that it writes
]


async def test_what_may_write_goes_to_the_primary(database: Database, primary: int) -> None:
    with database.prefer("replica"):
        for query in [*MAY_WRITE, *MAY_WRITE]:
            assert await database.fetch_val(query) == primary, query
            assert primary in [row[0] async for row in database.iterate(query)], query


async def test_what_writes_although_no_word_says_so_is_iterated_over_on_the_primary(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(prefer="replica") as database:
        query = "SELECT inet_server_port FROM counting"
        for _ in range(2):
            assert [row[0] async for row in database.iterate(query)] == [primary]


async def test_transactions_go_to_the_primary_unless_they_are_read_only(
    database: Database, primary: int, replicas: set[int]
) -> None:
    with database.prefer("replica"):
        async with database.transaction():
            assert await where(database, prefer="replica") == primary
            async with database.transaction(readonly=True):
                assert await where(database) == primary
        async with database.connection():
            assert await where(database, prefer="replica") == primary
            async with database.transaction(readonly=True):
                assert await where(database) == primary
        async with database.transaction(readonly=True, isolation="repeatable_read"):
            there = await where(database, prefer="primary")
            assert there in replicas
            assert [row[0] async for row in database.iterate(WHERE)] == [there]
        async with database.transaction(readonly=True, isolation="serializable"):
            assert await where(database) == primary  # a standby cannot
    async with database.transaction(readonly=True):
        assert await where(database) == primary


async def test_iterations_go_to_replicas(
    database: Database, primary: int, replicas: set[int]
) -> None:
    query = f"{WHERE} FROM generate_series(1, 500)"
    assert {row[0] async for row in database.iterate(query)} == {primary}
    ports = set()
    async for row in database.iterate(query, prefer="replica"):
        ports.add(row[0])
        assert await where(database) == primary
    assert len(ports) == 1
    assert ports <= replicas


async def test_under_force_rollback_all_is_on_one_connection(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(force_rollback=True, prefer="replica") as database:
        await database.execute(INSERT)
        assert await where(database) == primary
        assert await count(database) == 2
        async with database.transaction(readonly=True):
            assert await count(database) == 2
    async with make() as database:
        assert await count(database) == 1


async def test_a_temporary_table_is_found_where_it_is(database: Database, primary: int) -> None:
    with database.prefer("replica"):
        await database.execute("CREATE TEMPORARY TABLE mine AS SELECT 5 AS n")
        assert await database.fetch_val("SELECT n FROM mine") == 5
        assert await where(database) == primary


async def test_what_a_standby_cannot_begin_goes_to_the_primary_with_comments_too(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(sql_comments=True, prefer="replica") as database:
        for _ in range(2):
            outer = database.transaction(readonly=True, isolation="serializable")
            async with outer, database.transaction():
                assert await where(database) == primary
