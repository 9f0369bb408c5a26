"""The users service on this library and on databases 0.9.0, side by side.

Both serve the same 5,000 users from SQLite files in one uvicorn process, with the access log on.
wrk asks each for random users over 32 keep-alive connections, in turns; medians are compared.
An address that needs no database shows what the rest of the application costs.

    scripts/bench service [--rounds 5] [--seconds 4]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
USERS = 5_000
CONNECTIONS = 32
OURS, ORIGINAL = "databases-next", "databases 0.9.0"

REQUESTS = {
    "GET /users/{id}": f'wrk.format(nil, "/users/" .. math.random(1, {USERS}))',
    "GET /users?limit=100": f"""
        wrk.format(nil, "/users?limit=100&after=" .. math.random(1, {USERS}))""",
    "GET /health/live (no database)": 'wrk.format(nil, "/health/live")',
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench service")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load of this benchmark: apt install wrk")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # The original must not find this repository's `databases` beside the service.
        (folder / "peer").mkdir()
        (folder / "peer" / "users_service").symlink_to(ROOT / "users_service")
        peer = str(ROOT / "benchmarks" / "users_on_databases_0_9.py")
        with (
            serving(folder / "ours.db", ROOT, [sys.executable, "-m", "users_service"]) as ours,
            serving(
                folder / "original.db", folder / "peer", [python_of_original(), "-P", peer]
            ) as original,
        ):
            servers = {OURS: ours, ORIGINAL: original}
            print(f"{CONNECTIONS} connections, medians of {arguments.rounds} rounds, requests/s\n")
            print(f"{'':32}{OURS:>16}{ORIGINAL:>18}{'ratio':>8}")
            for name, request in REQUESTS.items():
                script = folder / "request.lua"
                script.write_text(f"request = function() return {request} end\n")
                rates = measured(servers, script, arguments.rounds, arguments.seconds)
                ratio = rates[OURS] / rates[ORIGINAL]
                print(f"{name:32}{rates[OURS]:>16,.0f}{rates[ORIGINAL]:>18,.0f}{ratio:>7.1f}x")


def python_of_original() -> str:
    """The interpreter of an environment with databases 0.9.0 and the service's requirements."""
    made = subprocess.run(
        [ROOT / "scripts" / "_env", "peer-databases-0.9"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout.strip()


@contextmanager
def serving(database: Path, path: Path, command: list[str]) -> Iterator[str]:
    """Run the service on a database of its own; yields its address."""
    server = subprocess.Popen(
        [*command, "--port", str(free_port()), "--database-url", f"sqlite:///{database}"],
        cwd=path,
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().rpartition(" ")[2].strip()
        # Its log has to go somewhere while it is measured.
        drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
        fill(database)
        wait_for(address + "health/ready")
        yield address
    finally:
        server.terminate()
        server.wait(30)
        drain.wait(30)


def fill(database: Path) -> None:
    """Add the users, all in one go."""
    connection = sqlite3.connect(database)
    connection.executemany(
        "INSERT INTO users (name, name_key, created_at) VALUES (?, ?, '2026-01-01 00:00:00')",
        [(f"User {number}", f"user {number}") for number in range(USERS)],
    )
    connection.commit()
    connection.close()


def wait_for(address: str) -> None:
    """Wait until the service answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{address} does not answer")


def measured(servers: dict[str, str], script: Path, rounds: int, seconds: int) -> dict[str, float]:
    """Load the servers in turns; the median of each one's requests per second."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, address in servers.items():
            rates[name].append(load(address, script, seconds))
    return {name: statistics.median(each) for name, each in rates.items()}


def load(address: str, script: Path, seconds: int) -> float:
    """Ask one server for a while; its requests per second, none of which may fail."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    shown = subprocess.run(
        ["wrk", *options, address], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in shown or "Socket errors" in shown:
        raise SystemExit(f"{address} failed:\n{shown}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    assert rate is not None, shown
    return float(rate[1])


if __name__ == "__main__":
    main()
