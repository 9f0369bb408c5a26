"""Figures of several rounds as medians; ratios, and whether they are what they have to be."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Answer = Mapping[str, Any]
Answers = dict[str, list[Answer | None]]
"""What each contender answered in each round; None where it failed."""

NO_ERRORS = "without errors"


class Bar(NamedTuple):
    """How many times the figure of another contender ours has to reach, or may at most.

    A rate has to be reached; any other figure is a time, of which less is better.
    """

    workload: str
    other: str
    ratio: float
    note: str = ""
    ours: str = "databases-next"
    figure: str = "rate"


def print_bars(bars: Iterable[Bar], results: Mapping[str, Answers]) -> None:
    """Print the ratios that matter, and whether they are what they have to be."""
    print("\nOurs against others, medians of the ratios within a round\n")
    for bar in bars:
        if bar.workload not in results:
            continue
        answers = results[bar.workload]
        at_most = bar.figure != "rate"
        ours, others = answers.get(bar.ours, []), answers.get(bar.other, [])
        ratio = median_ratio(ours, others, bar.figure)
        met = ratio <= bar.ratio if at_most else ratio >= bar.ratio
        if bar.note == NO_ERRORS:
            met = met and all(answer is not None and not answer["errors"] for answer in ours)
        figure = f", {bar.figure}" if at_most else ""
        title = f"{bar.workload}{figure}: {bar.ours} / {bar.other}"
        wanted = f"{'<=' if at_most else '>='} {bar.ratio:g}x {bar.note}".rstrip()
        print(f"{title:50}{readable(ratio):>8}x   {'met    ' if met else 'NOT MET'}  {wanted}")


def median(answers: list[Answer | None], figure: str) -> float:
    """The median of a figure over the rounds that went well; not a number if there are none."""
    known = [answer[figure] for answer in answers if answer is not None]
    return statistics.median(known) if known else math.nan


def median_ratio(ours: list[Answer | None], theirs: list[Answer | None], figure: str) -> float:
    """The median of the ratios of rounds in which both went well; not a number without any."""
    ratios = [
        our[figure] / their[figure] if their[figure] else math.inf
        for our, their in zip(ours, theirs, strict=False)
        if our is not None and their is not None
    ]
    return statistics.median(ratios) if ratios else math.nan


def cell(answers: list[Answer | None] | None) -> str:
    """A median with a mark where something failed, or a dash."""
    if answers is None:
        return f"{'-':>16} "
    failed = any(answer is None or answer["errors"] for answer in answers)
    return f"{readable(median(answers, 'rate')):>16}{'!' if failed else ' '}"


def readable(number: float) -> str:
    """A number with as many digits as mean something."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
