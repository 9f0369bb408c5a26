"""What spans tell of a query that fails, and of one that has to wait."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.trace import StatusCode

from databases import Database, exceptions
from tests.library.kinds import (
    ASYNCPG,
    CONCURRENT,
    FILE,
    NETWORK_ONLY,
    Kind,
    on,
)
from tests.library.places import until
from tests.library.telemetry.conftest import Seen, attributes, events
from tests.library.users import INSERT


async def test_an_error_is_on_the_span_without_the_values_in_its_message(
    kind: Kind, database: Database, seen: Seen
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.IntegrityError) as raised:
        await database.execute(INSERT, {"name": "Ada"})
    span = seen.spans("INSERT users")[-1]
    code = {"postgresql": "23505", "mysql": "1062", "sqlite": "SQLITE_CONSTRAINT_UNIQUE"}[
        database.url.dialect
    ]
    found = attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert found["error.type"] == found["db.response.status_code"] == code
    theirs = kind.unique
    assert isinstance(raised.value, theirs)
    assert events(span)["exception"]["exception.type"].rpartition(".")[2] == theirs.__name__
    assert "Ada" not in str(found) + str(events(span)) + str(span.status.description)
    failed = [
        point
        for point in seen.points("db.client.operation.duration")
        if "error.type" in point.attributes
    ]
    assert [point.attributes["error.type"] for point in failed] == [code]


@on([FILE, ASYNCPG])
async def test_an_error_of_ours_has_its_class(kind: Kind, database: Database, seen: Seen) -> None:
    with pytest.raises(exceptions.QueryTimeoutError):
        await database.fetch_all(kind.endless, timeout=0.1)
    [span] = seen.spans()
    assert attributes(span)["error.type"] == "asyncio.exceptions.CancelledError"
    assert "db.response.status_code" not in attributes(span)


@CONCURRENT
async def test_waiting_is_part_of_the_span_and_an_event_with_who_was_in_the_way(
    kind: Kind, url: str, database: Database
) -> None:
    async with Database(url, **kind.alone) as waiting:
        seen = Seen(waiting)
        async with waiting.transaction():
            insert = asyncio.create_task(waiting.execute(INSERT, {"name": "Ada"}))
            await until(lambda: waiting.statistics().waiting)
            [pending] = seen.points("db.client.connection.pending_requests")
            assert pending.value == 1
        await insert
        span = seen.span("INSERT users")
        wait = events(span)["databases.wait"]
        assert __file__.rpartition("/")[2] in str(wait["databases.holders"])
        assert wait["databases.detail"]
        async with waiting.transaction():
            begin = asyncio.create_task(holds(waiting))
            await until(lambda: waiting.statistics().waiting)
        await begin
        waits = [span for span in seen.spans() if "databases.wait" in events(span)]
        assert len(waits) == 2
        seen.end()


async def holds(database: Database) -> None:
    async with database.transaction():
        await database.fetch_val("SELECT 1")


@NETWORK_ONLY
async def test_waiting_in_vain_is_an_error_and_a_timeout(kind: Kind, url: str) -> None:
    async with Database(url, max_size=1, pool_timeout=0.1) as database:
        seen = Seen(database)
        async with database.connection():
            # Not awaited from here, which would be a deadlock.
            tasks = [
                asyncio.create_task(work)
                for work in (database.fetch_val("SELECT 1"), holds(database))
            ]
            await until(lambda: all(task.done() for task in tasks))
        assert [type(task.exception()) for task in tasks] == [exceptions.PoolTimeout] * 2
        failed = [span for span in seen.spans() if span.status.status_code is StatusCode.ERROR]
        assert [attributes(span)["error.type"] for span in failed] == [
            "databases.exceptions.PoolTimeout"
        ] * 2
        [timeouts] = seen.points("db.client.connection.timeouts")
        assert timeouts.value == 2
        seen.end()
