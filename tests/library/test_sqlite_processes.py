"""Several processes on one file: each gets its turn to write, and one that dies stops nobody."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import databases
from databases import Database

PROCESS = Path(__file__).with_name("sqlite_process.py")
ROOT = Path(databases.__file__).parents[1]
PATIENCE = 60

SCHEMA = """
CREATE TABLE counter (value INTEGER);
INSERT INTO counter VALUES (0);
CREATE TABLE singles (id INTEGER PRIMARY KEY, label TEXT UNIQUE);
PRAGMA journal_mode = WAL;
"""

Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "test.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA)
    return file


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``sqlite_process.py`` with the given work; it waits at ``say_go``."""
    started: list[Process] = []

    def start(*work: object) -> Process:
        process = subprocess.Popen(
            [sys.executable, str(PROCESS), *[str(argument) for argument in work]],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def say_go(processes: list[Process]) -> None:
    """Let all of them begin at once, when all of them have connected."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def outcome(process: Process) -> str:
    """What a process said until its end, which must be without an error."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    return output


def value(file: Path, sql: str) -> object:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(sql).fetchone()[0]


def test_four_processes_that_read_and_then_write_lose_nothing_and_wait_in_turn(
    file: Path, start: Start
) -> None:
    processes = [start("count", f"sqlite:///{file}", 25, 40) for _ in range(4)]
    say_go(processes)
    reports = [json.loads(outcome(process)) for process in processes]
    assert value(file, "SELECT value FROM counter") == 4 * 25 * 40
    assert max(report["longest"] for report in reports) < 5, reports


def test_single_inserts_of_four_processes_get_by_the_long_transactions_of_a_fifth(
    file: Path, start: Start
) -> None:
    url = f"sqlite:///{file}"
    processes = [start("insert", url, name, 20, 10) for name in "abcd"]
    processes.append(start("hold", url, "e", 15))
    say_go(processes)
    for process in processes:
        assert outcome(process) == ""
    assert value(file, "SELECT count(*) FROM singles") == 4 * 20 * 10 + 15
    assert value(file, "SELECT value FROM counter") == 15


async def test_a_process_that_is_killed_in_a_transaction_does_not_block_the_others(
    file: Path, start: Start
) -> None:
    url = f"sqlite:///{file}"
    killed, other = start("hang", url), start("insert", url, "other", 20, 5)
    say_go([killed])
    assert killed.stdout is not None
    assert killed.stdout.readline() == "holding\n"
    say_go([other])
    async with Database(f"{url}?timeout={PATIENCE}") as database:
        with pytest.raises(TimeoutError):
            await database.execute("UPDATE counter SET value = -1", timeout=0.1)
        assert await database.fetch_val("SELECT count(*) FROM singles") == 0
        killed.kill()
        async with database.transaction():
            await database.execute("UPDATE counter SET value = value + 1")
        await database.execute("INSERT INTO singles (label) VALUES ('free')")
    assert outcome(other) == ""
    assert value(file, "SELECT count(*) FROM singles WHERE label = 'lost'") == 0
    assert value(file, "SELECT count(*) FROM singles") == 20 * 5 + 1
    assert value(file, "SELECT value FROM counter") == 1
