"""Any mix of tasks, transactions, failures and cancellations, against a model in plain Python."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.sqlite_model import FAIL, LEAVE, SQL, Do
from tests.library.sqlite_tasks import run
from tests.servers.processes import PATIENCE

numbers = st.integers(0, 4)
ticks = st.integers(0, 12)


def statement(kind: str, a: int, b: int, amount: int, timeout: float | None) -> Do:
    # An iteration goes on for as long as its user takes.
    return Do(kind, a, b, amount, None if kind == "iterate" else timeout)


statements = st.builds(
    statement,
    st.sampled_from(list(SQL)),
    st.integers(1, 6),
    st.integers(7, 9),
    st.integers(0, 3),
    st.sampled_from([None] * 6 + [0.00001, 0.0005, 0.003]),
)
at_once = st.lists(statements, min_size=2, max_size=5)
several = st.lists(statements, min_size=1, max_size=4)
blocks = st.sampled_from(["transaction", "connection", "readonly", "force_rollback", "transaction"])
interrupted = st.one_of(st.sampled_from([LEAVE, None, LEAVE, FAIL]), blocks, statements)

STEPS: dict[str, tuple[int, list[st.SearchStrategy[Any]]]] = {
    "single_statements": (7, [at_once]),
    "another_task_enters_a_block": (5, [blocks]),
    "enter_a_block_inside": (4, [numbers, blocks]),
    "run_in_a_block": (5, [numbers, several]),
    "leave_a_block": (5, [numbers, st.sampled_from([LEAVE, LEAVE, FAIL])]),
    "cancel_a_single_statement": (2, [statements, ticks]),
    "cancel_in_a_block": (2, [numbers, interrupted, ticks]),
    "cancel_one_that_waits": (1, [numbers]),
}
"""Methods of Tasks, how often each is drawn, and its arguments."""


def arguments(name: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *STEPS[name][1])


step = st.sampled_from([name for name, (often, _) in STEPS.items() for _ in range(often)])
steps = st.lists(step.flatmap(arguments), min_size=20, max_size=30)


# The same examples each time: a failure is not somebody else's bad luck.
@pytest.mark.parametrize("place", ["file", "memory"])
@settings(max_examples=100, deadline=None, derandomize=True, print_blob=True)
@given(steps=steps)
def test_tasks_that_do_anything_at_any_time_leave_what_the_model_says(
    place: str, steps: list[tuple[Any, ...]]
) -> None:
    threads = threading.active_count()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "test.db") if place == "file" else None
        asyncio.run(run(file, steps))
        if file is not None:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= threads
