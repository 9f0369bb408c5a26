"""Cancellations at any moment, 100,000 on each backend: nothing is lost, mixed up or left behind.

    scripts/faults cancel [--short] [--cancellations N] [--seed N] [BACKEND ...]

The backends are file and memory (SQLite), asyncpg, psycopg, asyncmy and aiomysql.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from faults.evidence.cancellation_storm import CancellationStorm
from faults.evidence.places import at
from faults.evidence.process import Watch
from faults.evidence.report import Report, options
from tests.library.kinds import ALL, Kind
from tests.library.places import Place, of_driver

_GROWTH = 30.0
"""Megabytes that the process may grow by once it is warm: a connection that is lost needs some 50
kB, so a thousandth of all cancellations would be seen."""


def main(arguments: Sequence[str]) -> None:
    """Run it."""
    parser = options("cancel", __doc__ or "")
    names = [str(kind) for kind in ALL]
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help=" ".join(names))
    parser.add_argument("--cancellations", type=int, help="on each backend (100,000)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    if stray := set(asked.backends) - set(names):
        parser.error(f"no backend {' '.join(stray)}; there are: {' '.join(names)}")
    count = asked.cancellations or (500 if asked.short else 100_000)
    report = Report()
    for kind in ALL:
        if str(kind) in (asked.backends or names):
            with at(kind) as place:
                asyncio.run(storm(report, kind, place, count, asked.seed))
    report.conclude()


async def storm(report: Report, kind: Kind, place: Place, count: int, seed: int) -> None:
    """Let the storm go over one backend."""
    fault = f"cancelled at any moment, {kind}"
    running = CancellationStorm(kind, place, of_driver(place.url, kind.scheme), seed)
    counts = running.counts
    broken: list[str] = []
    async with Watch() as watch:
        try:
            await running.run(count)
        except AssertionError as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            broken.append(f"{error!r} from {error.__cause__!r}\n{notes}")
    if watch.growth > _GROWTH:
        broken.append(f"memory grew by {watch.growth:.0f} MB")
    report.add(fault, counts.cancellations, counts.seconds, str(counts), broken)
    print(f"{'':4}{watch}", flush=True)
