"""Bank transfers and reads while servers and processes die: is what clients see consistent?

    scripts/faults bank [--only sqlite,postgresql] [--seconds 60] [--short]

Clients move money between a few accounts and look at them; each operation is written down with
its times, what it read and wrote, and its outcome. What is looked for in the history:

- sums: all accounts read at once hold together what they held in the beginning;
- no lost update: the versions of an account are a chain in which every acknowledged transfer is
  once, and the balance is what the chain makes it;
- nothing seen that was never committed;
- reading one's own writes; never going back in time; and, where there is one place to read from,
  seeing all that was acknowledged to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from databases import Database, DatabaseURL
from faults.evidence.bank import ACCOUNTS, EACH, Bank, create_tables, final_state
from faults.evidence.bank_process import Process, forgive
from faults.evidence.history import LATEST, MONOTONIC, OWN_WRITES, History
from faults.evidence.ledger import Ledger
from faults.evidence.load import at_work
from faults.evidence.report import Report, options
from faults.galera import recovery
from tests.servers.galera import Galera
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import Proxy
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

CLIENTS = 12

SERIALIZABLE = {"isolation": "serializable"}


class Trial:
    """The clients of one or more banks, and the faults that they live through.

    Args:
        report: what is told.
        seconds: how long it takes at least.
        promised: when what was written is seen.
    """

    def __init__(
        self,
        report: Report,
        seconds: float,
        promised: Collection[str] = (OWN_WRITES, MONOTONIC, LATEST),
    ) -> None:
        self.ledger = Ledger()
        self.history = History(ACCOUNTS, EACH)
        self.broken: list[str] = []
        self._report = report
        self._seconds = seconds
        self._promised = promised

    async def run(
        self,
        title: str,
        banks: Sequence[Bank],
        fault: Callable[[], Awaitable[object]],
    ) -> None:
        """Have clients work, do something to their database now and then, and report."""
        started = time.monotonic()
        turns = itertools.cycle(banks)
        rounds = 0
        async with at_work(next(turns).work(client) for client in range(CLIENTS)) as load:
            while rounds == 0 or time.monotonic() < started + self._seconds:
                await asyncio.sleep(1)
                await fault()
                rounds += 1
                if await self.ledger.all_resumed(time.monotonic()) == float("inf"):
                    self.broken.append(f"not all clients were back after fault {rounds}")
        self.broken += load.broken
        self._title, self._rounds, self._took = title, rounds, time.monotonic() - started

    async def conclude(self, database: Database) -> None:
        """Compare what clients know with what the database has now."""
        entries, final = await final_state(database)
        kept = [entry.transfer for entry in entries if entry.amount < 0]
        forgive(self.ledger, kept)
        self.broken += self.ledger.broken(kept)
        self.broken += self.history.broken(entries, final)
        late = self.history.late()
        for promise in self._promised:
            self.broken += late.pop(promise)
        held = f"transfers: {self.ledger}; {len(self.history.reads):,} reads"
        self._report.add(self._title, self._rounds, self._took, held, self.broken)
        if self.ledger.errors:
            self._report.note(f"errors that clients got: {dict(self.ledger.errors)}")
        for found in itertools.chain.from_iterable(late.values()):
            self._report.note(f"not promised: {found}")


async def on_sqlite(report: Report, seconds: float) -> None:
    """Two processes on one file; one of them is killed, and another one takes its place."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'bank.db')}"
        trial = Trial(report, seconds)
        async with Database(url) as database, contextlib.AsyncExitStack() as processes:
            await create_tables(database)
            numbers = itertools.count(1)

            async def start() -> Process:
                process = Process(url, next(numbers), trial.ledger, trial.history)
                return await processes.enter_async_context(process)

            other = await start()

            async def replace() -> None:
                nonlocal other
                await other.kill()
                other = await start()

            bank = Bank(database, trial.ledger, trial.history)
            await trial.run("SQLite: kill -9 of one of two processes", [bank], replace)
            await processes.aclose()
            trial.broken += other.broken
            await trial.conclude(database)


async def on_postgresql(server: PostgreSQL, url: str, report: Report, seconds: float) -> None:
    """A server that restarts, crashes, ends sessions, and whose connections are cut.

    Half of the clients use asyncpg, half psycopg.
    """
    trial = Trial(report, seconds)
    with Proxy(server.port) as proxy:
        end_sessions = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        faults: list[Callable[[], object]] = [
            server.restart,
            lambda: server.execute(end_sessions),
            proxy.cut,
            lambda: server.restart("immediate"),
        ]
        turns = itertools.cycle(faults)
        async with (
            Database(proxy.url(url)) as one,
            Database(of_driver(proxy.url(url), "postgresql+psycopg")) as other,
        ):
            await create_tables(one)
            banks = [
                Bank(database, trial.ledger, trial.history, writing=SERIALIZABLE)
                for database in (one, other)
            ]
            await trial.run(
                "PostgreSQL: restarts, crashes, sessions ended, cuts",
                banks,
                lambda: asyncio.to_thread(next(turns)),
            )
            await trial.conclude(one)


