"""A bank under load: what is kept while servers and processes die, and what is found otherwise."""

from __future__ import annotations

from databases import Database
from faults.bank import on_postgresql, on_replicas, on_sqlite
from faults.evidence.bank import ACCOUNTS, EACH, Bank, create_tables, final_state
from faults.evidence.history import History
from faults.evidence.ledger import Ledger
from faults.evidence.load import at_work
from faults.evidence.report import Report
from tests.library.places import until
from tests.servers.postgresql import PostgreSQL
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL


async def test_sqlite_keeps_what_it_promises_while_processes_die() -> None:
    report = Report()
    await on_sqlite(report, seconds=2)
    assert report.broken == []


async def test_postgresql_keeps_what_it_promises_while_it_restarts() -> None:
    report = Report()
    # One of its own: no other test has use for one that restarts.
    with PostgreSQL() as server:
        await on_postgresql(server, server.create_database("bank"), report, seconds=3)
    assert report.broken == []


async def test_reads_from_replicas_keep_what_they_promise(
    replicated_postgresql: ReplicatedPostgreSQL,
) -> None:
    report = Report()
    await on_replicas(replicated_postgresql, report, seconds=3)
    assert report.broken == []


async def test_transfers_that_nothing_keeps_apart_are_found_to_lose_updates(
    postgresql_server: PostgreSQL,
) -> None:
    url = postgresql_server.create_database("careless")
    ledger, history = Ledger(), History(ACCOUNTS, EACH)
    async with Database(url) as database:
        await create_tables(database)
        careless = {"isolation": "read_committed"}
        bank = Bank(database, ledger, history, writing=careless)
        async with at_work(bank.work(client) for client in range(10)):
            await until(lambda: len(ledger.acknowledged) > 200)
        found = history.broken(*await final_state(database))
    assert any(promise.startswith("update lost") for promise in found)
