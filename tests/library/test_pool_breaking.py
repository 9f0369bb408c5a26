"""Connections that break: what is run again, and what nobody knows of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from databases import exceptions
from databases.backends.hosts import Target
from databases.backends.link import Role
from tests.library.fake_links import (
    SELECT,
    SET,
    UPDATE,
    Ended,
    FakeLink,
    FakeServer,
    Gone,
    bound,
    connected,
    here,
    in_transaction,
    lent,
    run,
    settled,
)


class Deposed(Exception):
    """A server says that it is no longer what was asked for."""


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


END_AS_SQL = [
    "COMMIT",
    "END",
    "-- now\n/* really */ COMMIT",
    "PREPARE TRANSACTION 'a'",
    "INSERT INTO a VALUES (1); /* now */ COMMIT",
]


NO_END = ["INSERT INTO a VALUES (1); SELECT 2", "DO $$ BEGIN NULL; END $$"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        *[(text, exceptions.CommitUnknown) for text in END_AS_SQL],
        *[(text, exceptions.ConnectionFailureError) for text in NO_END],
    ],
)
async def test_nobody_knows_of_a_transaction_only_where_its_end_as_sql_was_cut_off(
    fake: FakeServer, text: str, error: type[exceptions.OperationalError]
) -> None:
    connection = await in_transaction(fake)
    breaks(fake, text, Gone())
    with pytest.raises(error):
        await connection.execute(bound(text), here())
    connection.release()


async def test_nobody_knows_of_a_statement_behind_one_that_has_committed_by_itself(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeLink, "commits_by_itself", True)
    connection = await in_transaction(fake)
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
    connection = await in_transaction(fake)
    text = f"{UPDATE}; CREATE TABLE a (x INT)"
    breaks(fake, text, Gone())
    with pytest.raises(exceptions.CommitUnknown):
        await connection.execute(bound(text), here())
    connection.release()


async def test_several_statements_in_one_text_are_not_run_again_by_themselves(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    text = "INSERT INTO a VALUES (1); COMMIT; INSERT INTO a VALUES (2)"
    breaks(fake, text, Ended())
    with pytest.raises(exceptions.CommitUnknown):
        await run(backend, text)


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
