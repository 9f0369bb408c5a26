"""The log of slow queries, and of connections that are held for too long."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Database, exceptions, slow_log
from tests.library.kinds import ASYNCMY, ASYNCPG, CONCURRENT, FILE, Kind, on
from tests.library.places import until
from tests.library.users import INSERT

LOGGER = "databases.slow_log"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        yield caplog


def of_event(log: pytest.LogCaptureFixture, event: str) -> list[Any]:
    """The records of one event; they have more fields than a type checker knows."""
    return [each for each in log.records if getattr(each, "db_event", None) == event]


async def test_a_slow_query_is_told_with_its_times_and_place(
    database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=0.0)
    sql = "SELECT name\nFROM users\nWHERE name = :name AND id > 4711"
    with database.steps.request("GET", "/users/\x1b[31m\n7"):
        await database.fetch_all(sql, {"name": "Ada"})
    end()
    [record] = log.records
    message = record.getMessage()
    [told] = of_event(log, "slow query")
    assert record.levelno == logging.WARNING
    assert record.name == LOGGER
    assert message.startswith("Slow query: ")
    assert message.isprintable()
    assert "rows): SELECT name FROM users WHERE name = " in message
    assert "AND id > ? [" in message
    assert "Ada" not in message
    assert "4711" not in message
    assert "in test_a_slow_query_is_told_with_its_times_and_place" in message
    assert "GET /users/" in message
    assert told.db_seconds == told.db_queue + told.db_query + told.db_decode
    assert told.db_rows == 0
    assert told.db_error is None
    assert told.db_place.startswith(f"{__file__}:")
    assert told.db_request.startswith("GET /users/")
    task = asyncio.current_task()
    assert task is not None
    assert told.db_task == task.get_name()


async def test_a_query_that_is_not_slow_is_not_told(
    database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=100)
    other = slow_log.watch(database, slow=None)
    await database.fetch_all("SELECT * FROM users")
    end()
    other()
    assert log.records == []


@CONCURRENT
async def test_waiting_for_others_makes_a_query_slow(
    kind: Kind, url: str, database: Database, log: pytest.LogCaptureFixture
) -> None:
    async with Database(url, **kind.alone) as waiting:
        end = slow_log.watch(waiting, slow=0.1)
        async with waiting.transaction():
            insert = asyncio.create_task(waiting.execute(INSERT, {"name": "Ada"}))
            await until(lambda: waiting.statistics().waiting)
            await asyncio.sleep(0.12)
        await insert
        end()
    [told] = of_event(log, "slow query")
    assert told.db_queue >= 0.1
    assert told.db_query < told.db_queue


@on([FILE, ASYNCPG])
async def test_a_slow_query_that_fails_is_told_with_its_error(
    kind: Kind, database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=0.0)
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.IntegrityError):
        await database.execute(INSERT, {"name": "Ada"})
    end()
    told = of_event(log, "slow query")[-1]
    assert told.db_error == "IntegrityError"
    assert ", IntegrityError): INSERT" in told.getMessage()
    assert "Ada" not in told.getMessage()


@on([ASYNCMY])
async def test_strings_of_mysql_are_not_told(
    database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=0.0)
    await database.fetch_val('SELECT "secret"')
    end()
    assert [told.db_sql for told in of_event(log, "slow query")] == ["SELECT ?"]


async def test_a_connection_that_is_kept_is_told_while_it_is_held_and_when_it_is_back(
    kind: Kind, database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=None, held=0.05)
    with database.steps.request("GET", "/slow"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            await until(lambda: log.records)
            [told] = of_event(log, "connection held")
            message = told.getMessage()
            assert message.startswith("Connection held for ")
            assert "not given back (idle for " in message
            assert "INSERT INTO users (name) VALUES (" in message
            assert "in test_a_connection_that_is_kept_is_told" in message
            assert message.isprintable()
            assert told.db_request == "GET /slow"
            assert told.db_connection
            assert told.db_sql.startswith("INSERT INTO users")
    await until(lambda: len(log.records) == 2)
    [back] = of_event(log, "connection returned")
    assert back.getMessage().startswith("Connection given back after ")
    assert back.db_seconds >= told.db_seconds
    assert back.db_place == told.db_place
    end()


@CONCURRENT
async def test_one_that_is_busy_is_told_as_busy(
    kind: Kind, database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=None, held=0.05)
    async with database.connection() as connection:
        with pytest.raises(exceptions.QueryTimeoutError):
            await connection.fetch_all(kind.endless, timeout=0.2)
    [told] = of_event(log, "connection held")
    assert "(busy for " in told.getMessage()
    end()


@CONCURRENT
async def test_a_connection_that_its_task_left_behind_can_still_be_collected(
    kind: Kind, database: Database
) -> None:
    end = slow_log.watch(database, held=60)

    async def leak() -> None:
        connection = await database.connection().__aenter__()
        # The frames of an error know the connection.
        with pytest.raises(kind.missing_table):
            await connection.fetch_all("SELECT * FROM no_such_table")

    await asyncio.create_task(leak())
    gc.collect()
    await until(lambda: not database.statistics().held)
    end()


async def test_a_connection_that_comes_back_in_time_is_not_told(
    database: Database, log: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=None, held=0.05)
    async with database.connection():
        await database.fetch_val("SELECT 1")
    await asyncio.sleep(0.1)
    end()
    assert log.records == []


async def test_the_connection_that_all_share_is_not_a_leak(
    url: str, log: pytest.LogCaptureFixture
) -> None:
    database = Database(url, force_rollback=True)
    end = slow_log.watch(database, slow=None, held=0.0001)
    async with database:
        await asyncio.sleep(0.05)
    end()
    assert log.records == []


def timers() -> int:
    loop: Any = asyncio.get_running_loop()
    return sum(
        not timer.cancelled() and "_still_held" in repr(timer._callback)
        for timer in loop._scheduled
    )


@on([FILE, ASYNCPG])
async def test_no_timer_is_left_behind(kind: Kind, url: str, log: pytest.LogCaptureFixture) -> None:
    database = Database(url)
    end = slow_log.watch(database, held=60)
    async with database:
        async with database.connection():
            assert timers() == 1
        assert timers() == 0
        await database.connection().__aenter__()
        assert timers() == 1
    assert timers() == 0, "a database that is disconnected has no connections"
    async with database, database.connection():
        assert timers() == 1
        end()
        assert timers() == 0
    assert not database.steps.is_watched


async def test_another_logger_can_be_given(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    end = slow_log.watch(database, slow=0.0, logger=logging.getLogger("shop.database"))
    await database.fetch_val("SELECT 1")
    end()
    assert [record.name for record in caplog.records] == ["shop.database"]
