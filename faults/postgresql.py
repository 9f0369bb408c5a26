"""PostgreSQL: kill -9 of the primary, and promotion of a synchronous replica, under load.

    scripts/faults postgresql [--rounds 20] [--clients 20] [--driver asyncpg|psycopg] [--short]

A commit waits for one of two replicas; the one that has received most is promoted. From the
moment in which it takes writes all clients must have written again within two seconds. After each
round the killed one joins again as a replica, under load. In the end the primary must have every
row that was acknowledged, and none twice, and so must the replicas once they have caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from databases import Database, DatabaseURL
from faults.evidence import ledger
from faults.evidence.failovers import WITHIN, fail_over
from faults.evidence.report import Report, options
from tests.servers.replicated_postgresql import Node, ReplicatedPostgreSQL

DRIVERS = {"asyncpg": "postgresql", "psycopg": "postgresql+psycopg"}


async def kill_primaries(
    cluster: ReplicatedPostgreSQL,
    driver: str,
    rounds: int,
    clients: int,
    report: Report,
    within: float = WITHIN,
) -> None:
    """Kill primaries under load, and report what became of the clients and their rows."""
    killed: list[Node] = []

    async def strike(database: Database) -> float:
        killed.append(await asyncio.to_thread(cluster.fail_over))
        return time.monotonic()

    async def mend() -> None:
        await asyncio.to_thread(cluster.rejoin, killed.pop())

    def kept(database: str) -> Iterator[tuple[str, Iterator[int]]]:
        cluster.catch_up()
        for node in cluster.nodes:
            yield str(node), map(int, node.execute(ledger.NUMBERS, database).split())

    name = f"ledger_{driver}"
    cluster.primary.create_database(name)
    url = str(DatabaseURL(cluster.url_of(name)).replace(scheme=DRIVERS[driver]))
    await fail_over(
        report,
        f"kill -9 of the primary, {driver}",
        url,
        rounds=rounds,
        clients=clients,
        strike=strike,
        mend=mend,
        kept=kept,
        within=within,
    )


def main(arguments: Sequence[str]) -> None:
    parser = options("postgresql", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--driver", choices=DRIVERS, help="both by default")
    chosen = parser.parse_args(arguments)
    rounds = 2 if chosen.short else chosen.rounds
    report = Report()
    with ReplicatedPostgreSQL() as cluster:
        for driver in [chosen.driver] if chosen.driver else DRIVERS:
            asyncio.run(kill_primaries(cluster, driver, rounds, chosen.clients, report))
    report.conclude()
