"""Opening connections: not for longer than one may wait, and as many as the server has room for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends import opening as opening_module
from databases.backends.sockets import keep_alive
from databases.stopping import Stop
from tests.library.fake_links import Clock, FakeServer, Full, here, lent, opened, settled
from tests.library.kinds import MARIADB_ONLY, NETWORK_ONLY, POSTGRESQL_ONLY, PSYCOPG, Kind, on
from tests.library.places import OnServer
from tests.library.pools import is_whole, notes_of, pool_of

# Not for ever.


async def test_who_waits_for_one_to_open_waits_no_longer_than_pool_timeout(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=3)
    (first,) = await lent(pool, 1)
    fake.gates["connect"] = asyncio.Event()
    opening = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(2.9)
    assert not opening.done()
    await clock.forward(0.2)
    with pytest.raises(TimeoutError, match="could not be opened within 3 s"):
        await opening
    # It is opened all the same, for whoever comes next.
    fake.gates["connect"].set()
    await settled()
    assert fake.counts(pool) == (2, 1, 1)
    pool.give_back(first)


async def test_opening_is_given_up_in_the_end(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=3)
    (first,) = await lent(pool, 1)
    fake.gates["connect"] = asyncio.Event()
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(3)]
    await settled()
    await clock.forward(3.1)
    assert isinstance(tasks[0].exception(), TimeoutError)
    assert isinstance(tasks[1].exception(), exceptions.PoolTimeout)
    assert "1 more are being opened or reset" in str(tasks[1].exception())
    assert pool._opening.size == 2
    await clock.forward(7.0)
    assert fake.counts(pool) == (1, 0, 1)
    assert not pool._opening.tasks
    pool.give_back(first)
    assert isinstance(tasks[2].exception(), exceptions.PoolTimeout)


async def test_who_is_handed_the_right_to_open_one_has_waited_already(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=1, pool_timeout=3)
    (slot,) = await lent(pool, 1)
    waiting = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(2)
    fake.gates["connect"] = asyncio.Event()
    slot.link.closed = True
    pool.drop(slot)
    await settled()
    assert not waiting.done()
    await clock.forward(1.1)
    assert isinstance(waiting.exception(), TimeoutError)


async def test_connecting_is_given_up_too(fake: FakeServer, clock: Clock) -> None:
    pool = fake.pool(pool_timeout=30)
    fake.gates["connect"] = asyncio.Event()
    opening = asyncio.create_task(pool.open())
    await settled()
    await clock.forward(29)
    assert not opening.done()
    await clock.forward(1.1)
    with pytest.raises(TimeoutError, match="could not be opened within 30 s"):
        await opening
    assert fake.counts(pool) == (0, 0, 0)


async def test_where_nobody_is_to_wait_one_may_be_opened_all_the_same(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=0)
    await lent(pool, 1)
    fake.gates["connect"] = asyncio.Event()
    opening = asyncio.create_task(pool.acquire(here()))
    await asyncio.sleep(0.01)
    assert not opening.done()
    fake.gates["connect"].set()
    assert (await opening).link.number == 2


async def test_of_many_that_give_no_sign_of_life_only_the_first_is_waited_for(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, min_size=10, max_size=10, pool_timeout=30)
    await clock.forward(2)
    fake.gates["ping"] = asyncio.Event()
    task = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(5.1)
    assert (await asyncio.wait_for(task, 0.1)).link.number == 11
    assert fake.counts(pool) == (1, 0, 1)


async def test_a_sign_of_life_is_waited_for_no_longer_than_pool_timeout(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, pool_timeout=0.5)
    await clock.forward(2)
    fake.gates["ping"] = asyncio.Event()
    task = asyncio.create_task(pool.acquire(here()))
    await settled()
    await clock.forward(0.6)
    assert fake.links[0].closed
    await asyncio.wait([task])


# A server without room.


async def test_where_the_server_has_no_room_those_that_there_are_do(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=3)
    (slot,) = await lent(pool, 1)
    fake.errors["connect"] = [Full(), Full()]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(4)]
    await settled()
    assert not any(task.done() for task in tasks)
    for _ in range(4):
        pool.give_back(slot)
        await settled()
    assert [task.result() for task in tasks] == [slot] * 4
    pool.give_back(slot)
    assert fake.counts(pool) == (1, 1, 0)


async def test_one_that_came_back_before_the_server_said_so_is_taken_at_once(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=2)
    (slot,) = await lent(pool, 1)
    fake.gates["connect"] = asyncio.Event()
    fake.errors["connect"] = [Full()]
    task = asyncio.create_task(pool.acquire(here()))
    await settled()
    pool.give_back(slot)
    fake.gates["connect"].set()
    await settled()
    assert task.result() is slot


async def test_it_is_not_asked_again_for_everybody_but_after_a_while(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=3)
    (slot,) = await lent(pool, 1)
    fake.errors["connect"] = [Full() for _ in range(100)]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(50)]
    await settled()
    assert len(fake.errors["connect"]) >= 98
    tasks += [asyncio.create_task(pool.acquire(here())) for _ in range(50)]
    for _ in range(5):
        await clock.forward(1.1)
    assert len(fake.errors["connect"]) >= 93
    # There is room again: for as many as there may be.
    fake.errors.clear()
    await clock.forward(1.1)
    assert fake.counts(pool) == (3, 0, 3)
    assert sum(task.done() for task in tasks) == 2
    # They did not lose their places in the queue.
    assert tasks[0].done()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    pool.give_back(slot)


async def test_who_wanted_it_has_his_turn_still_however_many_wait(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2, max_waiting=1)
    (slot,) = await lent(pool, 1)
    fake.gates["connect"] = asyncio.Event()
    fake.errors["connect"] = [Full()]
    first = asyncio.create_task(pool.acquire(here()))
    await settled()
    second = asyncio.create_task(pool.acquire(here()))
    await settled()
    fake.gates["connect"].set()
    await settled()
    assert not first.done()
    for task in (first, second):
        pool.give_back(slot)
        await settled()
        assert task.result() is slot


async def test_once_there_is_room_again_newcomers_do_not_overtake_who_waits(
    fake: FakeServer, clock: Clock
) -> None:
    pool = await opened(fake, max_size=3)
    await lent(pool, 1)
    fake.errors["connect"] = [Full(), Full()]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(2)]
    await settled()
    fake.gates["connect"] = asyncio.Event()
    await clock.forward(1.1)
    # One of those who wait opens one; whether there is room for another is not known yet.
    newcomer = asyncio.create_task(pool.acquire(here()))
    await settled()
    fake.gates["connect"].set()
    await settled()
    assert [task.done() for task in (*tasks, newcomer)] == [True, True, False]
    newcomer.cancel()
    await asyncio.wait([newcomer])


async def test_those_for_whom_there_was_no_room_are_served_in_the_order_in_which_they_came(
    fake: FakeServer,
) -> None:
    pool = await opened(fake, max_size=4)
    (slot,) = await lent(pool, 1)
    fake.errors["connect"] = [Full() for _ in range(3)]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(5)]
    await settled()
    for task in tasks:
        pool.give_back(slot)
        await settled()
        assert task.result() is slot


async def test_where_there_is_none_at_all_it_is_the_error_of_each(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2)
    for slot in await lent(pool, 1):
        slot.link.closed = True
        pool.drop(slot)
    fake.errors["connect"] = [Full() for _ in range(20)]
    tasks = [asyncio.create_task(pool.acquire(here())) for _ in range(5)]
    await asyncio.wait(tasks, timeout=1)
    assert [type(task.exception()) for task in tasks] == [Full] * 5
    assert fake.counts(pool) == (0, 0, 0)


async def test_the_timeout_says_that_the_server_has_no_room(fake: FakeServer, clock: Clock) -> None:
    pool = await opened(fake, max_size=2, pool_timeout=0.5)
    await lent(pool, 1)
    fake.errors["connect"] = [Full()]
    task = asyncio.create_task(pool.acquire(here(), "SELECT 1"))
    await settled()
    await clock.forward(0.6)
    assert "The server has no room for more at the moment" in str(task.exception())


async def test_the_pool_begins_with_fewer_where_there_is_no_room_for_all(fake: FakeServer) -> None:
    pool = fake.pool(min_size=5)

    async def third_is_too_many() -> None:
        while len(fake.links) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        fake.errors["connect"] = [Full()]

    await asyncio.gather(third_is_too_many(), pool.open())
    assert fake.counts(pool) == (2, 2, 0)
    await pool.close(Stop(0.0))


async def test_closing_ends_waiting_for_room(fake: FakeServer) -> None:
    pool = await opened(fake, max_size=2)
    await lent(pool, 1)
    fake.errors["connect"] = [Full()]
    task = asyncio.create_task(pool.acquire(here(), "SELECT 1"))
    await settled()
    await pool.close(Stop(0.0))
    assert isinstance(task.exception(), exceptions.NotConnectedError)
    assert pool._opening._growing is None or pool._opening._growing.cancelled()


# On real servers.


async def used_by_many(url: str) -> None:
    """With room for fewer than max_size everybody is served."""
    async with Database(url, max_size=6) as database, asyncio.timeout(20):
        queries = [database.fetch_val("SELECT 1") for _ in range(50)]
        assert set(await asyncio.gather(*queries)) == {1}

        async def transaction() -> None:
            async with database.transaction():
                assert await database.fetch_val("SELECT 1") == 1

        await asyncio.gather(*[transaction() for _ in range(30)])
        assert 1 <= len(pool_of(database)._slots) <= 3


@POSTGRESQL_ONLY
async def test_a_user_who_may_have_three_connections_does_with_them(
    url: str, server: OnServer
) -> None:
    server.rows("CREATE ROLE few LOGIN CONNECTION LIMIT 3")
    try:
        await used_by_many(url.replace("postgres@", "few@"))
    finally:
        server.rows("DROP ROLE few")


@MARIADB_ONLY
async def test_a_user_who_may_have_three_connections_does_with_them_on_mariadb(
    url: str, server: OnServer
) -> None:
    server.rows("CREATE USER few WITH MAX_USER_CONNECTIONS 3")
    server.rows("GRANT ALL ON behaviour.* TO few")
    try:
        await used_by_many(url.replace("root@", "few@"))
    finally:
        server.rows("DROP USER few")


@contextlib.contextmanager
def silence() -> Iterator[int]:
    """The port of somebody who lets people in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@NETWORK_ONLY
