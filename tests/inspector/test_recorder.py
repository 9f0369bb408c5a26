"""What the inspector keeps of a database, for how long, and what it never shows."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from databases import Database, exceptions
from databases.inspector import views
from databases.inspector.quantiles import Durations
from databases.inspector.recorder import Record, Recorder
from tests.inspector.recorded import Recorded, recorded
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    FILE,
    Kind,
    on,
)
from tests.library.places import until
from tests.library.users import INSERT, count

SECRET = "pa55" + "w0rd"  # the line of a call is shown, so it must not be written there

ANY = on([FILE, ASYNCPG, ASYNCMY])


async def answer(recorder: Recorded, path: str, *queries: str) -> None:
    """A request that comes in peace: each of its queries is filed before the next one."""
    with recorder.database.steps.request("GET", path) as responding:
        for query in queries:
            await recorder.database.fetch_all(query)
            recorder.file()
        responding.status = 200
    recorder.file()


# What is kept.


@ANY
async def test_a_request_is_kept_with_its_steps_in_order(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("POST", "/users") as responding:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
        await database.fetch_all("SELECT name FROM users")
        responding.status = 201
    await count(database)
    outside, request = recorder.requests()
    assert outside["summary"]["path"] == "outside requests"
    assert [step["kind"] for step in outside["steps"]] == ["query", "rows"]
    summary = request["summary"]
    shown = [summary[each] for each in ("method", "path", "status", "queries", "steps")]
    assert shown == ["POST", "/users", 201, 2, 10]
    assert [step["kind"] for step in request["steps"]] == [
        *("request", "acquire", "begin", "query", "rows", "commit", "release"),
        *("query", "rows", "response"),
    ]
    numbers = [step["n"] for step in request["steps"]]
    assert numbers == sorted(set(numbers))
    insert = request["steps"][3]
    assert insert["place"]["file"].endswith("test_recorder.py")
    assert insert["place"]["source"] == 'await database.execute(INSERT, {"name": "Ada"})'
    assert insert["values"] == [{"name": "1", "type": "str", "size": "3 characters", "value": None}]
    assert request["steps"][-2]["rows"] == 1
    assert summary["duration"] >= summary["database"] >= 0
    assert recorder.exported()["status"]["steps"] == 12


@ANY
async def test_a_query_under_way_is_shown_before_it_is_over(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both

    async def endless() -> None:
        with database.steps.request("GET", "/endless"):
            await database.fetch_all(f"SELECT {kind.wait}")

    task = asyncio.create_task(endless())
    await until(lambda: [each for each in database.steps.under_way() if each.sent_number])
    before = recorder.requests()[-1]
    task.cancel()
    await asyncio.wait([task])
    assert [step["kind"] for step in before["steps"]] == ["request", "query"]
    assert before["summary"]["status"] is None
    request = recorder.requests()[-1]
    assert [step["kind"] for step in request["steps"]] == ["request", "query", "rows", "response"]


async def test_no_more_is_kept_than_shall_be(url: str) -> None:
    async with recorded(FILE, url, steps=50, requests=5) as (_, recorder):
        for number in range(40):
            await answer(recorder, f"/{number}", "SELECT 1", f"SELECT {number} AS n{number}")
        assert recorder.kept <= 50
        exported = recorder.exported()
        assert exported["status"]["steps"] == 40 * 6
        assert exported["status"]["requests"] == 40
        paths = [each["summary"]["path"] for each in exported["requests"]]
        assert len(paths) <= 6
        assert paths[-1] == "/39"
        last = exported["requests"][-1]
        assert (len(last["steps"]), last["cut"]) == (6, 0)
        assert sum(len(each["steps"]) for each in exported["requests"]) <= 50


async def test_of_a_request_of_too_many_steps_the_last_are_kept_and_the_others_counted(
    url: str,
) -> None:
    async with recorded(FILE, url, steps=20) as (_, recorder):
        await answer(recorder, "/many", *["SELECT 1"] * 100)
        request = recorder.requests()[-1]
        assert len(request["steps"]) <= 20
        assert request["cut"] + len(request["steps"]) == request["summary"]["steps"] == 202
        assert request["steps"][-1]["kind"] == "response"


async def test_families_places_and_moments_are_bounded(url: str) -> None:
    async with recorded(FILE, url, slow=0.0) as (database, recorder):
        for number in range(1100):
            await database.fetch_all(f"SELECT 1 AS n{number}")
        for number in range(40):
            await eval(
                compile("\n" * number + "call()", "here", "eval"),
                {"call": lambda: database.fetch_all("SELECT 1 AS often")},
            )
        assert len(recorder.found()) <= 200
        statements = recorder.exported()["statements"]
        assert len(statements) <= 500
        assert max(len(each["places"]) for each in statements) <= 20


async def test_the_counts_of_families(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    for name in ("Ada", "Grace"):
        await database.execute(INSERT, {"name": name})
    with pytest.raises(exceptions.IntegrityError):
        await database.execute(INSERT, {"name": "Ada"})
    await database.fetch_all("SELECT * FROM users WHERE id IN (1, 2)")
    shown = {each["sql"]: each for each in recorder.exported()["statements"]}
    insert = shown["INSERT INTO users (name) VALUES (?)"]
    assert (insert["count"], insert["errors"], insert["rows"]) == (3, 1, 0)
    assert 0 < insert["p50"] <= insert["p95"] <= insert["p99"] <= insert["max"] <= insert["total"]
    assert sorted(place["count"] for place in insert["places"]) == [1, 2]
    assert shown["SELECT * FROM users WHERE id IN (...)"]["rows"] == 2


async def test_all_can_be_forgotten_but_what_is_under_way(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    await answer(recorder, "/over", *["SELECT 1"] * 4)
    with database.steps.request("GET", "/open"):
        await database.fetch_all("SELECT 2")
        recorder.clear()
        exported = recorder.exported()
        assert [each["summary"]["path"] for each in exported["requests"]] == [
            *("outside requests", "/open")
        ]
        assert exported["requests"][1]["steps"] == []
        assert exported["moments"] == exported["statements"] == []
        assert recorder.kept == 0
        await database.fetch_all("SELECT 3")
    request = recorder.requests()[-1]
    assert [step["kind"] for step in request["steps"]] == ["query", "rows", "response"]


async def test_what_comes_long_after_the_response_is_still_of_its_request(
    both: tuple[Database, Recorded],
) -> None:
    database, recorder = both
    go_on = asyncio.Event()

    async def later() -> None:
        await go_on.wait()
        await database.fetch_all("SELECT 1")

    with database.steps.request("GET", "/"):
        task = asyncio.create_task(later())
    recorder.file()
    go_on.set()
    await task
    request = recorder.requests()[-1]
    assert request["summary"]["queries"] == 1


async def test_requests_that_are_forgotten_are_nowhere_any_more(url: str) -> None:
    gc.collect()
    before = {id(each) for each in gc.get_objects() if type(each) is Record}
    async with recorded(FILE, url, steps=20, requests=5) as (database, recorder):
        for _ in range(30):
            with database.steps.request("GET", "/"):
                later = asyncio.ensure_future(database.fetch_all("SELECT 1"))
            recorder.file()
            await later
        recorder.file()
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is Record]
        assert len([each for each in kept if id(each) not in before]) <= 7


async def test_all_is_counted_however_little_is_kept(url: str) -> None:
    async with recorded(FILE, url, steps=50) as (database, recorder):
        for number in range(40):
            with database.steps.request("GET", f"/{number}"):
                await database.fetch_all("SELECT 1")
        recorder.file()
        assert (recorder.count, recorder.total) == (40, 40 * 4)


async def test_the_export_agrees_with_itself(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    await count(database)
    exported = recorder.exported()
    assert exported["status"]["steps"] == len(exported["requests"][0]["steps"]) == 2


@ANY
async def test_connections_that_could_not_be_had_leave_nothing_behind(kind: Kind, url: str) -> None:
    options = kind.alone | ({"timeout": 0.01} if kind is FILE else {"pool_timeout": 0.01})
    async with recorded(kind, url, options) as (database, recorder):
        for _ in range(3):
            async with database.transaction():
                with pytest.raises(exceptions.WaitTimeoutError):
                    await asyncio.shield(asyncio.create_task(transact(database)))
        recorder.file()
        assert not recorder.moments._leases
        assert not recorder.moments._waiting


async def transact(database: Database) -> None:
    async with database.transaction():
        pass


def test_a_second_event_loop_is_recorded_like_the_first(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    recorder = Recorder(database)

    async def use() -> int:
        async with database:
            await database.fetch_all("SELECT 1")
            before = recorder.total
            await asyncio.sleep(0.3)
            return recorder.total - before

    async def at_once() -> None:
        async with database:
            pass

    asyncio.run(at_once())
    assert asyncio.run(use()) > 0
    recorder.close()


# Durations.


@given(
    st.lists(st.floats(min_value=1e-6, max_value=1e4), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
@example([0.92] * 99 + [5.0], 0.5)
def test_quantiles_are_within_ten_per_cent(seconds: list[float], part: float) -> None:
    durations = Durations()
    durations.add(seconds)
    exact = sorted(seconds)[max(0, -int(-part * len(seconds) // 1) - 1)]
    assert exact * 0.999 <= durations.quantile(part) <= exact * 1.1
    assert durations.count == len(seconds)
    assert durations.longest == max(seconds)


def test_of_no_durations_and_of_none_at_all_the_quantile_is_zero() -> None:
    durations = Durations()
    assert durations.quantile(0.5) == 0.0
    durations.add([0.0, 0.0, 5.0])
    assert durations.quantile(0.5) == pytest.approx(0.0, abs=1e-9)
    assert durations.quantile(1.0) == 5.0


def test_views_are_plain_data(tmp_path: Path) -> None:
    recorder = Recorded(Database(f"sqlite:///{tmp_path}/test.db"))
    assert recorder.exported()["status"]["state"] == "not connected"
    assert views.now(recorder.database.statistics(), (), 0.0)["connections"] == []
    recorder.close()
