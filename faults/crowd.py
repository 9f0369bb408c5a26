"""10,000 tasks on 10 connections for 5 minutes: first come, first served, and memory stays flat.

    scripts/faults crowd [--short] [--tasks N] [--seconds N] [BACKEND ...]

The backends are asyncpg, asyncmy and file (SQLite's queue for the right to write, with a tenth of
the tasks), and psycopg and aiomysql where they are named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from databases import Database
from faults.evidence.crowd import Crowd, prepare
from faults.evidence.places import at
from faults.evidence.process import Watch
from faults.evidence.report import Report, options
from tests.library.kinds import AIOMYSQL, ASYNCMY, ASYNCPG, FILE, PSYCOPG, Kind
from tests.library.places import Place, of_driver

_KINDS = (ASYNCPG, ASYNCMY, FILE, PSYCOPG, AIOMYSQL)
_USUAL = ("asyncpg", "asyncmy", "file")

_GROWTH = 20.0
"""Megabytes that the process may grow by once it is warm."""


def main(arguments: Sequence[str]) -> None:
    """Run it."""
    parser = options("crowd", __doc__ or "")
    parser.add_argument("backends", nargs="*", metavar="BACKEND", default=_USUAL)
    parser.add_argument("--tasks", type=int, help="how many there are (10,000)")
    parser.add_argument("--seconds", type=float, help="for how long they come (300)")
    asked = parser.parse_args(arguments)
    tasks = asked.tasks or (2_000 if asked.short else 10_000)
    seconds = asked.seconds or (2.0 if asked.short else 300.0)
    report = Report()
    for kind in _KINDS:
        if str(kind) in asked.backends:
            with at(kind) as place:
                few = tasks // 10 if kind is FILE else tasks
                asyncio.run(crowd(report, kind, place, few, seconds))
    report.conclude()


async def crowd(report: Report, kind: Kind, place: Place, tasks: int, seconds: float) -> None:
    """Let a crowd come to one database."""
    # Open from the beginning: who opens a connection waits for that one alone.
    size: dict[str, Any] = {} if kind is FILE else {"min_size": 10}
    async with Database(of_driver(place.url, kind.scheme), **size) as database:
        await prepare(database, tasks)
        async with Watch() as watch:
            served = await Crowd(kind, database, tasks).run(seconds)
    broken = list(dict.fromkeys(served.wrong))[:5]
    if served.overtaken:
        broken.append(f"{served.overtaken} were served before others who had come earlier")
    if served.refused:
        broken.append(f"{served.refused} were refused, with {served.longest:.1f} s to wait at most")
    if watch.growth > _GROWTH:
        broken.append(f"memory grew by {watch.growth:.0f} MB")
    report.add(f"a crowd, {kind}", served.turns, watch.seen[-1].seconds, str(served), broken)
    for needs in watch.seen[:: max(1, len(watch.seen) // 10)]:
        print(f"{'':4}after {needs.seconds:5.0f} s: {needs}", flush=True)
