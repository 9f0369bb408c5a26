"""The users service: two instances on a PostgreSQL cluster, whose primary is killed under load.

    scripts/faults service [--rounds 5] [--clients 32] [--short]

Both instances have the same URL, which names all three servers. Clients add users and read users
that were added before. Until two seconds after the promotion of a replica they may be answered
with 503, at any other time never: with a Retry-After, unless nobody knows whether a user was added.
In the end every user whose adding was answered with 201 must be found, at either instance.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults.evidence.failovers import WITHIN, figures
from faults.evidence.http_client import HTTPClient
from faults.evidence.load import at_work
from faults.evidence.report import Report, options
from tests.servers.processes import PATIENCE, free_port
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

ROOT = Path(__file__).parents[1]
SETTLE, AFTER = 1.5, 1.0
"""Seconds of load before the first kill, and after the time in which 503 is allowed."""


@contextmanager
def instances(url: str, count: int) -> Iterator[list[int]]:
    """Some instances of the service; their ports."""
    command = [sys.executable, "-m", "users_service"]
    address = ["--database-url", url]
    subprocess.run([*command, "migrate", *address], cwd=ROOT, check=True, timeout=PATIENCE)
    ports = [free_port() for _ in range(count)]
    running = [
        subprocess.Popen(
            [*command, *address, "--port", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        yield ports
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


class Users:
    """The users that clients have added, and what they were answered."""

    def __init__(self) -> None:
        self.added: dict[int, str] = {}
        """Those whose adding was answered with 201: their names by their ids."""
        self.answers: list[tuple[float, int, str]] = []
        """When which status was answered, and to what."""
        self.in_doubt = 0
        """How often it was answered that nobody knows whether the user was added."""
        self.broken: list[str] = []
        self._ids: list[int] = []
        self._numbers = itertools.count(1)

    async def use(self, port: int, dice: random.Random) -> None:
        """Add users and read some, until cancelled."""
        client = HTTPClient(port)
        try:
            while True:
                try:
                    await self._one(client, dice)
                except OSError as error:
                    self.broken.append(f"no answer: {error!r}")
                    await asyncio.sleep(0.02)
        finally:
            client.close()

    async def _one(self, client: HTTPClient, dice: random.Random) -> None:
        if self.added and dice.random() < 0.5:
            user_id = dice.choice(self._ids)
            what = f"GET /users/{user_id}"
            answer = await client.ask("GET", f"/users/{user_id}")
            expected = 200
            if answer.status == 200 and answer.content["name"] != self.added[user_id]:
                self.broken.append(f"{what}: the name of another user")
        else:
            name, what, expected = f"User {next(self._numbers)}", "POST /users", 201
            answer = await client.ask("POST", "/users", {"name": name})
            if answer.status == 201:
                if answer.content["id"] in self.added:
                    self.broken.append(f"the id {answer.content['id']} was given twice")
                self.added[answer.content["id"]] = name
                self._ids.append(answer.content["id"])
        # Nobody is told to add a user again who may be there.
        in_doubt = answer.status == 503 and "not known" in answer.content["detail"]
        self.in_doubt += in_doubt
        if answer.status == 503 and ("retry-after" in answer.headers) is in_doubt:
            self.broken.append(f"a 503 {'with' if in_doubt else 'without'} Retry-After: {what}")
        if answer.status not in (expected, 503):
            self.broken.append(f"{what}: {answer.status} {answer.content}")
        self.answers.append((time.monotonic(), answer.status, what))
        if answer.status == 503:
            await asyncio.sleep(0.02)

    def refused_outside(self, windows: list[tuple[float, float]]) -> Counter[str]:
        """What was answered with 503 at a time when it should not have been."""
        return Counter(
            what.partition("/users/")[0]
            for at, status, what in self.answers
            if status == 503 and not any(start <= at <= end for start, end in windows)
        )

    async def missing(self, ports: list[int]) -> list[int]:
        """The ids of those that were added and are not found at one of the instances."""
        found = []
        for port in ports:
            client = HTTPClient(port)
            listed: dict[int, str] = {}
            after: int | None = 0
            while after is not None:
                page = (await client.ask("GET", f"/users?limit=200&after={after}")).content
                listed |= {user["id"]: user["name"] for user in page["users"]}
                after = page["next_after"]
            client.close()
            found += [user for user, name in self.added.items() if listed.get(user) != name]
        return found


async def kill_primaries(
    cluster: ReplicatedPostgreSQL,
    ports: list[int],
    rounds: int,
    clients: int,
    report: Report,
    within: float = WITHIN,
) -> None:
    """Kill primaries while clients use the service, and report what they saw."""
    started = time.monotonic()
    users, windows, back = Users(), [], []
    for port in ports:
        await ready(port)
    works = (users.use(ports[n % len(ports)], random.Random(n)) for n in range(clients))
    async with at_work(works) as load:
        begun = time.monotonic()
        for _ in range(rounds):
            await asyncio.sleep(SETTLE)
            moment = time.monotonic()
            killed = await asyncio.to_thread(cluster.fail_over)
            promoted = time.monotonic()
            windows.append((moment, promoted + within))
            await asyncio.sleep(min(within, WITHIN) + AFTER)
            last = max((at for at, status, _ in users.answers if status == 503), default=0)
            back.append(max(0.0, last - promoted))
            await asyncio.to_thread(cluster.rejoin, killed)
        seconds = time.monotonic() - begun
    counts = Counter(status for _, status, _ in users.answers)
    missing = await users.missing(ports)
    broken = [*load.broken, *dict.fromkeys(users.broken)]
    if missing:
        broken.append(f"{len(missing)} users were added and are not found: {missing[:5]}")
    broken += [
        f"{count} times 503 to {what} with the database well"
        for what, count in users.refused_outside(windows).items()
    ]
    rate = len(users.answers) / seconds
    held = (
        f"{len(users.added):,} users added, all found at each instance; {rate:,.0f} answers a "
        f"second: {counts[200] + counts[201]:,} of 2xx, {counts[503]:,} of 503 "
        f"({users.in_doubt:,} of them in doubt), the last "
        f"{figures(back)} after the promotion"
    )
    report.add(
        "the primary killed under two services", rounds, time.monotonic() - started, held, broken
    )


async def ready(port: int) -> None:
    """Wait until an instance can answer."""
    client = HTTPClient(port)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if (await client.ask("GET", "/health/ready")).status == 200:
                    break
            except OSError:
                pass
            await asyncio.sleep(0.05)
    client.close()


def main(arguments: Sequence[str]) -> None:
    parser = options("service", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    chosen = parser.parse_args(arguments)
    report = Report()
    with ReplicatedPostgreSQL() as cluster:
        cluster.primary.create_database("users")
        with instances(cluster.url_of("users"), 2) as ports:
            rounds = 1 if chosen.short else chosen.rounds
            asyncio.run(kill_primaries(cluster, ports, rounds, chosen.clients, report))
    report.conclude()
