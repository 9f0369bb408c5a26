"""What the tests about forks run in a process of their own: ``forked_process.py how url``.

No test itself. It connects, forks in one of several ways, and says what became of both processes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from databases import Database, exceptions

INSERT = "INSERT INTO a VALUES (:n)"


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def has_open(path: str) -> bool:
    """Whether a file is open in this process, as far as the system tells."""
    descriptors = Path("/proc/self/fd")
    if not path.startswith("/") or not descriptors.exists():
        return False
    return any(os.path.realpath(each).startswith(path) for each in descriptors.iterdir())


async def in_child(database: Database) -> None:
    """Be refused, connect, and use the database."""
    held = database.connection()
    for query in (
        lambda: database.fetch_val("SELECT 1"),
        lambda: database.transaction().start(),
        lambda: held.fetch_val("SELECT 1"),
    ):
        try:
            await query()
            say("the child was not refused")
        except exceptions.NotConnectedError as error:
            if "the process from which this one was forked" not in str(error):
                raise
    await database.disconnect()  # nothing happens
    had_it_open = has_open(database.url.database)
    try:
        await database.connect()
    except exceptions.StateError as error:
        say(f"child: {str(error).partition(' was ')[2][:6]}")
        return
    if had_it_open:
        say("the child began with the file of its parent open")
    memory = database.url.database in ("", ":memory:")
    if memory:
        await database.execute("CREATE TABLE a (n INTEGER)")
    async with database.transaction():
        await database.execute(INSERT, {"n": 2})
    await asyncio.gather(*[database.execute(INSERT, {"n": 3}) for _ in range(10)])
    say(f"child: {await database.fetch_val('SELECT count(*) FROM a WHERE n > 1')}")
    await database.disconnect()


def child(database: Database) -> None:
    try:
        asyncio.run(asyncio.wait_for(in_child(database), 20))
    except BaseException as error:
        say(f"child: {error!r}")
        raise


def do_nothing(database: Database) -> None:
    """Leave everything to the end of the interpreter."""


def fork(database: Database, work: Callable[[Database], None], end: Callable[[int], None]) -> int:
    process = os.fork()
    if process:
        return process
    work(database)
    end(0)
    return 0


async def is_well(database: Database) -> None:
    """Use all that the parent had before the fork, and what it opens now."""
    for number in range(5):
        await asyncio.gather(*[database.execute(INSERT, {"n": 1}) for _ in range(10)])
        async with database.transaction():
            await database.execute(INSERT, {"n": -number})
        await asyncio.gather(*[database.fetch_val("SELECT count(*) FROM a") for _ in range(10)])
    say(f"parent: {await database.fetch_val('SELECT count(*) FROM a WHERE n < 2')}")


async def waited(process: int) -> None:
    _, status = await asyncio.to_thread(os.waitpid, process, 0)
    if status:
        say(f"the child ended with {status}")


async def prepare(database: Database) -> None:
    await database.connect()
    await database.execute("CREATE TABLE a (n INTEGER)")
    await asyncio.gather(*[database.fetch_val("SELECT count(*) FROM a") for _ in range(10)])
    async with database.transaction():
        await database.fetch_val("SELECT count(*) FROM a")


async def in_a_coroutine(database: Database) -> None:
    await prepare(database)
    process = fork(database, child, os._exit)
    await is_well(database)
    await waited(process)
    await is_well(database)


async def in_a_thread(database: Database) -> None:
    await prepare(database)
    process = await asyncio.to_thread(fork, database, child, os._exit)
    await waited(process)
    await is_well(database)


async def by_multiprocessing(database: Database) -> None:
    await prepare(database)
    process = multiprocessing.get_context("fork").Process(target=child, args=(database,))
    process.start()
    await asyncio.to_thread(process.join)
    await is_well(database)


async def in_a_transaction(database: Database) -> None:
    """A transaction is open in the parent meanwhile, and a cursor."""
    await prepare(database)
    async with database.transaction():
        await database.execute(INSERT, {"n": 1})
        rows = database.iterate("SELECT 1 UNION SELECT 2")
        await rows.__anext__()
        process = fork(database, child, os._exit)
        await waited(process)
        await rows.__anext__()
        await database.execute(INSERT, {"n": 1})
    await is_well(database)


async def in_a_query(database: Database) -> None:
    """Somebody waits for the server meanwhile."""
    await prepare(database)
    task = asyncio.create_task(database.fetch_val("SELECT count(*) FROM a"))
    other = asyncio.create_task(database.execute(INSERT, {"n": 1}))
    await asyncio.sleep(0)
    process = fork(database, child, os._exit)
    await asyncio.gather(task, other)
    await waited(process)
    await is_well(database)


async def in_an_endless_query(database: Database, start: str) -> None:
    """Something goes on for longer than a fork waits for it."""
    await prepare(database)
    endless = "WITH RECURSIVE b(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM b) SELECT max(i) FROM b"
    task = asyncio.create_task(database.execute(start + endless))
    async with asyncio.timeout(20):
        while not database.statistics().held:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    process = fork(database, child, os._exit)
    await waited(process)
    task.cancel()
    await asyncio.wait([task])
    await is_well(database)


async def in_an_endless_read(database: Database) -> None:
    await in_an_endless_query(database, "")


async def in_an_endless_write(database: Database) -> None:
    await in_an_endless_query(database, "INSERT INTO a ")


async def disconnected_first(database: Database) -> None:
    """The parent closes the file while the child has it open."""
    await prepare(database)
    parent, child_ = multiprocessing.Pipe()

    async def write() -> None:
        await database.connect()
        await database.execute(INSERT, {"n": 2})
        child_.send("written")
        child_.recv()
        await database.execute(INSERT, {"n": 3})
        await database.disconnect()

    process = fork(database, lambda _: asyncio.run(write()), os._exit)
    await asyncio.to_thread(parent.recv)
    await database.disconnect()
    parent.send("disconnected")
    await waited(process)
    await database.connect()
    say(f"parent: {await database.fetch_val('SELECT sum(n) FROM a')}")


def between(database: Database, work: Callable[[Database], None], *, busy: bool) -> None:
    """The event loop does not run at the moment; the child ends as a program ends."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(prepare(database))
    if busy:
        transaction = loop.run_until_complete(database.transaction().start())
        waiting = loop.create_task(held_for_ever(database))
        loop.run_until_complete(asyncio.sleep(0.01))
    process = fork(database, work, sys.exit)
    loop.run_until_complete(waited(process))
    if busy:
        loop.run_until_complete(transaction.commit())
        waiting.cancel()
        loop.run_until_complete(asyncio.wait([waiting]))
    loop.run_until_complete(is_well(database))
    loop.run_until_complete(database.disconnect())
    loop.close()


