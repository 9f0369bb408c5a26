"""This library on a SQLite file beside its peers, and beside the limit: synchronous sqlite3.

Each contender is a process with a file of its own, with the same rows in it, and synchronous=FULL,
so that what an INSERT has answered survives a loss of power. Ours and databases 0.9.0 have the file
as they make it themselves: in WAL mode, and with SQLite's older rollback journal. The others, who
leave that choice to their users, have it in WAL mode, and so has databases 0.9.0 a second time.
"Threads alone" is ours without its fast lane.
They measure in turns within a round. What counts is the median of the rounds, and for a ratio the
median of the ratios within each round, because a busy machine changes from one round to the next.

    scripts/bench sqlite [--rounds 5] [--seconds 1] [--only point1,insert100] [--no-chart]

Without --only it ends with the chart docs/sqlite-throughput.svg; --only chart draws that alone.
All of it takes about eight minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contender_process import ROOT, Contender, ContenderError
from sqlite_contenders import queries
from throughput_chart import Chart, Panel

CHART = ROOT / "docs" / "sqlite-throughput.svg"
CHART_TASKS = [1, 10, 100, 1_000]
CHART_ROUNDS = 3

OURS, OURS_NO_LANE = "databases-next", "threads alone"
ORIGINAL, ORIGINAL_WAL = "databases 0.9.0", "0.9.0 in WAL"
AIOSQLITE, SQLALCHEMY, LIMIT = "aiosqlite", "SQLAlchemy", "sqlite3"

MODULES = {
    OURS: ("service", "sqlite_contenders.on_databases"),
    OURS_NO_LANE: ("service", "sqlite_contenders.on_databases_without_lane"),
    ORIGINAL: ("peer-databases-0.9", "sqlite_contenders.on_databases"),
    ORIGINAL_WAL: ("peer-databases-0.9", "sqlite_contenders.on_databases"),
    AIOSQLITE: ("peer-aiosqlite", "sqlite_contenders.on_aiosqlite"),
    SQLALCHEMY: ("peer-aiosqlite", "sqlite_contenders.on_sqlalchemy"),
    LIMIT: ("service", "sqlite_contenders.on_sqlite3"),
}


class Workload(NamedTuple):
    """An operation, repeated by a number of tasks; some need a longer time to be measured well."""

    operation: str
    tasks: int
    what: str
    longer: int = 1


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


class Bar(NamedTuple):
    """How many times the figure of another contender ours has to reach."""

    workload: str
    other: str
    ratio: float
    note: str = ""


NO_ERRORS = "without errors"
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
    Bar("lag", ORIGINAL, 0.25),
    Bar("lag", OURS_NO_LANE, 1, "the fast lane is not visible as lag"),
]

Answer = Mapping[str, Any]
Answers = dict[str, list[Answer | None]]
"""What each contender answered in each round; None where it failed."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="for each measurement")
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join([*WORKLOADS, 'chart'])}")
    parser.add_argument("--no-chart", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else [*WORKLOADS, "chart"]
    if unknown := set(chosen) - {*WORKLOADS, "chart"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if sys.version_info < (3, 12):
        print("Python 3.12 or later is expected: the figures of this one say little")
    with contenders() as running:
        benchmark = Benchmark(running, arguments.seconds)
        benchmark.introduce()
        names = [name for name in WORKLOADS if name in chosen]
        if names:
            results = benchmark.figures(names, arguments.rounds)
            print_lag(results)
            print_bars(results)
        if "chart" in chosen and not arguments.no_chart:
            CHART.write_text(benchmark.chart().svg(), encoding="utf-8")
            print(f"\nDrew {CHART.relative_to(ROOT)}")
        benchmark.print_failures()
    if benchmark.lost_updates:
        raise SystemExit("Updates were lost: " + "; ".join(benchmark.lost_updates))


@contextmanager
def contenders() -> Iterator[dict[str, Contender]]:
    """Start every contender, on a file of its own."""
    running: dict[str, Contender] = {}
    # Beside the repository's own files: /tmp may be in memory, where durable writes cost nothing.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        try:
            for name, (environment, module) in MODULES.items():
                database = Path(folder) / f"{name}.db"
                prepare(database, "delete" if name == ORIGINAL else "wal")
                path = [ROOT] if name in (OURS, OURS_NO_LANE) else []
                running[name] = Contender(environment, module, path, database)
                try:
                    running[name].start()
                except ContenderError as error:
                    raise SystemExit(f"{name} does not start: it {error}") from error
            yield running
        finally:
            for contender in running.values():
                contender.stop()


def prepare(database: Path, journal_mode: str) -> None:
    """Make the file, with its tables, users and the counter."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.executescript(queries.SCHEMA)
        numbers = range(1, queries.USERS + 1)
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, ?)",
            [(number, f"User {number}", f"user{number}@example.org") for number in numbers],
        )
        connection.execute("INSERT INTO counters VALUES (?, 0)", (queries.COUNTER,))
        connection.commit()


class Benchmark:
    """Asks the contenders in turns, and keeps what went wrong.

    Args:
        contenders: those that were started.
        seconds: how long each measurement takes.
    """

    def __init__(self, contenders: dict[str, Contender], seconds: float) -> None:
        self.lost_updates: list[str] = []
        self._contenders = contenders
        self._seconds = seconds
        self._failures: dict[str, str] = {}

    def introduce(self) -> None:
        """Print what is compared."""
        for name, contender in self._contenders.items():
            about = contender.introduction
            print(f"{name}: {about['library']}, Python {about['python']}, SQLite {about['sqlite']}")

    def figures(self, names: list[str], rounds: int) -> dict[str, Answers]:
        """Measure the workloads one after another, and print the median of each contender."""
        print(f"\nOperations a second, medians of {rounds} rounds (! some failed)\n")
        print(f"{'':10}{'tasks':>6}" + "".join(f"{name:>17}" for name in self._contenders))
        results = {}
        for name in names:
            workload = WORKLOADS[name]
            results[name] = self.rounds(name, workload, rounds)
            if name == "lag":
                continue  # it has a table of its own
            cells = [cell(results[name].get(other)) for other in self._contenders]
            print(f"{name:10}{workload.tasks:>6}{''.join(cells)}   {workload.what}", flush=True)
        return results

    def rounds(
        self, name: str, workload: Workload, rounds: int, left_out: Container[str] = ()
    ) -> Answers:
        """Measure a workload with all contenders that have it, in turns."""
        able = {
            other: contender
            for other, contender in self._contenders.items()
            if workload.operation in contender.introduction["operations"] and other not in left_out
        }
        answers: Answers = {other: [] for other in able}
        for _ in range(rounds):
            for other, contender in able.items():
                answers[other].append(self._measured(f"{name}, {other}", contender, workload))
        return answers

    def _measured(self, title: str, contender: Contender, workload: Workload) -> Answer | None:
        seconds = self._seconds * workload.longer
        counts = workload.operation == "transaction"
        if counts:
            counter(contender.database, "UPDATE counters SET value = 0 RETURNING value")
        try:
            answer = contender.ask(workload.operation, workload.tasks, seconds)
        except ContenderError as error:
            self._failures[title] = str(error)
            return None
        if answer["errors"]:
            share = f"{answer['errors']:,} of {answer['answers']:,}"
            self._failures[title] = f"{share} failed in a round: {answer['first_error']}"
        if counts:
            value = counter(contender.database, "SELECT value FROM counters")
            if value != answer["successes_in_all"]:
                self.lost_updates.append(
                    f"{title}: {answer['successes_in_all']} succeeded, {value} are in the file"
                )
        return answer

    def print_failures(self) -> None:
        """Print what failed, if anything did."""
        if self._failures:
            print("\n! What failed\n")
        for title, failure in self._failures.items():
            print(f"{title}: {failure}")

    def chart(self) -> Chart:
        """Measure what the chart shows."""
        about = self._contenders[OURS].introduction
        machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
        versions = f"Python {about['python']}, SQLite {about['sqlite']}"
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
                Panel("Reading one row by its key", self._lines("point")),
                Panel("Adding one row", self._lines("insert")),
            ],
        )

    def _lines(self, operation: str) -> dict[str, list[float]]:
        lines: dict[str, list[float]] = {}
        for tasks in CHART_TASKS:
            workload = Workload(operation, tasks, "")
            title = f"chart, {operation}{tasks}"
            variants = (OURS_NO_LANE, ORIGINAL_WAL)
            answers = self.rounds(title, workload, CHART_ROUNDS, left_out=variants)
            for name, each in answers.items():
                lines.setdefault(name, []).append(median(each, "rate"))
        # It has no tasks, so that these are figures for one and the same thing.
        lines[LIMIT] = [statistics.median(lines[LIMIT])] * len(CHART_TASKS)
        return lines


def counter(database: Path, sql: str) -> int:
    """Run a statement on the counter that transactions count up; its value."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        return connection.execute(sql).fetchall()[0][0]


def median(answers: list[Answer | None], figure: str) -> float:
    """The median of a figure over the rounds that went well; not a number if there are none."""
    known = [answer[figure] for answer in answers if answer is not None]
    return statistics.median(known) if known else math.nan


def cell(answers: list[Answer | None] | None) -> str:
    """A median with a mark where something failed, or a dash."""
    if answers is None:
        return f"{'-':>16} "
    failed = any(answer is None or answer["errors"] for answer in answers)
    return f"{readable(median(answers, 'rate')):>16}{'!' if failed else ' '}"


def readable(number: float) -> str:
    """A number with as many digits as mean something."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def print_lag(results: dict[str, Answers]) -> None:
    """Print how late the event loops were."""
    if "lag" not in results:
        return
    print(f"\nHow late the event loop woke up, ms\n\n{'':18}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, answers in results["lag"].items():
        figures = "".join(f"{median(answers, each):>9.2f}" for each in ("p50", "p99", "max"))
        print(
            f"{name:18}{figures}   with {readable(median(answers, 'rate'))} single reads a second"
        )


def print_bars(results: dict[str, Answers]) -> None:
    """Print the ratios that matter, and whether they are what they have to be."""
    print("\nOurs against others, medians of the ratios within a round\n")
    for bar in BARS:
        if bar.workload not in results:
            continue
        answers = results[bar.workload]
        lag = bar.workload == "lag"
        ratio = median_ratio(answers[OURS], answers[bar.other], "p99" if lag else "rate")
        met = ratio <= bar.ratio if lag else ratio >= bar.ratio
        if bar.note == NO_ERRORS:
            met = met and all(
                answer is not None and not answer["errors"] for answer in answers[OURS]
            )
        title = f"{bar.workload}{', p99' if lag else ''} / {bar.other}"
        wanted = f"{'<=' if lag else '>='} {bar.ratio:g}x {bar.note}".rstrip()
        print(f"{title:30}{readable(ratio):>8}x   {'met    ' if met else 'NOT MET'}  {wanted}")


def median_ratio(ours: list[Answer | None], theirs: list[Answer | None], figure: str) -> float:
    """The median of the ratios of rounds in which both went well; not a number without any."""
    ratios = [
        our[figure] / their[figure] if their[figure] else math.inf
        for our, their in zip(ours, theirs, strict=True)
        if our is not None and their is not None
    ]
    return statistics.median(ratios) if ratios else math.nan


if __name__ == "__main__":
    main()