async def test_a_server_that_says_nothing_is_an_error_with_its_address(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_module, "_OPENING", 0.1)
    with silence() as port:
        url = f"{kind.scheme}://ada:secret@127.0.0.1:{port}/nothing"
        async with asyncio.timeout(20):
            with pytest.raises(exceptions.OperationalError) as caught:
                await Database(url, pool_timeout=0.3).connect()
    text = f"{caught.value}\n{notes_of(caught.value)}"
    assert "could not be opened within 0.3 s" in text
    assert f"127.0.0.1:{port}/nothing" in text
    assert "secret" not in text
    assert isinstance(caught.value, TimeoutError)


# A peer that vanishes without a word.

USUAL = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


def kept_alive(descriptor: int) -> dict[str, int]:
    connection = socket.socket(fileno=descriptor)
    try:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return {
            name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in USUAL
        }
    finally:
        connection.detach()


@NETWORK_ONLY
async def test_it_is_noticed_within_half_a_minute_on_every_connection(url: str) -> None:
    async with Database(url, min_size=2, max_size=3) as database:
        await is_whole(database)
        slots = pool_of(database)._slots
        assert len(slots) > 1
        for slot in slots:
            assert kept_alive(slot.link.fileno()) == USUAL


@on([PSYCOPG])
async def test_what_was_asked_for_in_the_url_stays(url: str) -> None:
    url += "?keepalives_idle=77&tcp_user_timeout=9000"
    async with Database(url) as database:
        (slot,) = pool_of(database)._slots
        changed = {"TCP_KEEPIDLE": 77, "TCP_USER_TIMEOUT": 9000}
        assert kept_alive(slot.link.fileno()) == USUAL | changed


def test_what_is_no_socket_of_tcp_is_left_alone() -> None:
    keep_alive(-1)
    with open(__file__) as file:
        keep_alive(file.fileno())
    one, other = socket.socketpair()
    with one, other:
        keep_alive(one.fileno())
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        other.send(b"it is open still")
        assert one.recv(100)


async def test_where_no_descriptor_is_left_to_look_at_options_it_is_lent_all_the_same(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    made = socket.socket

    def full(*arguments: Any, fileno: int | None = None) -> socket.socket:
        if fileno is None:
            raise OSError(errno.EMFILE, "Too many open files")
        return made(fileno=fileno)

    monkeypatch.setattr(FakeServer, "descriptor", listening.fileno())
    monkeypatch.setattr("databases.backends.sockets.socket.socket", full)
    try:
        pool = await opened(fake, max_size=1)
        assert fake.counts(pool) == (1, 1, 0)
        assert listening.fileno() > 0
    finally:
        listening.close()
