"""This library on a SQLite file beside its peers, and beside the limit: synchronous sqlite3.

Each contender is a process with a file of its own, with the same rows in it, and synchronous=FULL,
so that what an INSERT has answered survives a loss of power. Ours and databases 0.9.0 have the file
as they make it themselves: in WAL mode, and with SQLite's older rollback journal. The others, who
leave that choice to their users, have it in WAL mode, and so has databases 0.9.0 a second time.
"Threads alone" is ours without its fast lane.
How it is measured: benchmarks/conductor.

    scripts/bench sqlite [--rounds 5] [--seconds 1] [--only point1,insert100] [--no-chart]

Without --only it ends with the chart docs/sqlite-throughput.svg; --only chart draws that alone.
All of it takes about eight minutes.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from conductor.benchmark import LAG, Benchmark, Workload, chosen, options
from conductor.contender import ROOT, Contender, Kind, running
from conductor.report import NO_ERRORS, Answers, Bar, median, print_bars, readable
from conductor.throughput_chart import Chart, Panel
from contenders import queries

CHART = ROOT / "docs" / "sqlite-throughput.svg"
CHART_TASKS = [1, 10, 100, 1_000]
CHART_ROUNDS = 3

OURS, OURS_NO_LANE = "databases-next", "threads alone"
ORIGINAL, ORIGINAL_WAL = "databases 0.9.0", "0.9.0 in WAL"
AIOSQLITE, SQLALCHEMY, LIMIT = "aiosqlite", "SQLAlchemy", "sqlite3"

KINDS = {
    OURS: Kind("service", "contenders.on_databases", "sqlite:///{}", ours=True),
    OURS_NO_LANE: Kind(
        "service", "contenders.on_databases_without_lane", "sqlite:///{}", ours=True
    ),
    ORIGINAL: Kind("peer-databases-0.9", "contenders.on_databases", "sqlite:///{}"),
    ORIGINAL_WAL: Kind("peer-databases-0.9", "contenders.on_databases", "sqlite:///{}"),
    AIOSQLITE: Kind("peer-aiosqlite", "contenders.on_aiosqlite"),
    SQLALCHEMY: Kind("peer-aiosqlite", "contenders.on_sqlalchemy", "sqlite+aiosqlite:///{}"),
    LIMIT: Kind("service", "contenders.on_sqlite3"),
}

WORKLOADS = {
    "point1": Workload("point", 1, "one row by its key"),
    "point100": Workload("point", 100, "the same"),
    "core100": Workload("core", 100, "the same as a new SQLAlchemy Core expression"),
    "rows": Workload("rows", 4, "1,000 rows with fetch_all"),
    "insert1": Workload("insert", 1, "one durable INSERT"),
    "insert100": Workload("insert", 100, "the same"),
    "many": Workload("many", 1, "execute_many of 500 rows"),
    "tx50": Workload("transaction", 50, "a transaction: read a row that all share, write it"),
    "iterate": Workload("iterate", 1, "1,000 rows with iterate"),
    "lag": Workload("lag", 12, "how late a loop wakes up that reads all the time", longer=3),
}

BARS = [
    Bar("point1", ORIGINAL, 10),
    Bar("point1", ORIGINAL, 100, "with the fast lane"),
    Bar("point1", LIMIT, 0.4),
    Bar("point100", ORIGINAL, 100),
    Bar("point100", AIOSQLITE, 5),
    Bar("point100", LIMIT, 0.4),
    Bar("core100", ORIGINAL, 20),
    Bar("rows", ORIGINAL, 4),
    Bar("rows", LIMIT, 0.6),
    Bar("insert1", ORIGINAL, 4),
    Bar("insert1", LIMIT, 0.6),
    Bar("insert100", ORIGINAL, 200, NO_ERRORS),
    Bar("insert100", LIMIT, 8),
    Bar("many", ORIGINAL, 200),
    Bar("tx50", ORIGINAL, 150, NO_ERRORS),
    Bar("iterate", ORIGINAL, 5),
    # The 99th percentile: at most.
    Bar("lag", ORIGINAL, 0.25, figure="p99"),
    Bar("lag", OURS_NO_LANE, 1, "the fast lane is not visible as lag", figure="p99"),
]


def main() -> None:
    """Measure and print."""
    names = [*WORKLOADS, "chart"]
    parser = options("scripts/bench sqlite", names)
    parser.add_argument("--no-chart", action="store_true")
    arguments = chosen(parser, names)
    # Beside the repository's own files: /tmp may be in memory, where durable writes cost nothing.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:

        def file_of(name: str) -> Path:
            return Path(folder) / f"{name}.db"

        def prepared(name: str) -> str:
            prepare(file_of(name), "delete" if name == ORIGINAL else "wal")
            return str(file_of(name))

        with running(KINDS, prepared) as contenders:
            benchmark = Benchmark(
                contenders, arguments.seconds, lambda name, sql: execute(file_of(name), sql)
            )
            benchmark.introduce()
            wanted = {name: WORKLOADS[name] for name in WORKLOADS if name in arguments.only}
            if wanted:
                results = benchmark.figures(wanted, arguments.rounds)
                print_lag(results)
                print_bars(BARS, results)
            if "chart" in arguments.only and not arguments.no_chart:
                drawn = chart(benchmark, contenders[OURS])
                CHART.write_text(drawn.svg(), encoding="utf-8")
                print(f"\nDrew {CHART.relative_to(ROOT)}")
            benchmark.conclude()


def prepare(database: Path, journal_mode: str) -> None:
    """Make the file, with its tables, users and the counter."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        for sql in queries.preparation("INTEGER PRIMARY KEY", counters=1):
            connection.execute(sql)
        connection.commit()


