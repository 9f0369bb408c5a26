"""What was acknowledged is in the file, also when the process was killed a moment later."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import databases
from tests.servers.processes import PATIENCE

PROCESS = Path(__file__).with_name("sqlite_process.py")
ROOT = Path(databases.__file__).parents[1]

SCHEMA = """
CREATE TABLE singles (id INTEGER PRIMARY KEY, label TEXT UNIQUE);
CREATE TABLE mirrored (single INTEGER PRIMARY KEY, label TEXT);
CREATE TRIGGER mirror AFTER INSERT ON singles
    BEGIN INSERT INTO mirrored VALUES (new.id, new.label); END;
INSERT INTO singles VALUES (0, 'there already');
CREATE TABLE triples (label TEXT, part INTEGER, PRIMARY KEY (label, part));
CREATE TABLE batches (label TEXT, part INTEGER, PRIMARY KEY (label, part));
PRAGMA journal_mode = WAL;
"""


def kill_while_it_writes(file: Path, name: str, after: float) -> set[str]:
    """Have a process write, kill it ``after`` seconds; return the lines that it has said."""
    said, wrong = file.with_name("said"), file.with_name("wrong")
    with said.open("wb") as stdout, wrong.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(PROCESS), "write_until_killed", f"sqlite:///{file}", name],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=stdout,
            stderr=stderr,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not said.stat().st_size and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(after)
    finally:
        process.kill()
        ended = process.wait(PATIENCE)
    assert ended == -signal.SIGKILL, wrong.read_text()
    # The last line may have been cut off by the kill.
    lines = said.read_text().split("\n")[:-1]
    assert lines, "nothing was acknowledged"
    return set(lines)


def check(file: Path, acknowledged: set[str]) -> None:
    """The file is sound, has everything acknowledged, and nothing by halves."""
    with contextlib.closing(sqlite3.connect(file)) as connection:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql).fetchall()

        assert rows("PRAGMA integrity_check") == [("ok",)]
        singles = rows("SELECT id, label FROM singles ORDER BY id")
        assert rows("SELECT single, label FROM mirrored ORDER BY single") == singles
        triples = Counter(label for (label,) in rows("SELECT label FROM triples"))
        assert set(triples.values()) <= {3}
        batches = Counter(label for (label,) in rows("SELECT label FROM batches"))
        assert set(batches.values()) <= {5}
        there = {f"single {number} {label}" for number, label in singles}
        there |= {f"triple {label}" for label in triples}
        there |= {f"batch {label}" for label in batches}
        assert not acknowledged - there


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_process_loses_nothing_that_it_has_acknowledged(tmp_path: Path, seed: int) -> None:
    file, copy = tmp_path / "test.db", tmp_path / "copy.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA)
    dice = random.Random(seed)
    acknowledged: set[str] = set()
    for life in range(10):
        acknowledged |= kill_while_it_writes(file, str(life), dice.uniform(0.01, 0.15))
        # The file itself is left as it is, for the next process to recover.
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
        check(copy, acknowledged)
    check(file, acknowledged)
    kinds = Counter(line.split()[0] for line in acknowledged)
    assert kinds.keys() == {"single", "triple", "batch"}
