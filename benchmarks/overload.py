"""What is served when more is asked for than can be served.

Clients come at a half, one, two and four times the rate that a pool of ten connections serves at
most, whose work takes PostgreSQL ten milliseconds each; nobody waits longer than half a second.
Ours refuses at once what it could not serve by then; beside it ours without that, asyncpg.Pool and
databases 0.9.0. Then the same over HTTP: the users service with two connections to a database whose
table takes twenty milliseconds to read; nobody waits for one longer than a second.

    scripts/bench overload [--rounds 3] [--seconds 3]

All of it takes about four minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conductor.contender import ROOT, Contender, Kind, running
from contenders.arrivals import SERVED, Arrivals

from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import free_port

OURS, WAITING = "databases-next", "without refusing"
POOL, ORIGINAL = "asyncpg.Pool", "databases 0.9.0"
SERVICE = "users service"

KINDS = {
    OURS: Kind("test", "contenders.overloaded", "shedding {}", ours=True),
    WAITING: Kind("test", "contenders.overloaded", "waiting {}", ours=True),
    POOL: Kind("peer-asyncpg", "contenders.overloaded", "asyncpg {}"),
    ORIGINAL: Kind("peer-databases-0.9", "contenders.overloaded", "original {}"),
}

LOADS = (0.5, 1, 2, 4)
AT_ONCE = 40
"""Clients that ask all the time, to find what can be served at most."""
BAR = 0.8

SLOW_USERS = """
    ALTER TABLE users RENAME TO kept;
    INSERT INTO kept (name, name_key, created_at)
        SELECT i, i, '2026-01-01' FROM generate_series(1, 100) AS i;
    CREATE VIEW users AS SELECT kept.* FROM kept, pg_sleep(0.02)
"""

Answer = dict[str, Any]
Ask = Callable[[str, float, float], Answer]
"""Has so many ask ("at_once" or "a_second") for some seconds, and says what became of them."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench overload")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    with PostgreSQL() as server:
        with running(KINDS, lambda name: server.url) as contenders:
            asked: dict[str, Ask] = {name: asks(each) for name, each in contenders.items()}
            ratios = compare(asked, arguments.rounds, arguments.seconds)
        with serving(server) as service:
            ratios |= compare({SERVICE: service}, arguments.rounds, arguments.seconds)
    print()
    for name in (OURS, SERVICE):
        met = "met" if ratios[name] >= BAR else "NOT MET"
        print(f"{name} at {LOADS[-1]}x of the peak: {ratios[name]:.2f} of it  {met}  (>= {BAR})")
    sys.exit(any(ratios[name] < BAR for name in (OURS, SERVICE)))


def asks(contender: Contender) -> Ask:
    """Ask a contender's process."""
    return lambda how, many, seconds: contender.ask(how, many, seconds, 0)  # type: ignore[arg-type]


def compare(asked: dict[str, Ask], rounds: int, seconds: float) -> dict[str, float]:
    """Measure contenders in turns, and print; how much of its peak each serves in the end."""
    answers: dict[tuple[str, float], list[Answer]] = {}
    for _ in range(rounds):
        for name, ask in asked.items():
            peak = ask("at_once", AT_ONCE, seconds)
            for load in LOADS:
                answer = ask("a_second", peak["rate"] * load, seconds)
                answer["ratio"] = answer["rate"] / peak["rate"]
                served = peak["cpu"] / peak["counts"][SERVED]
                refused = answer["counts"].get("refused", 0)
                rest = answer["cpu"] - served * answer["counts"].get(SERVED, 0)
                answer["cost"] = rest / refused / served if refused else 0
                answers.setdefault((name, load), []).append(answer)
    print(f"\nMedians of {rounds} rounds. Served: in time, as a part of the peak. Milliseconds:")
    print("the median and the 99th percentile, from when a client was due.\n")
    head = f"{'':18}{'load':>6}{'served':>8}{'ms':>12}{'refused':>9}{'ms':>10}{'in vain':>9}"
    print(f"{head}  others")
    for (name, load), each in answers.items():
        print(f"{name:18}{load:>5}x{row(each)}", flush=True)
    for name in asked:
        costs = [answer["cost"] for answer in answers[name, LOADS[-1]] if answer["cost"]]
        if costs:
            cost = statistics.median(costs)
            print(f"\n{name}: to refuse takes {cost:.2f} of the CPU time that it takes to serve")
    return {name: middle(answers[name, LOADS[-1]], "ratio") for name in asked}


def row(answers: list[Answer]) -> str:
    """What became of the clients of a load, as parts of all who came."""
    counts = sum((Counter(answer["counts"]) for answer in answers), Counter[str]())
    total = counts.total()
    parts = {name: f"{counts.pop(name, 0) / total:.0%}" for name in ("refused", "in vain")}
    del counts[SERVED]
    return (
        f"{middle(answers, 'ratio'):>8.2f}{times(answers, SERVED):>12}"
        f"{parts['refused']:>9}{times(answers, 'refused'):>10}{parts['in vain']:>9}"
        f"  {dict(counts) or 'none'}"
    )


def middle(answers: list[Answer], figure: str) -> float:
    """The median of a figure."""
    return statistics.median(answer[figure] for answer in answers)


def times(answers: list[Answer], became: str) -> str:
    """How long those waited of whom the same became."""
    known = [answer["times"][became] for answer in answers if became in answer["times"]]
    if not known:
        return "-"
    return " ".join(f"{statistics.median(each) * 1000:,.0f}" for each in zip(*known, strict=True))


# Over HTTP.


@contextmanager
def serving(server: PostgreSQL) -> Iterator[Ask]:
    """Run the service on a slow table; what asks it."""
    url = server.create_database("service")
    command = [sys.executable, "-m", "users_service"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    migrate = [*command, "migrate", "--database-url", url]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    server.execute(SLOW_USERS, "service")
    url += "?min_size=2&max_size=2&pool_timeout=1"
    port = free_port()
    with subprocess.Popen(
        [*command, "--port", str(port), "--database-url", url],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as service:
        try:
            asyncio.run(until_ready(port))

            def ask(how: str, many: float, seconds: float) -> Answer:
                return asyncio.run(ask_service(service.pid, port, how, many, seconds))

            yield ask
        finally:
            service.terminate()


async def until_ready(port: int) -> None:
    """Wait until the service answers."""
    async with asyncio.timeout(30):
        clients = Clients(port, "/health/ready")
        while await clients.ask() != SERVED:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        clients.close()


async def ask_service(pid: int, port: int, how: str, many: float, seconds: float) -> Answer:
    """Have clients come to the service; the CPU time is the service's."""
    clients = Clients(port, "/users/7")
    before = cpu_of(pid)
    answer: Answer = await getattr(Arrivals(clients.ask), how)(
        # A pool of two is busy with a few.
        8 if how == "at_once" else many,
        seconds,
    )
    answer["cpu"] = cpu_of(pid) - before
    clients.close()
    return answer


def cpu_of(pid: int) -> float:
    """The CPU time that a process has used, as Linux says it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Clients:
    """Clients of a service, who leave their connections to each other.

    Args:
        port: where it is.
        path: what they ask for.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> str:
        """Ask once; what became of it."""
        try:
            if self._free:
                reader, writer = self._free.pop()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            return repr(error)
        self._free.append((reader, writer))
        status = head.split(" ", 2)[1]
        if status == "503" and "\r\nretry-after: " in head:
            return "refused" if b"more requests than can be served" in body else "in vain"
        return SERVED if status == "200" else status

    def close(self) -> None:
        """Hang up."""
        for _, writer in self._free:
            writer.close()


if __name__ == "__main__":
    main()
