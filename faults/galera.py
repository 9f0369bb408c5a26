"""Galera: kill -9 of the node that clients write to, under load.

    scripts/faults galera [--rounds 10] [--clients 20] [--default-timeouts] [--short]

The cluster has recovered when both nodes that are left know that they are two, and take statements
again (wsrep_cluster_status, wsrep_ready); from that moment on all clients must have written again
within two seconds. After each round the node joins again, under load. In the end all three nodes
must have every row that was acknowledged, and none twice.

Galera misses a node after evs.suspect_timeout: five seconds by default, one in the tests' own
settings. Both are measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from databases import Database
from faults.evidence import ledger
from faults.evidence.failovers import WITHIN, fail_over
from faults.evidence.report import Report, options
from tests.servers.galera import QUICK, Galera, GaleraNode


async def recovery(cluster: Galera) -> float:
    """Wait until the nodes that are left are a cluster again; the moment."""
    left = cluster.running
    wanted = {"wsrep_cluster_size": str(len(left)), "wsrep_ready": "ON"}
    wanted |= {"wsrep_cluster_status": "Primary"}
    async with asyncio.timeout(60):
        for node in left:
            while not wanted.items() <= (await asyncio.to_thread(node.status)).items():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    return time.monotonic()


async def written_to(cluster: Galera, database: Database) -> GaleraNode:
    """The node that the clients of a database write to."""
    port = await database.fetch_val("SELECT @@port")
    (node,) = [node for node in cluster.nodes if node.port == port]
    return node


async def kill_nodes(
    cluster: Galera,
    url: str,
    fault: str,
    rounds: int,
    clients: int,
    report: Report,
    within: float = WITHIN,
) -> None:
    """Kill nodes under load, and report what became of the clients and their rows."""
    killed: list[GaleraNode] = []

    async def strike(database: Database) -> float:
        node = await written_to(cluster, database)
        await asyncio.to_thread(node.kill)
        killed.append(node)
        return await recovery(cluster)

    async def mend() -> None:
        await asyncio.to_thread(killed.pop().start)

    def kept(database: str) -> Iterator[tuple[str, Iterator[int]]]:
        cluster.catch_up()
        for number, node in enumerate(cluster.nodes, 1):
            numbers = node.execute(ledger.NUMBERS, database).split()
            yield f"node {number}", map(int, numbers)

    await fail_over(
        report,
        fault,
        url,
        rounds=rounds,
        clients=clients,
        strike=strike,
        mend=mend,
        kept=kept,
        within=within,
    )


def main(arguments: Sequence[str]) -> None:
    parser = options("galera", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument(
        "--default-timeouts", action="store_true", help="those of Galera alone, not ours as well"
    )
    chosen = parser.parse_args(arguments)
    rounds = 1 if chosen.short else chosen.rounds
    report = Report()
    both = [("evs.suspect_timeout 1 s", QUICK), ("evs.suspect_timeout 5 s (default)", {})]
    if chosen.short:
        both = both[:1]
    elif chosen.default_timeouts:
        both = both[1:]
    for title, provider in both:
        with Galera(provider) as cluster:
            url = cluster.create_database("faults")
            fault = f"kill -9 of a node, {title}"
            asyncio.run(kill_nodes(cluster, url, fault, rounds, chosen.clients, report))
    report.conclude()
