"""Short reads run in the event loop's own thread, and nobody can tell but by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from databases import Database, exceptions

POINT = "SELECT name FROM users WHERE id = :id"
UP_TO = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most)
SELECT count(*) FROM n"""


def handed_over(database: Database) -> int:
    """How many reads the readers' thread has been given."""
    given: int = database._engine._backend._readers._first.given  # type: ignore[union-attr]
    return given


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def proved_short(database: Database, sql: str, values: Any) -> None:
    """Run a short read until it is not handed over to a thread any more."""
    for _ in range(5000):
        before = handed_over(database)
        await database.fetch_all(sql, values)
        if handed_over(database) == before:
            return
    pytest.fail("it never ran in the loop's thread")


@pytest.fixture
async def users(file_database: Database) -> Database:
    await file_database.execute("INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
    await proved_short(file_database, POINT, {"id": 1})
    return file_database


async def test_a_read_that_proved_short_needs_no_thread(users: Database) -> None:
    before = handed_over(users)
    assert [await users.fetch_val(POINT, {"id": number}) for number in (1, 2, 3)] == [
        "Ada",
        "Grace",
        None,
    ]
    assert handed_over(users) == before


async def test_a_long_one_is_never_let_in(file_database: Database) -> None:
    before = handed_over(file_database)
    for _ in range(10):
        assert await file_database.fetch_val(UP_TO, {"most": 30_000}) == 30_000
    assert handed_over(file_database) == before + 10


async def test_one_that_turns_out_long_is_stopped_and_done_by_a_reader(
    file_database: Database,
) -> None:
    await proved_short(file_database, UP_TO, {"most": 2})
    before = handed_over(file_database)
    assert await file_database.fetch_val(UP_TO, {"most": 300_000}) == 300_000
    assert handed_over(file_database) == before + 1
    # It has to prove itself again.
    assert await file_database.fetch_val(UP_TO, {"most": 2}) == 2
    assert handed_over(file_database) == before + 2


async def test_a_long_value_is_read_by_a_reader(users: Database) -> None:
    await users.execute("UPDATE users SET name = hex(zeroblob(5000000)) WHERE id = 2")
    before = handed_over(users)
    assert len(await users.fetch_val(POINT, {"id": 2})) == 10_000_000
    assert handed_over(users) == before + 1


async def test_it_sees_what_was_just_written(users: Database) -> None:
    for number in range(3, 100):
        await users.execute("INSERT INTO users VALUES (:id, :id)", {"id": number})
        assert await users.fetch_val(POINT, {"id": number}) == str(number)
        async with users.transaction():
            await users.execute("UPDATE users SET name = 'x' || id WHERE id = :id", {"id": number})
            assert await users.fetch_val(POINT, {"id": number}) == f"x{number}"
            assert await outside(users, number) == str(number)
        assert await users.fetch_val(POINT, {"id": number}) == f"x{number}"


async def outside(database: Database, number: int) -> Any:
    return await asyncio.create_task(database.fetch_val(POINT, {"id": number}))


async def test_reads_in_a_row_let_others_have_their_turn(users: Database) -> None:
    turns = 0
    done = False

    async def count_turns() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async def read_on() -> int:
        for _ in range(1000):
            await users.fetch_val(POINT, {"id": 1})
        return turns

    counting = asyncio.create_task(count_turns())
    ends = await asyncio.gather(*[read_on() for _ in range(5)])
    done = True
    await counting
    assert turns > 10
    # They took turns: none was through before another had begun.
    assert min(ends) > 5


async def test_one_that_is_cancelled_while_it_pauses_holds_nobody_up(users: Database) -> None:
    async def read_on() -> None:
        while True:
            await users.fetch_val(POINT, {"id": 1})

    tasks = [asyncio.create_task(read_on()) for _ in range(20)]
    await asyncio.sleep(0.02)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0.02)
    async with asyncio.timeout(20):
        for _ in range(500):
            assert await users.fetch_val(POINT, {"id": 2}) == "Grace"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_disconnecting_in_the_middle_of_it_is_an_error_and_no_hang(users: Database) -> None:
    async def read_on() -> None:
        while True:
            await users.fetch_val(POINT, {"id": 1})

    tasks = [asyncio.create_task(read_on()) for _ in range(20)]
    await asyncio.sleep(0.02)
    await users.disconnect()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result).__name__ for result in results} == {"NotConnectedError"}


