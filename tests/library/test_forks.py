"""A process that is forked while a database is connected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library import forked_process
from tests.library.kinds import ASYNCPG, FILE, Kind, on
from tests.library.places import OnServer, Place, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(how: str, url: str) -> list[str]:
    """What both processes say; nothing goes wrong in either."""
    done = subprocess.run(
        [sys.executable, forked_process.__file__, how, url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return sorted(done.stdout.splitlines())


async def test_a_child_is_told_to_connect_and_leaves_its_parent_alone(
    url: str, place: Place
) -> None:
    assert run("coroutine", url) == ["child: 11", "parent: 110", "parent: 55"]
    if isinstance(place, OnServer):
        await until(lambda: not place.sessions())


@on([FILE, ASYNCPG])
@pytest.mark.parametrize("how", ["thread", "multiprocessing", "between"])
def test_so_is_one_that_is_forked_in_another_way(kind: Kind, url: str, how: str) -> None:
    # SQLite's file is not closed for the fork while the event loop runs in another thread.
    child = "child: in use" if (kind, how) == (FILE, "thread") else "child: 11"
    assert run(how, url) == [child, "parent: 55"]


async def test_a_transaction_of_the_parent_goes_on_there_alone(
    kind: Kind, url: str, place: Place
) -> None:
    assert run("transaction", url) == [
        "child: in use" if kind is FILE else "child: 11",
        "parent: 57",
    ]
    if isinstance(place, OnServer):
        await until(lambda: not place.sessions())


@on([FILE, ASYNCPG])
def test_so_do_queries(url: str) -> None:
    assert run("query", url) == ["child: 11", "parent: 56"]


@on([FILE])
@pytest.mark.parametrize("what", ["read", "write"])
def test_nor_is_the_file_closed_under_one_that_goes_on(url: str, what: str) -> None:
    assert run(f"endless {what}", url) == ["child: in use", "parent: 55"]


@on([FILE, ASYNCPG])
def test_what_a_child_writes_is_kept_whenever_its_parent_disconnects(url: str) -> None:
    assert run("disconnect", url) == ["parent: 5"]


async def test_a_child_that_only_ends_disturbs_nobody(url: str, place: Place) -> None:
    assert run("busy exit", url) == ["parent: 55"]
    if isinstance(place, OnServer):
        await until(lambda: not place.sessions())


@on([FILE, ASYNCPG])
def test_nor_does_one_after_the_end_of_the_event_loop(url: str) -> None:
    assert run("after", url) == ["parent: 55"]
