"""What it costs that the library can be watched, and what it costs to watch it: on a SQLite file.

Five ways: as it is, while nobody subscribes to the steps; the same without the lines that tell of
steps (contenders/hooks); with a subscriber that does nothing; with the inspector; and with a page
of it open, which reads its stream.

Two per cent cannot be seen from one process to the next. So it is measured twice. First by turns
within a process (contenders/on_databases_by_turns): hundreds of rounds of some milliseconds for
each way, in CPU time. What counts is the median of the ratios within a round, printed with the
interval in which it is with a probability of 95 %; "the same again" differs by nothing, and shows
how well this was measured. Several processes do that one after the other, because each has a layout
of memory and a hash seed of its own. Then, as in the other benchmarks, a process for each way, side
by side, in wall-clock time: with all that happens only now and then, such as the page.

    scripts/bench steps [--rounds 3] [--seconds 0.3] [--turns 15] [--processes 3] [--only point100]

All of it takes about two minutes.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from conductor.benchmark import Benchmark, Workload, chosen, options
from conductor.contender import ROOT, Contender, Kind, running
from conductor.report import Answers, median
from sqlite import execute, prepare

AS_IT_IS, AGAIN, WITHOUT_HOOKS = "nobody watches", "the same again", "no hooks"
SUBSCRIBER, INSPECTOR, PAGE = "a subscriber", "inspector", "its page open"

BY_TURNS = Kind("service", "contenders.on_databases_by_turns", "sqlite:///{}", ours=True)
KINDS = {
    way: Kind("service", "contenders.on_databases_watched", f"{way}|sqlite:///{{}}", ours=True)
    for way in (AS_IT_IS, WITHOUT_HOOKS, SUBSCRIBER, INSPECTOR, PAGE)
}

WORKLOADS = {
    "point100": Workload("point", 100, "one row by its key"),
    "point1": Workload("point", 1, "the same"),
    "core100": Workload("core", 100, "the same as a new SQLAlchemy Core expression"),
    "insert100": Workload("insert", 100, "one durable INSERT"),
    "tx50": Workload("transaction", 50, "a transaction: read a row that all share, write it"),
}
MEASURED_BY_TURNS = "point100"


class Limit(NamedTuple):
    """What a throughput, as a ratio to another one, has to reach."""

    ours: str
    other: str
    ratio: float
    why: str


LIMITS = [
    Limit(AS_IT_IS, WITHOUT_HOOKS, 0.98, "at most 2 % for what nobody uses"),
    Limit(INSPECTOR, AS_IT_IS, 0.80, "at most 25 % more time"),
]


def main() -> None:
    """Measure and print."""
    parser = options("scripts/bench steps", WORKLOADS)
    parser.set_defaults(rounds=3, seconds=0.3)
    parser.add_argument("--turns", type=float, default=15, help="seconds by turns, each process")
    parser.add_argument("--processes", type=int, default=3, help="that measure by turns")
    arguments = chosen(parser, WORKLOADS)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:

        def file_of(name: str) -> Path:
            return Path(folder) / f"{name}.db"

        def prepared(name: str) -> str:
            prepare(file_of(name), "wal")
            return str(file_of(name))

        if MEASURED_BY_TURNS in arguments.only:
            print_turns(by_turns(prepared("turns"), arguments.processes, arguments.turns))
        with running(KINDS, prepared) as contenders:
            benchmark = Benchmark(
                contenders, arguments.seconds, lambda name, sql: execute(file_of(name), sql)
            )
            wanted = {name: WORKLOADS[name] for name in WORKLOADS if name in arguments.only}
            print_processes(wanted, benchmark.figures(wanted, arguments.rounds))
            benchmark.conclude()


Rounds = list[dict[str, float]]
"""CPU seconds of an operation in each way, round by round."""


def by_turns(file: str, processes: int, seconds: float) -> list[Rounds]:
    """Have processes measure by turns, one after the other."""
    workload = WORKLOADS[MEASURED_BY_TURNS]
    found: list[Rounds] = []
    for number in range(processes):
        contender = Contender(BY_TURNS, BY_TURNS.address.format(file))
        try:
            contender.start()
            if number == 0:
                about = contender.introduction
                print(f"{about['library']}, Python {about['python']}, {about['below']}", flush=True)
            found.append(contender.ask(workload.operation, workload.tasks, seconds, 0)["rounds"])
        finally:
            contender.stop()
    return found


def print_turns(processes: list[Rounds]) -> None:
    """Print what was measured by turns, and whether it is what it has to be."""
    rounds = [each for some in processes for each in some]
    print(f"\n{MEASURED_BY_TURNS} by turns, CPU time of {len(processes)} processes\n")
    print(f"{'':18}{'us':>8}{'time':>9}   95 % of it         rounds   in each process")
    for way in (AS_IT_IS, AGAIN, WITHOUT_HOOKS, SUBSCRIBER, INSPECTOR):
        found = [each[way] for each in rounds if way in each]
        middle, low, high = interval(ratios(rounds, way, AS_IT_IS))
        each_process = ", ".join(
            f"{statistics.median(ratios(some, way, AS_IT_IS)):.3f}" for some in processes
        )
        print(
            f"{way:18}{statistics.median(found) * 1e6:>8.2f}{middle:>9.3f}"
            f"   {low:.3f} to {high:.3f}{len(found):>9}   {each_process}"
        )
    print()
    for limit in LIMITS:
        # A throughput is the reciprocal of a time.
        middle, low, high = interval(ratios(rounds, limit.other, limit.ours))
        print(
            f"{limit.ours + ' / ' + limit.other:32}{middle:.3f}x ({low:.3f} to {high:.3f})   "
            f"{'met    ' if middle >= limit.ratio else 'NOT MET'}  >= {limit.ratio:.2f}x "
            f"{limit.why}",
            flush=True,
        )


def ratios(rounds: Rounds, way: str, other: str) -> list[float]:
    """The times of a way in relation to those of another one in the same rounds."""
    return [each[way] / each[other] for each in rounds if way in each and other in each]


def interval(values: list[float]) -> tuple[float, float, float]:
    """The median of values, and the ends of its 95 % confidence interval.

    By rank, because nothing is known of how they are distributed: how many of n values are below
    the true median is binomial.
    """
    ordered = sorted(values)
    apart = 1.96 * math.sqrt(len(ordered)) / 2
    low = max(0, math.floor(len(ordered) / 2 - apart))
    return statistics.median(ordered), ordered[low], ordered[-1 - low]


def print_processes(workloads: dict[str, Workload], results: dict[str, Answers]) -> None:
    """Print what an operation took in each way, and its ratio to that of nobody watching."""
    print("\nMicroseconds for each operation, and times what it takes while nobody watches\n")
    print(f"{'':16}" + "".join(f"{name:>17}" for name in KINDS))
    for name in workloads:
        cells = []
        for way in KINDS:
            answers = results[name].get(way, [])
            base = results[name].get(AS_IT_IS, [])
            slower: list[Any] = [
                each["rate"] / our["rate"]
                for our, each in zip(answers, base, strict=False)
                if our is not None and each is not None
            ]
            ratio = statistics.median(slower) if slower else math.nan
            cells.append(f"{1e6 / median(answers, 'rate'):>9.1f} {ratio:>6.2f}x")
        print(f"{name:16}" + "".join(cells))


if __name__ == "__main__":
    main()
