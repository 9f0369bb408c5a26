"""Killing the server that clients write to, again and again, while they write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from statistics import median

from databases import Database
from faults.evidence import ledger
from faults.evidence.ledger import Ledger
from faults.evidence.load import at_work
from faults.evidence.report import Report

WITHIN = 2.0
"""Seconds from the servers' recovery in which all clients have to be at work again."""


async def fail_over(
    report: Report,
    fault: str,
    url: str,
    *,
    rounds: int,
    clients: int,
    strike: Callable[[Database], Awaitable[float]],
    mend: Callable[[], Awaitable[object]],
    kept: Callable[[str], Iterable[tuple[str, Iterable[int]]]],
    within: float = WITHIN,
) -> None:
    """Strike under load, and report what became of the clients and their rows.

    Half of the clients write single statements; the others run transactions again where they may.

    Args:
        report: where to.
        fault: its title there.
        url: of an empty database.
        rounds: how often to strike.
        clients: how many there are, each with a connection.
        strike: kills the server that the database writes to, and waits until writes can be done
            again; the moment, by ``time.monotonic``.
        mend: brings the killed one back.
        kept: the numbers that are in a database now, by the servers that have them.
        within: the seconds that clients may take to be at work again.
    """
    started = time.monotonic()
    book = Ledger()
    recovered, back, pauses = [], [], []
    async with Database(url, max_size=clients) as database:
        await ledger.create_table(database)

        async def alone(number: int) -> None:
            await database.execute(ledger.INSERT, {"number": number})

        async def in_transaction(number: int) -> None:
            await database.run_in_transaction(alone, number, retry=True)

        ways = [alone, in_transaction]
        async with at_work(
            book.keep_writing(client, ways[client % 2], pause=0.005) for client in range(clients)
        ) as load:
            for _ in range(rounds):
                await book.all_resumed(time.monotonic())
                moment = time.monotonic()
                again = await strike(database)
                recovered.append(again - moment)
                back.append(await book.all_resumed(again))
                pauses.append(book.longest_pause(moment))
                await mend()
            await book.all_resumed(time.monotonic())
        broken = load.broken
    for server, numbers in await asyncio.to_thread(lambda: list(kept(database.url.database))):
        broken += [f"{server}: {promise}" for promise in book.broken(numbers)]
    broken += [
        f"clients were back {seconds:.1f} s after the servers"
        for seconds in back
        if seconds > within
    ]
    held = (
        f"{book}; the servers recovered in {figures(recovered)}, clients {figures(back)} after "
        f"them (longest pause of one {max(pauses):.2f} s)"
    )
    report.add(fault, rounds, time.monotonic() - started, held, broken)
    report.note(f"errors that clients got: {dict(book.errors)}")


def figures(seconds: Sequence[float]) -> str:
    """Some durations in words."""
    return f"{median(seconds):.2f} s (at most {max(seconds):.2f} s)"