async def test_a_lock_of_another_process_is_waited_for(file_url: str) -> None:
    async with Database(file_url, journal_mode="delete") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        await database.execute("INSERT INTO users VALUES (1, 'Ada')")
        await proved_short(database, POINT, {"id": 1})
        other = sqlite3.connect(file_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        reading = asyncio.ensure_future(database.fetch_val(POINT, {"id": 1}))
        await asyncio.sleep(0.05)
        assert not reading.done()
        other.execute("COMMIT")
        other.close()
        assert await reading == "Ada"


async def test_another_event_loop_gets_its_rows_from_the_readers(users: Database) -> None:
    found: list[object] = []

    async def read() -> None:
        found.extend([await users.fetch_val(POINT, {"id": 1}) for _ in range(10)])

    thread = threading.Thread(target=lambda: asyncio.run(read()))
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert found == ["Ada"] * 10


async def test_a_read_in_a_transaction_leaves_the_connection_as_it_was(users: Database) -> None:
    big = "SELECT length(hex(zeroblob(1000000)))"
    async with users.transaction():
        for _ in range(10):
            await users.fetch_val(POINT, {"id": 1})
        assert await users.fetch_val(big) == 2_000_000
        assert await users.fetch_val(UP_TO, {"most": 300_000}) == 300_000
        await users.execute("UPDATE users SET name = hex(zeroblob(1000000)) WHERE id = 1")
    assert await users.fetch_val("SELECT length(name) FROM users WHERE id = 1") == 2_000_000


async def test_an_error_is_the_same_as_from_a_reader(users: Database) -> None:
    for value in (2**64, "\ud800"):
        with pytest.raises(exceptions.DataError) as caught:
            await users.fetch_val(POINT, {"id": value})
        assert "Called at" in "\n".join(caught.value.__notes__)


async def test_one_that_was_long_here_has_to_prove_itself_for_longer_each_time(
    file_database: Database,
) -> None:
    needed = []
    for _ in range(3):
        before = handed_over(file_database)
        await proved_short(file_database, UP_TO, {"most": 2})
        needed.append(handed_over(file_database) - before)
        await file_database.fetch_val(UP_TO, {"most": 300_000})
    assert needed[0] < needed[1] < needed[2]


@contextlib.asynccontextmanager
async def turns_of_the_loop() -> AsyncIterator[Callable[[], int]]:
    """Tells how many turns the event loop has had: none while something holds up its thread."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    counting = asyncio.create_task(count_turns())
    try:
        yield lambda: turns
    finally:
        counting.cancel()


async def test_begin_never_waits_for_a_lock_in_the_loops_thread(
    file_database: Database, file_url: str
) -> None:
    other = sqlite3.connect(file_url.removeprefix("sqlite:///"), isolation_level=None)
    async with turns_of_the_loop() as turns, file_database.connection() as connection:
        await connection.raw_connection.execute("SELECT 1")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), connection.transaction():
                pass
        other.execute("COMMIT")
    other.close()
    assert turns() > 10


async def test_a_cursor_that_is_forgotten_does_not_have_the_loop_wait_for_its_thread(
    file_database: Database,
) -> None:
    async with file_database.connection() as connection:
        cursor = await connection.raw_connection.execute("SELECT 1")
        async with turns_of_the_loop() as turns:
            long = ENDLESS.replace("FROM n)", "FROM n LIMIT 20000000)")
            counted = asyncio.create_task(connection.fetch_val(long))
            await asyncio.sleep(0.1)
            del cursor
            await asyncio.sleep(0)
            before = turns()
            await asyncio.sleep(0.2)
            assert before > 2
            assert turns() - before > 10
            assert not counted.done()
            counted.cancel()


async def test_a_write_to_a_new_file_is_seen_by_the_next_read(
    users: Database, file_url: str
) -> None:
    path = Path(file_url.removeprefix("sqlite:///"))
    await asyncio.sleep(0.2)
    assert await users.fetch_val(POINT, {"id": 1}) == "Ada"
    replace_by_an_empty_one(path)
    await users.execute("INSERT INTO users VALUES (1, 'Joan')")
    assert await users.fetch_val(POINT, {"id": 1}) == "Joan"


def replace_by_an_empty_one(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    new = sqlite3.connect(path)
    new.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
    new.close()


async def test_it_is_closed_for_a_fork_and_open_again_after_it(users: Database) -> None:
    backend: Any = users._engine._backend
    rest = backend.rest()
    assert not backend._lane.is_open
    rest.end()
    before = handed_over(users)
    assert await users.fetch_val(POINT, {"id": 1}) == "Ada"
    assert handed_over(users) == before
