"""Patroni: kill -9 of the primary and of its Patroni; the others decide who follows. Minutes.

    scripts/faults patroni [--rounds 5] [--clients 20]

Three PostgreSQL servers run by Patroni, with an etcd, synchronous_mode, ttl 10 s: the others miss a
primary that was killed after about 20 s. From the moment in which one of them takes writes all
clients must have written again within two seconds. Needs Debian's etcd-server and python3-venv.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from databases import Database
from faults.evidence import ledger
from faults.evidence.failovers import fail_over
from faults.evidence.report import Report, options
from tests.servers.patroni import Patroni, PatroniNode


async def kill_primaries(cluster: Patroni, rounds: int, clients: int, report: Report) -> None:
    """Kill primaries under load, and report what became of the clients and their rows."""
    killed: list[PatroniNode] = []

    async def strike(database: Database) -> float:
        node = await asyncio.to_thread(cluster.primary)
        assert node is not None
        await asyncio.to_thread(node.kill)
        killed.append(node)
        await asyncio.to_thread(cluster.wait_for_primary)
        return time.monotonic()

    async def mend() -> None:
        await asyncio.to_thread(killed.pop().start)
        await asyncio.to_thread(cluster.wait_until_well)

    def kept(database: str) -> Iterator[tuple[str, Iterator[int]]]:
        primary = cluster.primary()
        assert primary is not None
        yield "the primary", map(int, primary.psql.execute(ledger.NUMBERS, database).split())

    await fail_over(
        report,
        "kill -9 of the primary, Patroni",
        cluster.url,
        rounds=rounds,
        clients=clients,
        strike=strike,
        mend=mend,
        kept=kept,
    )


def main(arguments: Sequence[str]) -> None:
    parser = options("patroni", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=20)
    chosen = parser.parse_args(arguments)
    report = Report()
    with Patroni() as cluster:
        rounds = 1 if chosen.short else chosen.rounds
        asyncio.run(kill_primaries(cluster, rounds, chosen.clients, report))
    report.conclude()
