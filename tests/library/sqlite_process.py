"""What the tests about several processes run in each of them: ``sqlite_process.py work url ...``.

No test itself. A process says on its standard output what it has done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator

from databases import Database

STDOUT = 1


def say(line: str) -> None:
    """Write a line at once: what was said has been done, whatever becomes of this process."""
    os.write(STDOUT, line.encode() + b"\n")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Database]:
    """A database, once every process has connected and the test lets all of them go."""
    async with Database(url) as database:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        yield database


async def write_until_killed(url: str, name: str) -> None:
    """Write in every way, and say what is acknowledged as soon as it is."""

    async def single(database: Database, label: str) -> None:
        made = await database.execute("INSERT INTO singles (label) VALUES (:l)", {"l": label})
        say(f"single {made} {label}")

    async def singles(database: Database, task: int) -> None:
        for number in itertools.count():
            await single(database, f"{name}.{task}.{number}")
            if task % 50 == 49:
                # This fails, and rolls back all of the transaction that it is in.
                with contextlib.suppress(sqlite3.IntegrityError):
                    await database.execute("INSERT OR ROLLBACK INTO singles VALUES (0, '')")
                    say("a row was made twice")

    async def triples(database: Database, task: int) -> None:
        for number in itertools.count():
            label = f"{name}.{task}.{number}"
            insert = "INSERT INTO triples (label, part) VALUES (:l, 1), (:l, 2), (:l, 3)"
            await database.execute(insert, {"l": label})
            say(f"triple {label}")

    async def batches(database: Database, task: int) -> None:
        for number in itertools.count():
            label = f"{name}.{task}.{number}"
            rows = [{"l": label, "p": part} for part in range(5)]
            await database.execute_many("INSERT INTO batches (label, part) VALUES (:l, :p)", rows)
            say(f"batch {label}")

    async with Database(url) as database, asyncio.TaskGroup() as tasks:
        for task in range(100):
            tasks.create_task(singles(database, task))
        for task in range(3):
            tasks.create_task(triples(database, task))
            tasks.create_task(batches(database, task))


async def count(url: str, tasks: int, each: int) -> None:
    """Add to one counter, reading it first; say how long it took and the longest wait to begin."""
    longest = 0.0

    async def add(database: Database) -> None:
        nonlocal longest
        for _ in range(each):
            asked = time.monotonic()
            async with database.transaction():
                longest = max(longest, time.monotonic() - asked)
                value = await database.fetch_val("SELECT value FROM counter")
                await database.execute("UPDATE counter SET value = :v", {"v": value + 1})

    async with connected(url) as database:
        started = time.monotonic()
        await asyncio.gather(*[add(database) for _ in range(tasks)])
        say(json.dumps({"longest": longest, "took": time.monotonic() - started}))


async def insert(url: str, name: str, tasks: int, each: int) -> None:
    """Insert rows with single statements from many tasks."""

    async def add(database: Database, task: int) -> None:
        for number in range(each):
            label = f"{name}.{task}.{number}"
            await database.execute("INSERT INTO singles (label) VALUES (:l)", {"l": label})

    async with connected(url) as database:
        await asyncio.gather(*[add(database, task) for task in range(tasks)])


async def hold(url: str, name: str, times: int) -> None:
    """Write in transactions that take their time."""
    async with connected(url) as database:
        for number in range(times):
            async with database.transaction():
                label = f"{name}.{number}"
                await database.execute("INSERT INTO singles (label) VALUES (:l)", {"l": label})
                await asyncio.sleep(0.05)
                await database.execute("UPDATE counter SET value = value + 1")
            await asyncio.sleep(0.01)


async def hang(url: str) -> None:
    """Stay in a transaction that has written."""
    async with connected(url) as database, database.transaction():
        await database.execute("INSERT INTO singles (label) VALUES ('lost')")
        say("holding")
        await asyncio.sleep(3600)


def main() -> None:
    """Do the work that is named."""
    match sys.argv[1:]:
        case ["write_until_killed", url, name]:
            asyncio.run(write_until_killed(url, name))
        case ["count", url, tasks, each]:
            asyncio.run(count(url, int(tasks), int(each)))
        case ["insert", url, name, tasks, each]:
            asyncio.run(insert(url, name, int(tasks), int(each)))
        case ["hold", url, name, times]:
            asyncio.run(hold(url, name, int(times)))
        case ["hang", url]:
            asyncio.run(hang(url))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
