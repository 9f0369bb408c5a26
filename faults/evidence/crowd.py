"""A crowd on a few connections: many more tasks than can be served at once, each in its turn.

Every task asks for a connection again and again. Whoever comes first is served first: the order in
which tasks were served has to be the order in which they came.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from typing import Any

from databases import Database, exceptions
from tests.library.kinds import Kind, Network
from tests.library.pools import is_whole, pool_of

_SERVE = "UPDATE turns SET n = n + 1 WHERE task = :task"


@dataclasses.dataclass
class Served:
    """What a crowd has come to."""

    tasks: int = 0
    turns: int = 0
    """How many times one of them was served."""
    overtaken: int = 0
    """How many times somebody was served who had come later than one who waited."""
    most_waiting: int = 0
    longest: float = 0.0
    """The longest wait for a connection, in seconds."""
    shortest: float = float("inf")
    """The shortest of those that began when the crowd was complete, in seconds."""
    refused: int = 0
    """How many times somebody was not served, because it would have taken or took too long."""
    wrong: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.turns:,} turns of {self.tasks:,} tasks, {self.most_waiting:,} waiting at most, "
            f"from {self.shortest:.2f} to {self.longest:.2f} s; {self.overtaken} overtaken, "
            f"{self.refused} refused"
        )


class Crowd:
    """Tasks that all want a connection.

    Args:
        kind: the database.
        database: connected, with a table ``turns (task INTEGER PRIMARY KEY, n INTEGER)``.
        tasks: how many.
    """

    def __init__(self, kind: Kind, database: Database, tasks: int) -> None:
        self._kind = kind
        self._database = database
        self._tickets = itertools.count()
        self._last = -1
        self._counted = [0] * tasks
        self._ends = 0.0
        self.served = Served(tasks)

    async def run(self, seconds: float) -> Served:
        """Let them come for some seconds, and let those who have come be served."""
        served = self.served
        self._ends = time.monotonic() + seconds
        await asyncio.gather(*[self._come(task) for task in range(served.tasks)])
        served.turns = sum(self._counted)
        await self._judge()
        return served

    async def _come(self, task: int) -> None:
        while time.monotonic() < self._ends:
            # It joins the queue within this step of the event loop: nobody else comes between.
            ticket, came = next(self._tickets), time.monotonic()
            try:
                async with self._turn():
                    self._is_served(ticket, came)
                    await self._database.execute(_SERVE, {"task": task})
            except (exceptions.WaitTimeoutError, exceptions.TooManyRequests):
                self.served.refused += 1
                continue
            self._counted[task] += 1
            # Somebody else takes the connection now; this one goes to the end of the queue.
            await asyncio.sleep(0)

    def _turn(self) -> Any:
        # On SQLite there is no queue for connections, but one for the right to write.
        network = isinstance(self._kind, Network)
        return self._database.connection() if network else self._database.transaction()

    def _is_served(self, ticket: int, came: float) -> None:
        served = self.served
        waited = time.monotonic() - came
        served.longest = max(served.longest, waited)
        if ticket >= served.tasks and waited:
            served.shortest = min(served.shortest, waited)
        served.overtaken += ticket < self._last
        self._last = ticket
        waiting = len(self._database.statistics().waiting) if ticket % 100 == 0 else 0
        served.most_waiting = max(served.most_waiting, waiting)
        if isinstance(self._kind, Network):
            pool = pool_of(self._database)
            lent = sum(slot.lent for slot in pool._slots)
            if lent > pool._options.max_size or pool._pinned != lent:
                served.wrong.append(f"{lent} connections are lent, counted as {pool._pinned}")

    async def _judge(self) -> None:
        """All turns are in the database, each once, and nothing is held."""
        served, database = self.served, self._database
        rows = await database.fetch_all("SELECT task, n FROM turns ORDER BY task")
        counted = [row.n for row in rows]
        if counted != self._counted:
            served.wrong.append(f"{sum(counted)} turns are in the database, {served.turns} were")
        if min(counted) < max(counted) - 2:
            served.wrong.append(f"some were served {min(counted)} times, others {max(counted)}")
        if isinstance(self._kind, Network):
            await is_whole(database)
        else:
            await self._kind.nothing_is_held(database)


async def prepare(database: Database, tasks: int) -> None:
    """Make the table."""
    await database.execute("CREATE TABLE turns (task INTEGER PRIMARY KEY, n INTEGER)")
    rows = [{"task": task} for task in range(tasks)]
    await database.execute_many("INSERT INTO turns VALUES (:task, 0)", rows)
