"""A mixed load for a while: nothing may be lost, and nothing may grow.

60 tasks read, write, fail, and are cancelled, on one file. Threads, open files and memory are
compared with what they were after the first minute (or the first tenth, if that is shorter), when
the tasks have finished what they were at. Whatever has grown or does not add up is printed, and
makes the exit code 1.

    scripts/bench soak [--minutes 10] [--tasks 60] [--seed 0] [--inspector]

With --inspector all of it is done in requests to an application that has the inspector in it, of
which a page is open that goes from view to view.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from databases import Database, exceptions

if TYPE_CHECKING:
    from databases.inspector import Inspector

ACCOUNTS, EACH = 1_000, 100
BURST = 20
PATIENCE = 60
MEGABYTE = 1 << 20

MOVE = "UPDATE accounts SET balance = balance + :amount WHERE id = :id"
MOVE_AT_ONCE = """UPDATE accounts SET balance = balance + CASE id WHEN :one THEN -1 ELSE 1 END
    WHERE id IN (:one, :other)"""
FOR_EVER = """WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
    SELECT count(*) FROM numbers"""


class Undo(Exception):
    """Raised inside a transaction to have it rolled back."""


class Reading(NamedTuple):
    """What a process holds at a moment."""

    threads: int
    files: int
    memory: int

    @classmethod
    def now(cls) -> Reading:
        """Read it, as Linux says it."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            len(os.listdir("/proc/self/task")),
            len(os.listdir("/proc/self/fd")),
            pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def __str__(self) -> str:
        return f"threads {self.threads}, memory {self.memory / MEGABYTE:.1f} MB, files {self.files}"


class Load:
    """What the tasks do, each method one kind of work.

    Args:
        database: where.
        dice: what chance is made of.
    """

    def __init__(self, database: Database, dice: random.Random) -> None:
        self.database = database
        self.dice = dice
        self.notes = 0
        """Rows that the table of that name has if nothing was lost."""

    def two(self) -> tuple[int, int]:
        """Two accounts."""
        one, other = self.dice.sample(range(ACCOUNTS), 2)
        return one, other

    async def point_read(self) -> None:
        """Read one row."""
        number = self.dice.randrange(ACCOUNTS)
        row = await self.database.fetch_one("SELECT * FROM accounts WHERE id = :id", {"id": number})
        assert row is not None
        assert row.id == number

    async def read_all(self) -> None:
        """Read a thousand rows."""
        rows = await self.database.fetch_all("SELECT * FROM accounts")
        assert sum(row.balance for row in rows) == ACCOUNTS * EACH

    async def insert(self) -> None:
        """Insert a row."""
        text = "x" * self.dice.randrange(200)
        await self.database.execute("INSERT INTO notes (text) VALUES (:t)", {"t": text})
        self.notes += 1

    async def delete(self) -> None:
        """Delete the oldest row."""
        oldest = "DELETE FROM notes WHERE id = (SELECT min(id) FROM notes)"
        gone = await self.database.execute(oldest)
        self.notes -= gone

    async def update(self) -> None:
        """Change two rows with one statement."""
        one, other = self.two()
        await self.database.execute(MOVE_AT_ONCE, {"one": one, "other": other})

    async def transfer(self) -> None:
        """Change two rows in a transaction, which is sometimes rolled back."""
        one, other = self.two()
        with contextlib.suppress(Undo):
            async with self.database.transaction():
                await self.database.execute(MOVE, {"amount": -1, "id": one})
                if self.dice.random() < 0.3:
                    raise Undo
                await self.database.execute(MOVE, {"amount": 1, "id": other})

    async def savepoint(self) -> None:
        """Roll back a part of a transaction."""
        one, other = self.two()
        async with self.database.transaction():
            await self.database.execute(MOVE, {"amount": -1, "id": one})
            with contextlib.suppress(Undo):
                async with self.database.transaction():
                    await self.database.execute("DELETE FROM accounts WHERE id < 10")
                    raise Undo
            async with self.database.transaction():
                await self.database.execute(MOVE, {"amount": 1, "id": other})

    async def snapshot(self) -> None:
        """Read twice in a transaction that sees one state."""
        total = "SELECT sum(balance * id) FROM accounts"
        async with self.database.transaction(readonly=True):
            before = await self.database.fetch_val(total)
            await asyncio.sleep(0.001)
            assert await self.database.fetch_val(total) == before

    async def iterate(self) -> None:
        """Read row by row, and mostly not to the end."""
        last = self.dice.randrange(2 * ACCOUNTS)
        async for row in self.database.iterate("SELECT id FROM accounts ORDER BY id"):
            if row.id == last:
                break

    async def many(self) -> None:
        """Insert rows that make nothing in all, and take away such pairs again."""
        rows = [{"x": number, "y": -number} for number in range(10)]
        await self.database.execute_many("INSERT INTO pairs (x, y) VALUES (:x, :y)", rows)
        await self.database.execute("DELETE FROM pairs WHERE id < (SELECT max(id) FROM pairs) - 99")

    async def temporary(self) -> None:
        """Use a table of the connection's own."""
        async with self.database.connection() as connection:
            await connection.execute("CREATE TEMP TABLE mine (x)")
            await connection.execute("INSERT INTO mine VALUES (1)")
            assert await connection.fetch_val("SELECT count(*) FROM mine") == 1

    async def error(self) -> None:
        """Do what the database refuses."""
        wrong = self.dice.choice(
            [
                "INSERT INTO accounts VALUES (1, 1)",
                "SELEC 1",
                "INSERT OR ROLLBACK INTO accounts VALUES (1, 1)",
            ]
        )
        try:
            await self.database.execute(wrong)
        except exceptions.DriverError:
            return
        raise AssertionError(f"{wrong} did nothing wrong")

    async def cancelled(self) -> None:
        """Cancel any of this."""
        works = [self.transfer, self.savepoint, self.many, self.iterate, self.snapshot]
        work = self.dice.choice([*works, self.read_all, self.update, self.temporary])
        task = asyncio.create_task(work())
        await asyncio.sleep(self.dice.choice([0, 0, 0.0002, 0.001, 0.005]))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def timed_out(self) -> None:
        """Wait for a write no longer than a moment."""
        one, other = self.two()
        with contextlib.suppress(TimeoutError):
            limit = self.dice.choice([0.0001, 0.001, 0.01])
            moved = {"one": one, "other": other}
            await self.database.execute(MOVE_AT_ONCE, moved, timeout=limit)

    async def interrupted(self) -> None:
        """Stop a read that would never end."""
        try:
            await self.database.fetch_val(FOR_EVER, timeout=0.02)
        except exceptions.DatabaseError as error:
            if isinstance(error, TimeoutError):
                return
            raise
        raise AssertionError("an endless read ended")

    def kinds(self) -> dict[Work, int]:
        """All of it, and how often each is done."""
        return {
            self.point_read: 60,
            self.read_all: 5,
            self.insert: 30,
            self.delete: 30,
            self.update: 20,
            self.transfer: 15,
            self.savepoint: 10,
            self.snapshot: 10,
            self.iterate: 10,
            self.many: 10,
            self.temporary: 4,
            self.error: 5,
            self.cancelled: 20,
            self.timed_out: 10,
            self.interrupted: 1,
        }


