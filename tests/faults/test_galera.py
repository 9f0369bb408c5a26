"""Galera: what two nodes do to each other's transactions, and what becomes of one's death.

All that needs the cluster is in this module: starting it takes ten seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from databases import Database, exceptions
from faults.bank import on_galera
from faults.evidence.report import Report
from faults.galera import kill_nodes
from tests.servers.galera import Galera

COUNTER = "SELECT value FROM counters WHERE id = 1"
SET = "UPDATE counters SET value = :value WHERE id = 1"


@pytest.fixture
async def nodes(galera: Galera) -> AsyncIterator[list[Database]]:
    """The same database by way of each node, with a counter at 0."""
    galera.create_database("counters")
    databases = [Database(node.url_of("counters")) for node in galera.nodes]
    galera.catch_up()
    for database in databases:
        await database.connect()
    await databases[0].execute("CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER)")
    await databases[0].execute("INSERT INTO counters VALUES (1, 0)")
    galera.catch_up()
    yield databases
    for database in databases:
        await database.disconnect()
    galera.running[0].execute("DROP DATABASE counters")


async def test_a_commit_that_another_node_was_in_the_way_of_is_a_conflict(
    galera: Galera, nodes: list[Database]
) -> None:
    one, other, _ = nodes
    transaction = await one.transaction()
    await one.execute(SET, {"value": 1})
    await other.execute(SET, {"value": 2})
    with pytest.raises(exceptions.TransactionConflictError) as caught:
        await transaction.commit()
    assert caught.value.args[0] == 1213
    assert not transaction.is_active
    galera.catch_up()
    assert await one.fetch_val(COUNTER) == 2


async def test_a_transaction_that_another_node_ended_does_not_go_on_with_its_second_half(
    galera: Galera, nodes: list[Database]
) -> None:
    one, other, _ = nodes
    transaction = await one.transaction()
    await one.execute(SET, {"value": 1})
    await other.execute(SET, {"value": 2})
    galera.catch_up()
    # The server tells of it in answer to the next statement, and this one it has to prepare first.
    with pytest.raises(exceptions.TransactionConflictError):
        await one.execute("INSERT INTO counters VALUES (2, :value)", {"value": 1})
    await transaction.rollback()
    galera.catch_up()
    rows = await one.fetch_all("SELECT id, value FROM counters")
    assert [tuple(row.values()) for row in rows] == [(1, 2)]


async def test_conflicts_between_nodes_are_retried_until_nothing_is_lost(
    galera: Galera, nodes: list[Database]
) -> None:
    conflicts = 0

    async def count_up(database: Database) -> None:
        nonlocal conflicts
        attempts = 0

        async def within() -> None:
            nonlocal attempts
            attempts += 1
            value = await database.fetch_val(f"{COUNTER} FOR UPDATE")
            await database.execute(SET, {"value": value + 1})

        await database.run_in_transaction(within, retry=True)
        conflicts += attempts - 1

    async def many(database: Database) -> None:
        for _ in range(30):
            await count_up(database)

    async with asyncio.timeout(60):
        await asyncio.gather(*[many(database) for database in nodes])
    assert conflicts
    galera.catch_up()
    assert [await database.fetch_val(COUNTER) for database in nodes] == [90, 90, 90]


async def test_nothing_is_lost_with_a_node_and_clients_go_on(galera: Galera) -> None:
    report = Report()
    url = galera.create_database("ledger")
    # A machine that has much to do may take longer than the two seconds of scripts/faults.
    await kill_nodes(galera, url, "kill -9 of a node", 1, clients=10, report=report, within=20)
    assert report.broken == []


async def test_transfers_are_consistent_while_nodes_die(galera: Galera) -> None:
    report = Report()
    await on_galera(galera, report, seconds=0)
    assert report.broken == []
