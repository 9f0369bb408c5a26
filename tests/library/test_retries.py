"""Transactions that are run again: when, how often, and when not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from databases import Database, Pending, Transaction, exceptions, retrying
from databases.retrying import _pause
from databases.steps import Kind as Told
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, SQLITE_ONLY, Kind, Network
from tests.library.places import OnServer, until
from tests.library.pools import is_whole, notes_of, until_gone
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count, writes_at_once

COUNTER = "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER)"
AT_MOST = 30
"""Seconds, against a test that hangs."""


@pytest.fixture
async def local() -> AsyncIterator[Database]:
    """For what is the same on every database."""
    async with Database("sqlite://") as database:
        await database.execute(USERS.format("INTEGER PRIMARY KEY"))
        yield database


def conflict() -> exceptions.TransactionConflictError:
    """As a driver would raise it."""
    made = exceptions.combined(exceptions.TransactionConflictError, sqlite3.OperationalError)
    return made("database is locked")


class Failing:
    """A function that fails so many times, and counts its calls."""

    def __init__(self, database: Database, times: int, error: Callable[[], BaseException]) -> None:
        self.calls = 0
        self._database = database
        self._times = times
        self._error = error

    async def __call__(self, name: str = "Ada") -> str:
        self.calls += 1
        await self._database.execute(INSERT, {"name": f"{name} {self.calls}"})
        if self.calls <= self._times:
            raise self._error()
        return f"{name} {self.calls}"


# What is run again.


@CONCURRENT
async def test_increments_of_many_tasks_are_all_kept(database: Database) -> None:
    await database.execute(COUNTER)
    await database.execute("INSERT INTO counters VALUES (1, 0)")
    attempts = 0

    @database.transaction(isolation="serializable", retry=AT_MOST)
    async def increment() -> None:
        nonlocal attempts
        attempts += 1
        n = await database.fetch_val("SELECT n FROM counters WHERE id = 1")
        await database.execute("UPDATE counters SET n = :n WHERE id = 1", {"n": n + 1})

    async def work() -> None:
        for _ in range(5):
            await increment()

    async with asyncio.timeout(AT_MOST):
        await asyncio.gather(*[work() for _ in range(6)])
    assert await database.fetch_val("SELECT n FROM counters") == 30
    if not database.url.scheme.startswith("sqlite"):
        assert attempts > 30, "they were never in each other's way"


async def test_a_decorated_function_is_called_again_in_a_new_transaction(local: Database) -> None:
    function = Failing(local, 3, conflict)
    assert await local.transaction(retry=True)(function)("Grace") == "Grace 4"
    rows = await local.fetch_all("SELECT name FROM users")
    assert [row.name for row in rows] == ["Grace 4"]


async def test_run_in_transaction_calls_a_function_with_arguments(database: Database) -> None:
    function = Failing(database, 2, conflict)
    running = database.run_in_transaction(function, "Grace", isolation="serializable")
    assert isinstance(running, Pending)
    assert await running == "Grace 3"
    async with database.connection() as connection:
        function.calls = 1
        assert await connection.run_in_transaction(function, "Ada") == "Ada 3"
    assert await count(database) == 2
    await writes_at_once(database)


@pytest.mark.parametrize("retry", [False, None, 0, 0.0])
async def test_without_retry_it_is_called_once(local: Database, retry: Any) -> None:
    function = Failing(local, 1, conflict)
    with pytest.raises(exceptions.TransactionConflictError):
        await local.run_in_transaction(function, retry=retry)
    assert function.calls == 1
    function.calls = 0
    with pytest.raises(exceptions.TransactionConflictError):
        await local.transaction(retry=retry)(function)()
    assert function.calls == 1


async def test_one_that_is_rolled_back_in_any_case_is_tried_again_too(local: Database) -> None:
    function = Failing(local, 2, conflict)
    assert await local.transaction(force_rollback=True, retry=1)(function)() == "Ada 3"
    assert await count(local) == 0


async def test_run_in_transaction_takes_what_a_transaction_takes(local: Database) -> None:
    function = Failing(local, 2, conflict)
    assert await local.run_in_transaction(function, force_rollback=True) == "Ada 3"
    assert await count(local) == 0
    with pytest.raises(exceptions.DatabaseError, match="readonly"):
        await local.run_in_transaction(function, readonly=True)
    with pytest.raises(exceptions.UnknownOptionError, match="serialisable"):
        await local.run_in_transaction(function, isolation="serialisable")


async def test_calls_at_the_same_time_have_each_their_own_attempts(local: Database) -> None:
    functions = [Failing(local, times, conflict) for times in range(5)]
    calls = [local.run_in_transaction(each, str(n)) for n, each in enumerate(functions)]
    await asyncio.gather(*calls)
    assert [each.calls for each in functions] == [1, 2, 3, 4, 5]
    assert await count(local) == 5


async def test_each_attempt_is_told_and_that_it_is_run_again(local: Database) -> None:
    seen = Seen(local)
    await local.run_in_transaction(Failing(local, 1, conflict))
    seen.leave()
    seen.add_up()
    kinds = [step.kind for step in seen if step.kind not in (Told.QUERY, Told.ROWS)]
    attempt = [Told.ACQUIRE, Told.BEGIN]
    assert kinds == [
        *attempt,
        Told.ROLLBACK,
        Told.RELEASE,
        Told.RETRY,
        *attempt,
        Told.COMMIT,
        Told.RELEASE,
    ]
    step = seen.one(Told.RETRY)
    assert step.detail == "attempt 1 of its transaction failed"
    assert isinstance(step.error, exceptions.TransactionConflictError)
    assert step.site is not None
    assert step.site.filename == __file__


# For how long.


async def test_after_its_time_the_last_error_says_how_often_it_was_tried(
    local: Database,
) -> None:
    function = Failing(local, 10**9, conflict)
    async with asyncio.timeout(AT_MOST):
        with pytest.raises(exceptions.TransactionConflictError) as caught:
            await local.run_in_transaction(function, retry=0.2)
    assert isinstance(caught.value, sqlite3.OperationalError)
    assert f"It was tried {function.calls} times in 0." in notes_of(caught.value)
    assert "retry=0.2" in notes_of(caught.value)
    assert function.calls > 2
    await writes_at_once(local)


async def test_a_first_attempt_that_takes_longer_is_the_only_one(local: Database) -> None:
    function = Failing(local, 1, conflict)

    async def slow() -> str:
        await asyncio.sleep(0.05)
        return await function()

    with pytest.raises(exceptions.TransactionConflictError) as caught:
        await local.run_in_transaction(slow, retry=0.01)
    assert "It was tried once in 0.1 s" in notes_of(caught.value)


async def test_pauses_are_no_longer_than_what_is_left(
    local: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "_pause", lambda attempts: 1000.0)
    function = Failing(local, 10**9, conflict)
    async with asyncio.timeout(AT_MOST):
        with pytest.raises(exceptions.TransactionConflictError):
            await local.run_in_transaction(function, retry=0.1)
    assert function.calls == 2  # one more when the time is over


def test_pauses_are_short_at_first_random_and_never_long() -> None:
    assert all(0 <= _pause(1) <= 0.01 for _ in range(100))
    assert len({_pause(5) for _ in range(100)}) > 90
    assert 0.5 < max(_pause(10_000) for _ in range(100)) <= 1.0


async def test_cancelled_between_two_attempts_it_ends_at_once(
    local: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "_pause", lambda attempts: 1000.0)
    function = Failing(local, 10**9, conflict)
    task = asyncio.create_task(_call(local, function, retry=1000))
    await until(lambda: function.calls)
    await until(lambda: not local.statistics().held)
    task.cancel()
    async with asyncio.timeout(AT_MOST):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert function.calls == 1
    await writes_at_once(local)


async def _call(database: Database, function: Failing, retry: float) -> str:
    return await database.run_in_transaction(function, retry=retry)


# What is not run again.


class Stop(BaseException):
    """What is no error."""


@pytest.mark.parametrize(
    "error",
    [
        exceptions.CommitUnknown,
        exceptions.OperationalError,
        exceptions.IntegrityError,
        exceptions.PoolTimeout,
        exceptions.TooManyRequests,
        exceptions.QueryTimeoutError,
        exceptions.TransactionStateError,
        ValueError,
        asyncio.CancelledError,
        Stop,
    ],
)
async def test_other_errors_pass_at_once(local: Database, error: type[BaseException]) -> None:
    function = Failing(local, 1, lambda: error("as it is"))
    with pytest.raises(error):
        await local.run_in_transaction(function)
    assert function.calls == 1
    assert await count(local) == 0


async def test_nothing_of_an_attempt_waits_for_the_garbage_collector(local: Database) -> None:
    async def fails() -> None:
        for times in (2, 10**9):
            # pytest.raises would keep the error in a cycle of its own.
            with contextlib.suppress(exceptions.DriverError):
                await local.run_in_transaction(Failing(local, times, conflict), retry=0.03)

    await fails()
    gc.collect()
    gc.disable()
    try:
        await fails()
        kept = exceptions.DriverError | Transaction
        assert not [each for each in gc.get_objects() if isinstance(each, kept)]
    finally:
        gc.enable()


async def test_an_error_of_the_users_that_was_caused_by_a_conflict_passes_too(
    local: Database,
) -> None:
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1
        try:
            raise conflict()
        except exceptions.TransactionConflictError as error:
            raise ValueError("sold out") from error

    with pytest.raises(ValueError, match="sold out"):
        await local.run_in_transaction(function)
    assert calls == 1


@pytest.mark.parametrize("outer_retries", [True, False])
async def test_inside_another_transaction_only_the_outermost_is_run_again(
    database: Database, outer_retries: bool
) -> None:
    inner = Failing(database, 2, conflict)
    calls = 0

    @database.transaction(retry=outer_retries)
    async def outer() -> str:
        nonlocal calls
        calls += 1
        await database.execute(INSERT, {"name": f"outer {calls}"})
        return await database.run_in_transaction(inner)

    if outer_retries:
        assert await outer() == "Ada 3"
        assert (calls, inner.calls) == (3, 3)
        assert await count(database) == 2
    else:
        with pytest.raises(exceptions.TransactionConflictError) as caught:
            await outer()
        assert (calls, inner.calls) == (1, 1)
        assert "tried" not in notes_of(caught.value)
        assert await count(database) == 0


async def test_under_force_rollback_it_is_called_once(kind: Kind, url: str) -> None:
    async with Database(url, force_rollback=True) as database:
        await database.execute(USERS.format(kind.key).replace("TABLE", "TEMPORARY TABLE"))
        function = Failing(database, 1, conflict)
        with pytest.raises(exceptions.TransactionConflictError):
            await database.run_in_transaction(function)
        assert function.calls == 1


@NETWORK_ONLY
async def test_on_a_connection_that_broke_and_is_held_nothing_is_tried_again(
    kind: Network, database: Database, server: OnServer
) -> None:
    calls = 0

    async def function() -> None:
        nonlocal calls
        calls += 1
        session = int(await database.fetch_val(kind.session))
        server.end_session(session)
        await database.execute(INSERT, {"name": "Ada"})
        await database.execute(INSERT, {"name": "Grace"})

    async with asyncio.timeout(20):
        async with database.connection():
            with pytest.raises(exceptions.ConnectionFailureError):
                await database.run_in_transaction(function, retry=1000)
        async with database.connection() as connection:
            with pytest.raises(exceptions.ConnectionFailureError):
                await connection.run_in_transaction(function, retry=1000)
    assert calls == 2
    await is_whole(database)
    assert await count(database) == 0


@NETWORK_ONLY
@pytest.mark.parametrize("end", ["COMMIT", "COMMIT AND CHAIN"])
@pytest.mark.parametrize("after", ["a conflict", "the end of the session"])
async def test_what_a_commit_executed_as_sql_has_kept_is_not_done_twice(
    kind: Network, database: Database, server: OnServer, end: str, after: str
) -> None:
    async def function() -> None:
        session = int(await database.fetch_val(kind.session))
        await database.execute("INSERT INTO users (name) VALUES (NULL)")
        await database.execute(end)
        if after == "a conflict":
            await database.execute("SELECT 1")
            raise conflict()
        server.end_session(session)
        await until_gone(server, session)
        await database.execute("SELECT 1")

    async with asyncio.timeout(20):
        with pytest.raises(exceptions.TransactionStateError, match="executed as SQL"):
            await database.run_in_transaction(function, retry=0.1)
    assert await count(database) == 1
    await is_whole(database)


# What cannot be run again.


@SQLITE_ONLY
async def test_a_block_refuses_to_be_run_again(database: Database) -> None:
    with pytest.raises(exceptions.UnknownOptionError) as caught:
        async with database.transaction(retry=True):
            pytest.fail("it began")
    said = str(caught.value)
    assert "test_retries.py" in said
    assert "wrong:  async with database.transaction(retry=True):\n" in said
    assert "right:  @database.transaction(retry=True)" in said
    assert "await database.run_in_transaction(transfer, 5)" in said
    with pytest.raises(exceptions.UnknownOptionError, match=r"wrong:  await database\.trans"):
        await database.transaction(retry=5)
    begun = database.transaction(retry=5)
    with pytest.raises(exceptions.UnknownOptionError, match=r"wrong:  begun = database\.trans"):
        await begun.start()
    async with database.connection() as connection:
        with pytest.raises(exceptions.UnknownOptionError, match="wrong:  async with connection"):
            async with connection.transaction(retry=5):
                pytest.fail("it began")
    await writes_at_once(database)


@pytest.mark.parametrize("retry", ["yes", -1, -0.5, float("nan"), float("inf"), [], {"seconds": 3}])
async def test_retry_is_a_truth_value_or_a_number_of_seconds(local: Database, retry: Any) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match=r"retry is True .10 seconds., False"):
        local.transaction(retry=retry)
    with pytest.raises(exceptions.UnknownOptionError, match="retry=30"):
        local.run_in_transaction(Failing(local, 0, conflict), retry=retry)


async def test_what_is_no_coroutine_function_is_told_as_always(local: Database) -> None:
    def plain() -> int:
        return 5

    wrong: Any = plain
    for retry in (True, False):
        with pytest.raises(TypeError, match="await"):
            await local.run_in_transaction(wrong, retry=retry)
    await writes_at_once(local)


async def test_one_that_was_never_awaited_is_told(local: Database) -> None:
    with pytest.warns(RuntimeWarning, match="run_in_transaction.. was never awaited") as caught:
        local.run_in_transaction(Failing(local, 0, conflict))
    assert "SQL" not in str(caught[0].message)