def after(database: Database) -> None:
    """The event loop that it was connected in has ended; the child ends as a program ends."""
    asyncio.run(prepare(database))
    process = fork(database, do_nothing, sys.exit)
    asyncio.run(waited(process))
    asyncio.run(connected(database, is_well))


async def held_for_ever(database: Database) -> None:
    async with database.connection() as connection:
        await connection.fetch_val("SELECT 1")
        await asyncio.sleep(3600)


async def connected(database: Database, work: Callable[[Database], object]) -> None:
    await work(database)  # type: ignore[misc]
    await database.disconnect()


def main() -> None:
    """Do what is named."""
    # That there are threads is what this is about.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    how, url = sys.argv[1:]
    database = Database(url)
    if how == "between":
        between(database, child, busy=False)
    elif how == "after":
        after(database)
    elif how == "busy exit":
        between(database, do_nothing, busy=True)
    else:
        asyncio.run(connected(database, HOW[how]))


HOW = {
    "coroutine": in_a_coroutine,
    "thread": in_a_thread,
    "multiprocessing": by_multiprocessing,
    "transaction": in_a_transaction,
    "query": in_a_query,
    "endless read": in_an_endless_read,
    "endless write": in_an_endless_write,
    "disconnect": disconnected_first,
}

if __name__ == "__main__":
    main()