Work = Callable[[], Awaitable[None]]
Way = Callable[[Work], Awaitable[None]]
"""How a task does a piece of work."""


async def directly(kind: Work) -> None:
    """Do a piece of work."""
    await kind()


class Application:
    """An application that does the work for requests, with the inspector in it and its page open.

    Args:
        load: what it does.
        inspector: the inspector.
    """

    VIEWS = ("now", "requests", "moments", "statements")

    def __init__(self, load: Load, inspector: Inspector) -> None:
        # Only who is watched needs what these need.
        from contenders import asgi
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Mount, Route

        kinds = {kind.__name__: kind for kind in load.kinds()}

        async def answer(request: Request) -> Response:
            await kinds[request.path_params["kind"]]()
            return Response()

        self._get = asgi.get
        self._app = Starlette(
            routes=[Route("/load/{kind}", answer), Mount("/inspector", inspector)]
        )
        self.answered = 0
        self.read: Counter[str] = Counter()
        """How many bytes the page has read of each view."""

    async def do(self, kind: Work) -> None:
        """Do a piece of work in a request."""
        answered = await self._get(self._app, f"/load/{kind.__name__}")
        assert answered.status == 200
        self.answered += 1

    async def read_page(self) -> None:
        """Read the streams of a page, for ever: each for as long as the server has it."""
        while True:
            for view in self.VIEWS:
                await self.read_view(view)

    async def read_view(self, view: str) -> None:
        """Read one stream of a page."""
        # One of the latest requests is shown with all its steps.
        query = f"view={view}&request={self.answered}"
        answered = await self._get(self._app, "/inspector/events", query)
        assert answered.status == 200, answered
        self.read[view] += answered.bytes

    async def missing(self) -> list[str]:
        """What should have been recorded, and was not."""
        for view in self.VIEWS:
            if not self.read[view]:  # the time was too short for all of them
                await self.read_view(view)
        wrong = [f"the page read nothing of {view}" for view in self.VIEWS if not self.read[view]]
        number = self.answered
        latest = [
            await self._get(self._app, f"/inspector/requests/{number - back}") for back in range(5)
        ]
        if not any(each.status == 200 for each in latest):
            wrong.append(f"the latest requests, up to {number}, are not kept")
        return wrong


async def prepare(database: Database) -> None:
    """Make the tables."""
    await database.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)")
    await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    await database.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, x INTEGER, y INTEGER)")
    rows = [{"id": number, "balance": EACH} for number in range(ACCOUNTS)]
    await database.execute_many("INSERT INTO accounts VALUES (:id, :balance)", rows)


