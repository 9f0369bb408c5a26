"""The benchmarks on database servers, which differ in their contenders and bars alone.

The server waits for the disk, as it does by default, so that what an INSERT has answered survives a
loss of power. It has the same cores as the contenders. Each contender has a database of its own
with the same rows in it, and ten connections.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from contenders import queries

from conductor.benchmark import Benchmark, Workload, chosen, options
from conductor.contender import ROOT, Kind, running
from conductor.report import Bar, print_bars
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Unavailable

WORKLOADS = {
    "point1": Workload("point", 1, "one row by its key"),
    "point100": Workload("point", 100, "the same"),
    "core100": Workload("core", 100, "the same as a new SQLAlchemy Core expression"),
    "rows": Workload("rows", 4, "1,000 rows with fetch_all"),
    "insert100": Workload("insert", 100, "one durable INSERT"),
    "many": Workload("many", 1, "execute_many of 500 rows"),
    "tx50": Workload("transaction", 50, "a transaction: read a row FOR UPDATE, write it"),
    "iterate": Workload("iterate", 1, "1,000 rows with iterate"),
}

PATIENCE = 1.0
"""asyncio's queues, from which most peers lend, let a task that has just given a connection back
take it again: some of a hundred tasks never get one."""


def compare(
    prog: str,
    make: Callable[[], PostgreSQL] | Callable[[], MariaDB],
    kinds: Mapping[str, Kind],
    bars: Sequence[Bar],
    *,
    new_id: str,
    analyze: str,
) -> None:
    """Measure and print, as the command line wants it.

    Args:
        prog: the name of the benchmark.
        make: makes the server.
        kinds: the contenders; their addresses lack user, host, port and database.
        bars: what ours has to reach.
        new_id: how a key is declared that the server counts up.
        analyze: the statement that tells it how many users there are.
    """
    arguments = chosen(options(prog, WORKLOADS), WORKLOADS)
    with started(make) as server:

        def prepare(name: str) -> str:
            address = server.create_database(database_of(name)).partition("://")[2]
            for sql in [*queries.preparation(new_id, queries.COUNTERS), analyze]:
                execute(name, sql)
            return address

        def execute(name: str, sql: str) -> str:
            return server.execute(sql, database_of(name))

        print(f"Server: {server.name} {server.execute('SELECT version()').strip()}", flush=True)
        with running(kinds, prepare) as contenders:
            benchmark = Benchmark(contenders, arguments.seconds, execute, PATIENCE)
            benchmark.introduce()
            wanted = {name: WORKLOADS[name] for name in WORKLOADS if name in arguments.only}
            print_bars(bars, benchmark.figures(wanted, arguments.rounds))
            benchmark.conclude()


def database_of(contender: str) -> str:
    """The name of a contender's database, which an address can hold as it is."""
    return re.sub(r"\W+", "_", contender)


@contextmanager
def started(
    make: Callable[[], PostgreSQL] | Callable[[], MariaDB],
) -> Iterator[PostgreSQL | MariaDB]:
    """Run a server on a disk."""
    # Beside the repository's own files: /tmp may be in memory, where durable writes cost nothing.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        # The server's user has to come through to the folder of its own in here.
        Path(folder).chmod(0o755)
        usual, tempfile.tempdir = tempfile.tempdir, folder
        try:
            server = make()
        except Unavailable as reason:
            raise SystemExit(str(reason)) from None
        finally:
            tempfile.tempdir = usual
        if not server.folder.is_relative_to(folder):
            print(f"! The server's user cannot read {ROOT}: its data are in {server.folder}")
        with server:
            yield server
