"""What becomes of a connection that comes back: lent again, reset, replaced, closed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from databases import exceptions
from databases.backends.hosts import Target
from databases.backends.link import Role
from databases.statements import Batch, Statement
from databases.stopping import Stop
from tests.library.fake_links import (
    Clock,
    Ended,
    FakeLink,
    FakeServer,
    Gone,
    bound,
    connected,
    here,
    lent,
    opened,
    run,
    settled,
)


class Deposed(Exception):
    """A server says that it is no longer what was asked for."""


SELECT = "SELECT 1"
UPDATE = "UPDATE users SET id = 2"
SET = "SET search_path = secret"


async def test_a_statement_that_leaves_nothing_costs_no_reset(fake: FakeServer) -> None:
    backend = await connected(fake)
    for text in (SELECT, UPDATE, "INSERT INTO users (id) VALUES (1)", SELECT):
        await run(backend, text)
    assert fake.calls == [f"{text} 1" for text in (SELECT, UPDATE, fake.calls[2][:-2], SELECT)]


@pytest.mark.parametrize("text", [SET, "LISTEN news", "SELECT pg_advisory_lock(1)", "BEGIN"])
async def test_after_any_other_the_session_is_reset_before_anybody_has_it(
    fake: FakeServer, text: str
) -> None:
    backend = await connected(fake, max_size=1)
    await asyncio.gather(run(backend, text), run(backend, SELECT))
    assert fake.calls == [f"{text} 1", "reset 1", f"{SELECT} 1"]


async def test_a_failed_statement_that_leaves_nothing_costs_no_reset(fake: FakeServer) -> None:
    backend = await connected(fake)
    fake.errors = {UPDATE: [ValueError()], SET: [ValueError()]}
    for text in (UPDATE, SET, SELECT):
        try:
            await run(backend, text)
        except ValueError:
            await settled()
    assert fake.calls == [f"{UPDATE} 1", f"{SET} 1", "reset 1", f"{SELECT} 1"]


async def test_after_a_cancelled_statement_the_session_is_reset(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    fake.gates[SELECT] = asyncio.Event()
    task = asyncio.create_task(run(backend, SELECT))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run(backend, UPDATE) == 1
    assert fake.calls == [f"{SELECT} 1", "reset 1", f"{UPDATE} 1"]


async def test_a_connection_held_for_harmless_statements_costs_no_reset(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, max_size=1)
    for texts in ([SELECT, UPDATE], [SELECT, SET], [SELECT]):
        connection = await backend.acquire(here())
        for text in texts:
            await connection.execute(bound(text), here())
        connection.release()
    resets = [number for number, call in enumerate(fake.calls) if call == "reset 1"]
    assert resets == [4]


async def test_a_transaction_left_open_is_rolled_back_by_the_reset(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    connection.release()
    await run(backend, SELECT)
    assert fake.calls == ["BEGIN 1", "reset 1", f"{SELECT} 1"]


async def test_the_drivers_own_connection_once_handed_out_is_not_lent_again(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, max_size=1)
    connection = await backend.acquire(here())
    assert connection.raw is fake.links[0]
    connection.release()
    assert await run(backend, SELECT) == 2


@pytest.mark.parametrize("hangs", [False, True])
async def test_one_that_cannot_be_reset_is_replaced(
    fake: FakeServer, clock: Clock, hangs: bool
) -> None:
    backend = await connected(fake, max_size=1)
    if hangs:
        fake.gates["reset"] = asyncio.Event()
    else:
        fake.errors["reset"] = [ValueError("no")]
    await run(backend, SET)
    task = asyncio.create_task(run(backend, SELECT))
    await settled()
    assert task.done() is not hangs
    await clock.forward(5.1)
    assert await task == 2
    assert len(fake.open) == 1


async def test_a_temporary_table_is_kept_for_the_next_statements_of_its_task_alone(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    create = "CREATE TEMP TABLE t (id int)"
    for text in (create, UPDATE, SELECT):
        await run(backend, text)
    assert fake.calls == [f"{create} 1", f"{UPDATE} 1", f"{SELECT} 1"]
    await asyncio.create_task(run(backend, SELECT))
    assert fake.calls[3:] == ["reset 1", f"{SELECT} 1"]
    await run(backend, SELECT)
    assert fake.calls[5:] == [f"{SELECT} 1"]


async def test_a_temporary_table_is_not_kept_while_others_wait(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    create = "CREATE TEMP TABLE t (id int)"
    await asyncio.gather(run(backend, create), run(backend, SELECT))
    assert fake.calls == [f"{create} 1", "reset 1", f"{SELECT} 1"]


async def test_nor_is_it_where_others_come_while_its_task_goes_on(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    create = "CREATE TEMP TABLE t (id int)"
    await run(backend, create)
    waiting = asyncio.create_task(run(backend, SELECT))
    await run(backend, UPDATE)
    async with asyncio.timeout(1):
        await waiting
    assert fake.calls == [f"{create} 1", f"{UPDATE} 1", "reset 1", f"{SELECT} 1"]


# Connections that break.


def breaks(fake: FakeServer, text: str, *errors: BaseException) -> None:
    fake.breaking.add(text)
    fake.errors[text] = list(errors)


@pytest.mark.parametrize("text", [SELECT, SET, "CALL procedure()"])
async def test_what_never_reached_the_server_is_run_again(fake: FakeServer, text: str) -> None:
    backend = await connected(fake)
    fake.links[0].closed = True
    assert await run(backend, text) == 2


async def test_it_is_run_again_although_it_is_handed_one_that_is_gone_again(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, min_size=3, max_size=3)
    pool: Any = backend._pool
    gone = await lent(pool, 3)
    task = asyncio.create_task(run(backend, SELECT))
    others = [asyncio.create_task(pool.acquire(here(), SELECT)) for _ in range(2)]
    await settled()
    fake.gates["connect"] = asyncio.Event()
    for slot in gone:
        slot.link.closed = True
        pool.give_back(slot)
        await settled()
    # The first and the third were handed to it; the others have one, or the right to open it.
    fake.gates["connect"].set()
    assert await task > 3
    await asyncio.gather(*others)


async def test_what_may_have_reached_it_is_an_error_that_says_so(fake: FakeServer) -> None:
    backend = await connected(fake)
    breaks(fake, UPDATE, Gone())
    with pytest.raises(Gone) as caught:
        await run(backend, UPDATE)
    assert "whether it was done is not known" in caught.value.__notes__[0]
    assert await run(backend, UPDATE) == 2


@pytest.mark.parametrize(
    ("text", "again"),
    [(SELECT, True), (UPDATE, True), ("CALL procedure()", False), ("VACUUM", False)],
)
async def test_what_the_server_gave_up_is_run_again_if_it_is_a_transaction_of_its_own(
    fake: FakeServer, text: str, again: bool
) -> None:
    backend = await connected(fake)
    breaks(fake, text, Ended())
    if again:
        assert await run(backend, text) == 2
    else:
        with pytest.raises(Ended) as caught:
            await run(backend, text)
        assert "is not known" in caught.value.__notes__[0]


async def test_it_is_run_again_once_not_for_ever(fake: FakeServer) -> None:
    """Whoever ends a session because of what it runs must not find it run again and again."""
    backend = await connected(fake)
    breaks(fake, SELECT, *[Ended() for _ in range(50)])
    with pytest.raises(Ended):
        await run(backend, SELECT)
    assert len(fake.calls) == 2


async def test_a_server_that_only_hangs_up_is_not_tried_for_ever(fake: FakeServer) -> None:
    backend = await connected(fake)
    connect = backend._hosts.connect

    async def closed() -> Any:
        link = await connect()
        link.terminate()
        return link

    backend._pool._opening._connect = closed  # type: ignore[union-attr]
    fake.links[0].closed = True
    with pytest.raises(Gone):
        await run(backend, SELECT)
    assert len(fake.links) < 20


async def test_a_broken_connection_gives_its_place_to_who_waits(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    breaks(fake, UPDATE, Gone())
    results = await asyncio.gather(
        run(backend, UPDATE), run(backend, SELECT), run(backend, SELECT), return_exceptions=True
    )
    assert isinstance(results[0], Gone)
    assert list(results[1:]) == [2, 2]


async def test_many_rows_of_many_statements_are_one_transaction(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    texts = [f"INSERT INTO users (id) VALUES ({number})" for number in range(3)]
    batches = [Batch(Statement(text), [()]) for text in texts]
    await backend.execute_many(batches, here())
    assert fake.calls == ["BEGIN 1", *[f"{text} 1" for text in texts], "COMMIT 1"]
    fake.errors[texts[2]] = [ValueError()]
    del fake.calls[:]
    with pytest.raises(ValueError):  # noqa: PT011
        await backend.execute_many(batches, here())
    await run(backend, SELECT)
    assert fake.calls == [
        "BEGIN 1", *[f"{text} 1" for text in texts], "reset 1", f"{SELECT} 1"
    ]  # fmt: skip


# The end.


async def test_closing_gives_time_to_statements_and_to_what_is_held(
    fake: FakeServer, clock: Clock
) -> None:
    backend = await connected(fake, max_size=3)
    fake.gates[SELECT] = asyncio.Event()
    single = asyncio.create_task(run(backend, SELECT))
    await settled()
    go = asyncio.Event()

    async def hold() -> None:
        connection = await backend.acquire(here())
        await go.wait()
        await connection.execute(bound(UPDATE), here())
        connection.release()

    holder = asyncio.create_task(hold())
    await run(backend, UPDATE)
    closing = asyncio.create_task(backend.disconnect(Stop(5.0)))
    await settled()
    assert [link.closed for link in fake.links] == [False, True, False]
    with pytest.raises(exceptions.NotConnectedError):
        await run(backend, SELECT)
    fake.gates[SELECT].set()
    assert await single == 1
    await clock.forward(4.9)
    assert [link.closed for link in fake.links] == [True, True, False]
    go.set()
    await holder
    await closing
    assert not fake.open


@pytest.mark.parametrize("sql", [SELECT, UPDATE])
async def test_closing_does_not_wait_for_ever(fake: FakeServer, clock: Clock, sql: str) -> None:
    backend = await connected(fake)
    fake.gates[sql] = asyncio.Event()
    fake.errors[sql] = [Gone()]
    single = asyncio.create_task(run(backend, sql))
    await settled()

    async def hold() -> None:
        connection = await backend.acquire(here())
        await fake.gates[sql].wait()
        await connection.execute(bound(sql), here())

    holder = asyncio.create_task(hold())
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(7.0)))
    await settled()
    await clock.forward(6.9)
    assert not closing.done()
    await clock.forward(0.2)
    await closing
    assert not fake.open
    fake.gates[sql].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await single
    # Nobody knows whether what writes was done.
    assert isinstance(caught.value, exceptions.CommitUnknown) is (sql == UPDATE)
    with pytest.raises(exceptions.NotConnectedError):
        await holder


async def test_of_what_the_server_stopped_in_time_it_is_known_that_it_is_not_kept(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    fake.gates[UPDATE] = asyncio.Event()
    stopped = Gone("canceling statement due to user request")
    stopped.sqlstate = "57014"  # type: ignore[attr-defined]
    fake.errors[UPDATE] = [stopped]
    single = asyncio.create_task(run(backend, UPDATE))
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    fake.gates[UPDATE].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await single
    assert not isinstance(caught.value, exceptions.CommitUnknown)
    await closing


async def test_a_commit_that_is_under_way_is_not_cut_short(fake: FakeServer, clock: Clock) -> None:
    backend = await connected(fake, max_size=2)
    fake.gates["COMMIT"] = asyncio.Event()

    async def transact() -> None:
        connection = await backend.acquire(here())
        try:
            await connection.begin({}, here(), lazy=False)
            await connection.commit()
        finally:
            connection.release()

    tasks = [asyncio.create_task(transact()) for _ in range(2)]
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await clock.forward(1.0)
    assert len(fake.open) == 2
    fake.gates["COMMIT"].set()
    await asyncio.gather(*tasks)
    await closing
    assert not fake.open


async def test_of_a_commit_that_does_not_end_it_is_said_that_its_fate_is_not_known(
    fake: FakeServer, clock: Clock
) -> None:
    backend = await connected(fake)
    fake.gates["COMMIT"] = asyncio.Event()
    fake.errors["COMMIT"] = [Gone()]

    async def transact() -> None:
        connection = await backend.acquire(here())
        await connection.begin({}, here(), lazy=False)
        await connection.commit()

    task = asyncio.create_task(transact())
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    await clock.forward(2.1)
    await closing
    fake.gates["COMMIT"].set()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await task
    assert isinstance(caught.value, exceptions.CommitUnknown)


async def test_who_waits_is_sent_home_by_closing(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    held = await backend.acquire(here())
    waiting = [asyncio.create_task(run(backend, SELECT)) for _ in range(3)]
    await settled()
    await backend.disconnect(Stop(0.0))
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, exceptions.NotConnectedError)
    held.release()
    assert not fake.open


async def test_who_was_just_handed_a_connection_is_sent_home_by_closing(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=1)
    (slot,) = await lent(pool, 1)
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    closing = asyncio.create_task(pool.close(Stop(0.0)))
    pool.give_back(slot)
    results = await asyncio.gather(waiting, closing, return_exceptions=True)
    assert isinstance(results[0], exceptions.NotConnectedError)
    await settled()
    assert fake.counts(pool) == (0, 0, 0)


async def test_what_is_being_opened_while_it_closes_is_closed_too(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=2)
    await backend.acquire(here())
    fake.gates["connect"] = asyncio.Event()
    opening = asyncio.create_task(run(backend, SELECT))
    await settled()
    closing = asyncio.create_task(backend.disconnect(Stop(0.0)))
    await settled()
    fake.gates["connect"].set()
    with pytest.raises(exceptions.NotConnectedError):
        await opening
    await closing
    assert not fake.open


async def test_closing_that_is_cancelled_closes_all_the_same(fake: FakeServer) -> None:
    backend = await connected(fake)
    fake.gates["close"] = asyncio.Event()
    closing = asyncio.create_task(backend.disconnect(Stop(5.0)))
    await settled()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    fake.gates["close"].set()
    await settled()
    assert not fake.open
    await backend.disconnect(Stop(5.0))


@pytest.mark.parametrize("hangs", [False, True])
async def test_one_that_cannot_be_told_goodbye_is_closed(
    fake: FakeServer, clock: Clock, hangs: bool
) -> None:
    backend = await connected(fake)
    if hangs:
        fake.gates["close"] = asyncio.Event()
    else:
        fake.errors["close"] = [ValueError()]
    closing = asyncio.create_task(backend.disconnect(Stop(5.0)))
    await settled()
    await clock.forward(5.1)
    await closing
    assert not fake.open


async def test_what_nobody_refers_to_any_more_is_closed(fake: FakeServer) -> None:
    backend = await connected(fake, min_size=3)
    await run(backend, SELECT)
    del backend
    gc.collect()
    assert not fake.open


# Within a transaction that is held.


END_AS_SQL = [
    "COMMIT",
    "END",
    "-- now\n/* really */ COMMIT",
    "PREPARE TRANSACTION 'a'",
    "INSERT INTO a VALUES (1); /* now */ COMMIT",
]


@pytest.mark.parametrize("text", END_AS_SQL)
async def test_nobody_knows_of_a_transaction_whose_end_as_sql_was_cut_off(
    fake: FakeServer, text: str
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    breaks(fake, text, Gone())
    with pytest.raises(exceptions.CommitUnknown):
        await connection.execute(bound(text), here())
    connection.release()


@pytest.mark.parametrize("text", ["INSERT INTO a VALUES (1); SELECT 2", "DO $$ BEGIN NULL; END $$"])
async def test_nothing_is_kept_of_a_transaction_that_was_not_to_end(
    fake: FakeServer, text: str
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    breaks(fake, text, Gone())
    with pytest.raises(exceptions.ConnectionFailureError):
        await connection.execute(bound(text), here())
    connection.release()


async def test_nobody_knows_of_a_statement_behind_one_that_has_committed_by_itself(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeLink, "commits_by_itself", True)
    backend = await connected(fake)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    await connection.execute(bound("CREATE TABLE a (x INT)"), here())
    fake.links[0].open = False  # as MySQL says with its answer
    breaks(fake, "INSERT INTO a VALUES (1)", Gone())
    with pytest.raises(exceptions.CommitUnknown):
        await connection.execute(bound("INSERT INTO a VALUES (1)"), here())
    connection.release()


async def test_nor_of_several_statements_in_one_text_one_of_which_may_have_done_so(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeLink, "commits_by_itself", True)
    backend = await connected(fake)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    text = f"{UPDATE}; CREATE TABLE a (x INT)"
    breaks(fake, text, Gone())
    with pytest.raises(exceptions.CommitUnknown):
        await connection.execute(bound(text), here())
    connection.release()


async def test_what_is_left_of_many_rows_that_failed_is_rolled_back_before_the_next(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    batches = [Batch(Statement(text), []) for text in (UPDATE, "INSERT INTO users VALUES (1)")]
    fake.errors[batches[1].statement.sql] = [ValueError("no")]
    with pytest.raises(ValueError, match="no"):
        await connection.execute_many(batches, here())
    await connection.execute(bound(UPDATE), here())
    assert fake.calls[-2:] == ["ROLLBACK 1", f"{UPDATE} 1"]
    connection.release()


async def test_after_a_cancelled_statement_of_one_that_is_held_the_session_is_reset(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    fake.gates[UPDATE] = asyncio.Event()
    task = asyncio.create_task(connection.execute(bound(UPDATE), here()))
    await settled()
    task.cancel()
    await asyncio.wait([task])
    connection.release()
    await settled()
    assert fake.calls == [f"{UPDATE} 1", "reset 1"]


async def test_where_one_broke_while_it_was_held_the_others_are_asked_for_a_sign_of_life(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, min_size=2, max_size=2)
    connection = await backend.acquire(here())
    connection._slot.link.terminate()
    connection.release()
    (await backend.acquire(here())).release()
    assert [call[:-2] for call in fake.calls] == ["ping"]


@pytest.mark.parametrize("text", ["CALL procedure()", f"{UPDATE}; {UPDATE}", UPDATE])
async def test_what_a_server_that_lost_its_role_may_have_done_in_part_is_not_run_again(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def role_told(error: BaseException) -> Role | None:
        return Role.UNREADY if isinstance(error, Deposed) else None

    monkeypatch.setattr(fake, "role_told", role_told)
    backend = await connected(fake, Target(wanted="read-write"))
    fake.errors[text] = [Deposed("not the primary any more")]
    if text == UPDATE:
        assert await run(backend, text) == 2
        return
    with pytest.raises(Deposed):
        await run(backend, text)
    assert fake.calls.count(f"{text} 1") == len(fake.links) == 1


async def test_a_rollback_after_a_commit_that_failed_is_told_once(fake: FakeServer) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    fake.errors["COMMIT"] = [ValueError("no")]
    with pytest.raises(ValueError, match="no"):
        await connection.commit()
    await connection.rollback()
    assert fake.calls[-2:] == ["COMMIT 1", "ROLLBACK 1"]
    connection.release()


async def test_several_statements_in_one_text_are_not_run_again_by_themselves(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    text = "INSERT INTO a VALUES (1); COMMIT; INSERT INTO a VALUES (2)"
    breaks(fake, text, Ended())
    with pytest.raises(exceptions.CommitUnknown):
        await run(backend, text)


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("what", ["reset", "close", "connect"])
async def test_what_is_cancelled_with_all_tasks_gives_its_place_free(
    fake: FakeServer, what: str, begun: bool
) -> None:
    pool = await opened(fake, max_size=1)
    (slot,) = await lent(pool, 1)
    fake.gates[what] = asyncio.Event()
    if what == "reset":
        pool.give_back_used(slot)
    else:
        pool.drop(slot)
    if what == "connect":
        await settled()
        opening = asyncio.create_task(pool.acquire(here()))
        await asyncio.sleep(0)
    await settled(20 if begun else 0)
    for task in asyncio.all_tasks():
        if any(word in repr(task.get_coro()) for word in ("Pool.", "Opening.", "Leaving.")):
            task.cancel()
    del fake.gates[what]
    await settled()
    if what == "connect":
        assert opening.cancelled()
    assert fake.counts(pool) == (0, 0, 0)
    assert fake.open == []
    async with asyncio.timeout(5):
        pool.give_back(await pool.acquire(here()))


async def test_closing_does_not_leave_one_behind_that_is_asked_for_a_sign_of_life(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=1)
    clock.ahead(10)
    fake.gates["ping"] = asyncio.Event()
    asking = asyncio.create_task(pool.acquire(here(), SELECT))
    await settled()
    await pool.close(Stop(1.0))
    assert fake.open == []
    fake.gates["ping"].set()
    with pytest.raises(exceptions.NotConnectedError):
        await asking
    assert fake.counts(pool) == (0, 0, 0)