async def on_replicas(cluster: ReplicatedPostgreSQL, report: Report, seconds: float) -> None:
    """Reads that prefer replicas, which lag and die, while the primary changes.

    Of what others wrote a replica shows what it has, and another one may have less; what a client
    wrote itself it sees.
    """
    name = f"bank_{time.monotonic_ns()}"
    cluster.primary.create_database(name)
    trial = Trial(report, seconds, promised=(OWN_WRITES,))

    def lag() -> None:
        node = cluster.replicas[0]
        node.execute("SELECT pg_wal_replay_pause()")
        time.sleep(0.5)
        node.execute("SELECT pg_wal_replay_resume()")

    def kill_replica() -> None:
        node = cluster.replicas[-1]
        node.kill()
        node.start()

    turns = itertools.cycle([lag, kill_replica, lambda: cluster.rejoin(cluster.fail_over())])
    async with Database(cluster.url_of(name)) as database:
        await create_tables(database)
        bank = Bank(
            database,
            trial.ledger,
            trial.history,
            reading={"prefer": "replica"},
            writing=SERIALIZABLE,
        )
        await trial.run(
            "PostgreSQL, reads from replicas: lag, kill -9, failover",
            [bank],
            lambda: asyncio.to_thread(next(turns)),
        )
        await trial.conclude(database)


async def on_galera(
    cluster: Galera, report: Report, seconds: float, *, waits: bool = False
) -> None:
    """Clients of two nodes, while one node after the other is killed and joins again.

    Those of one node use asyncmy, those of the other one aiomysql.

    Galera keeps transactions of different nodes apart only by the rows that they write, or read
    with FOR UPDATE: two that wrote the same row cannot both commit. Nothing serializes what is
    only read. What was committed on one node is shown by another one a moment later. So a client
    that went over to another node need not find there all that it saw or wrote, unless its session
    waits for it (wsrep_sync_wait). The latest of what was acknowledged on other nodes it need not
    see even then: now and then a read is behind by less than a millisecond.

    Args:
        cluster: in which the nodes are.
        report: what is told.
        seconds: how long it takes at least.
        waits: whether sessions wait for what was committed on other nodes.
    """
    name = f"bank_{time.monotonic_ns()}"
    cluster.create_database(name)
    trial = Trial(report, seconds, promised=(OWN_WRITES, MONOTONIC) if waits else ())
    victims = itertools.cycle(cluster.nodes)

    async def kill() -> None:
        node = next(victims)
        await asyncio.to_thread(node.kill)
        await recovery(cluster)
        await asyncio.to_thread(node.start)

    async with (
        Database(cluster.url_of(name)) as one,
        Database(of_driver(cluster.url_of(name, first=1), "mysql+aiomysql")) as other,
    ):
        await create_tables(one)
        await asyncio.to_thread(cluster.catch_up)
        banks = [
            Bank(database, trial.ledger, trial.history, locking="FOR UPDATE")
            for database in (one, other)
        ]
        sync = "wsrep_sync_wait=1" if waits else "wsrep_sync_wait=0 (default)"
        await trial.run(f"Galera: kill -9 of a node, {sync}", banks, kill)
        await asyncio.to_thread(cluster.catch_up)
        await trial.conclude(one)


def of_driver(url: str, scheme: str) -> str:
    """The URL of the same database by way of another driver."""
    return str(DatabaseURL(url).replace(scheme=scheme))


def sqlite(report: Report, seconds: float) -> None:
    asyncio.run(on_sqlite(report, seconds))


def postgresql(report: Report, seconds: float) -> None:
    with PostgreSQL() as server:
        asyncio.run(on_postgresql(server, server.create_database("bank"), report, seconds))


def replicas(report: Report, seconds: float) -> None:
    with ReplicatedPostgreSQL() as cluster:
        asyncio.run(on_replicas(cluster, report, seconds))


def galera(report: Report, seconds: float) -> None:
    for waits in (False, True):
        with Galera(configuration={"wsrep-sync-wait": str(int(waits))}) as cluster:
            asyncio.run(on_galera(cluster, report, seconds, waits=waits))


PLACES = {"sqlite": sqlite, "postgresql": postgresql, "replicas": replicas, "galera": galera}


def main(arguments: Sequence[str]) -> None:
    parser = options("bank", __doc__ or "")
    parser.add_argument("--seconds", type=float, default=60, help="for each database")
    parser.add_argument("--only", default=",".join(PLACES), help="such as sqlite,postgresql")
    chosen = parser.parse_args(arguments)
    report = Report()
    for name in chosen.only.split(","):
        PLACES[name](report, 3 if chosen.short else chosen.seconds)
    report.conclude()