def execute(database: Path, sql: str) -> Any:
    """Run a statement; the one value that it returns, if it is a query."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        row = connection.execute(sql).fetchone()
        return row and row[0]


def chart(benchmark: Benchmark, ours: Contender) -> Chart:
    """Measure what the chart shows."""
    about = ours.introduction
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    versions = f"Python {about['python']}, {about['below']}"
    return Chart(
        title="Throughput of one process on a SQLite file",
        subtitle=[
            "Durable writes (synchronous=FULL) to files in WAL mode; databases 0.9.0 with its "
            "default, the rollback journal.",
            f"Dashed: sqlite3 without an event loop. {versions}, {machine}. "
            f"Medians of {CHART_ROUNDS} rounds.",
        ],
        tasks=CHART_TASKS,
        emphasised=OURS,
        limit=LIMIT,
        panels=[
            Panel("Reading one row by its key", lines(benchmark, "point")),
            Panel("Adding one row", lines(benchmark, "insert")),
        ],
    )


def lines(benchmark: Benchmark, operation: str) -> dict[str, list[float]]:
    """Measure an operation with each number of tasks; the rates of each contender."""
    found: dict[str, list[float]] = {}
    for tasks in CHART_TASKS:
        workload = Workload(operation, tasks, "")
        title = f"chart, {operation}{tasks}"
        variants = (OURS_NO_LANE, ORIGINAL_WAL)
        answers = benchmark.rounds(title, workload, CHART_ROUNDS, left_out=variants)
        for name, each in answers.items():
            found.setdefault(name, []).append(median(each, "rate"))
    # It has no tasks, so that these are figures for one and the same thing.
    found[LIMIT] = [statistics.median(found[LIMIT])] * len(CHART_TASKS)
    return found


def print_lag(results: dict[str, Answers]) -> None:
    """Print how late the event loops were."""
    if LAG not in results:
        return
    print(f"\nHow late the event loop woke up, ms\n\n{'':18}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, answers in results[LAG].items():
        figures = "".join(f"{median(answers, each):>9.2f}" for each in ("p50", "p99", "max"))
        print(
            f"{name:18}{figures}   with {readable(median(answers, 'rate'))} single reads a second"
        )


if __name__ == "__main__":
    main()
