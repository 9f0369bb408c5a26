"""Contenders measure in turns within a round; rounds follow each other.

What counts is the median of the rounds, and for a ratio the median of the ratios within each round
(``report``), because a busy machine changes from one round to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

from contenders import queries

from conductor.contender import Contender, ContenderError
from conductor.report import Answer, Answers, cell

LAG = "lag"
"""The operation whose figures are times; it has a table of its own."""


class Workload(NamedTuple):
    """An operation, repeated by a number of tasks; some need a longer time to be measured well."""

    operation: str
    tasks: int
    what: str
    longer: int = 1


class Benchmark:
    """Asks the contenders in turns, and keeps what went wrong.

    Args:
        contenders: those that were started.
        seconds: how long each measurement takes.
        execute: runs a statement on the database of the contender of a name; the one value that
            it returns, if it is a query.
        patience: seconds beyond its time for which a measurement waits until every task has had an
            answer: those that wait for a lock until they fail take long.
    """

    def __init__(
        self,
        contenders: dict[str, Contender],
        seconds: float,
        execute: Callable[[str, str], Any],
        patience: float = 15.0,
    ) -> None:
        self._contenders = contenders
        self._seconds = seconds
        self._patience = patience
        self._execute = execute
        self._failures: dict[str, str] = {}
        self._lost_updates: list[str] = []

    def introduce(self) -> None:
        """Print what is compared."""
        for name, contender in self._contenders.items():
            about = contender.introduction
            print(f"{name}: {about['library']}, Python {about['python']}, {about['below']}")

    def figures(self, workloads: Mapping[str, Workload], rounds: int) -> dict[str, Answers]:
        """Measure workloads one after another, and print the median of each contender."""
        print(f"\nOperations a second, medians of {rounds} rounds (! some failed)\n")
        print(f"{'':10}{'tasks':>6}" + "".join(f"{name:>17}" for name in self._contenders))
        results = {}
        for name, workload in workloads.items():
            results[name] = self.rounds(name, workload, rounds)
            if workload.operation == LAG:
                continue
            cells = [cell(results[name].get(other)) for other in self._contenders]
            print(f"{name:10}{workload.tasks:>6}{''.join(cells)}   {workload.what}", flush=True)
        return results

    def rounds(
        self, name: str, workload: Workload, rounds: int, left_out: Container[str] = ()
    ) -> Answers:
        """Measure a workload with all contenders that have it, in turns."""
        able = [
            other
            for other, contender in self._contenders.items()
            if workload.operation in contender.introduction["operations"] and other not in left_out
        ]
        answers: Answers = {other: [] for other in able}
        for _ in range(rounds):
            for other in able:
                answers[other].append(self._measured(name, other, workload))
        return answers

    def _measured(self, name: str, other: str, workload: Workload) -> Answer | None:
        title = f"{name}, {other}"
        counts = workload.operation == "transaction"
        if counts:
            self._execute(other, queries.CLEAR_COUNTERS)
        try:
            seconds = self._seconds * workload.longer
            answer = self._contenders[other].ask(
                workload.operation, workload.tasks, seconds, self._patience
            )
        except ContenderError as error:
            self._failures[title] = str(error)
            return None
        if answer["errors"]:
            share = f"{answer['errors']:,} of {answer['answers']:,}"
            self._failures[title] = f"{share} failed in a round: {answer['first_error']}"
        elif answer["unanswered"]:
            share = f"{answer['unanswered']} of {workload.tasks}"
            self._failures[title] = f"{share} tasks were never answered in a round"
        if counts:
            counted = int(self._execute(other, queries.SUM_OF_COUNTERS))
            if counted != answer["successes_in_all"]:
                self._lost_updates.append(
                    f"{title}: {answer['successes_in_all']} succeeded, {counted} were kept"
                )
        return answer

    def conclude(self) -> None:
        """Print what failed, if anything did; lost updates end the benchmark as an error."""
        if self._failures:
            print("\n! What failed\n")
        for title, failure in self._failures.items():
            print(f"{title}: {failure}")
        if self._lost_updates:
            raise SystemExit("Updates were lost: " + "; ".join(self._lost_updates))


def options(prog: str, names: Iterable[str]) -> argparse.ArgumentParser:
    """The options of a benchmark that has measurements of these names."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="for each measurement")
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join(names)}")
    return parser


def chosen(parser: argparse.ArgumentParser, names: Iterable[str]) -> argparse.Namespace:
    """Read the command line; ``only`` is a list of names."""
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",") if arguments.only else [*names]
    if unknown := set(arguments.only) - {*names}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if sys.version_info < (3, 12):
        print("Python 3.12 or later is expected: the figures of this one say little")
    return arguments