async def soak(file: Path, seconds: float, tasks: int, seed: int, *, watched: bool) -> list[str]:
    """Load the database; return what is wrong afterwards."""
    wrong: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: wrong.append(f"unhandled: {context}"))
    done: Counter[str] = Counter()
    database = Database(f"sqlite:///{file}")
    load = Load(database, random.Random(seed))
    application = watching(load) if watched else None
    way = directly if application is None else application.do
    async with database, reading(application):
        await prepare(database)
        started = time.monotonic()

        def report(title: str) -> Reading:
            reading = Reading.now()
            wal = Path(f"{file}-wal").stat().st_size / MEGABYTE
            minutes = (time.monotonic() - started) / 60
            print(f"{minutes:5.1f} min {title:10} {reading}, -wal {wal:.1f} MB")
            return reading

        # At least seconds, for what is kept for later to be there.
        warm_up = min(60.0, max(seconds / 10, 3.0))
        await work(load, way, tasks, warm_up, done, report)
        await rest(database)
        before = report("warmed up")
        await work(load, way, tasks, seconds - warm_up, done, report)
        await rest(database)
        after = report("at the end")
        print("      " + ", ".join(f"{kind} {count:,}" for kind, count in done.most_common()))
        wrong += grown(before, after)
        wrong += await broken(load)
        if application is not None:
            read = ", ".join(f"{view} {size:,}" for view, size in application.read.items())
            print(f"      {application.answered:,} requests; bytes read by the page: {read}")
            wrong += await application.missing()
    return wrong


def watching(load: Load) -> Application:
    """An application with an inspector of the database that is loaded."""
    from databases.inspector import Inspector

    return Application(load, Inspector(load.database))


@contextlib.asynccontextmanager
async def reading(application: Application | None) -> AsyncIterator[None]:
    """Within the block a page of the application's inspector is open, if there is one."""
    page = None if application is None else asyncio.create_task(application.read_page())
    try:
        yield
    finally:
        if page is not None:
            page.cancel()
            # What went wrong with it is raised here.
            with contextlib.suppress(asyncio.CancelledError):
                await page


def unsound(file: Path) -> list[str]:
    """What is wrong with the file when nobody uses it any more."""
    wrong = []
    if Path(f"{file}-wal").exists():
        wrong.append("the -wal file is left after disconnect()")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        wrong.append(f"integrity_check: {found}")
    return wrong


async def work(
    load: Load,
    way: Way,
    tasks: int,
    seconds: float,
    done: Counter[str],
    report: Callable[[str], Any],
) -> None:
    """Have the tasks work for a while, and say every 30 seconds what they did."""
    end = time.monotonic() + seconds
    kinds = load.kinds()

    async def one() -> None:
        while time.monotonic() < end:
            (kind,) = load.dice.choices([*kinds], [*kinds.values()])
            async with asyncio.timeout(PATIENCE):
                await way(kind)
            done[kind.__name__] += 1

    async def watch() -> None:
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 30))
            report("")
            print("      " + ", ".join(f"{kind} {count:,}" for kind, count in done.most_common()))

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for _ in range(tasks):
            group.create_task(one())


async def rest(database: Database) -> None:
    """Bring the connections into the same state each time: all that are kept, and no more."""
    together = asyncio.Barrier(BURST)

    async def hold() -> None:
        async with database.connection() as connection:
            await connection.fetch_all("SELECT * FROM accounts")
            await together.wait()

    await asyncio.gather(*[hold() for _ in range(BURST)])
    gc.collect()
    # Additional readers end a second after their last work.
    await asyncio.sleep(1.5)


UNUSED = 8
"""Open files more that are none of ours: SQLite must not close one while another connection of the
process has a lock on it, and keeps it for the next connection to the same file (os_unix.c)."""


def grown(before: Reading, after: Reading) -> list[str]:
    """What has become more."""
    wrong = []
    if after.threads > before.threads:
        wrong.append(f"threads: {before.threads} became {after.threads}")
    if after.files > before.files + UNUSED:
        wrong.append(f"open files: {before.files} became {after.files}")
    if after.memory > before.memory * 1.1 + 10 * MEGABYTE:
        wrong.append(f"memory: {before.memory:,} bytes became {after.memory:,}")
    return wrong


async def broken(load: Load) -> list[str]:
    """What does not add up."""
    expected = {
        "SELECT sum(balance) FROM accounts": ACCOUNTS * EACH,
        "SELECT count(*) FROM accounts": ACCOUNTS,
        "SELECT coalesce(sum(x + y), 0) FROM pairs": 0,
        "SELECT count(*) FROM notes": load.notes,
    }
    wrong = []
    for sql, value in expected.items():
        found = await load.database.fetch_val(sql)
        if found != value:
            wrong.append(f"{sql}: {found}, not {value}")
    return wrong


def main() -> None:
    """Load, measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inspector", action="store_true", help="watched by it, and its page open")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "soak.db")
        seconds = arguments.minutes * 60
        watched = arguments.inspector
        wrong = asyncio.run(soak(file, seconds, arguments.tasks, arguments.seed, watched=watched))
        wrong += unsound(file)
    for line in wrong:
        print(f"wrong: {line}")
    if wrong:
        raise SystemExit(1)
    print("nothing was lost, and nothing has grown")


if __name__ == "__main__":
    main()
