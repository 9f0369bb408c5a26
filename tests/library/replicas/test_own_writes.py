"""What a request has written it sees, and what a replica cannot do the primary does: with servers
of the imagination, where moments can be chosen."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import pytest

from databases import exceptions
from databases.backends.replicas import Server
from databases.backends.replicated import ReplicaCursor, ReplicatedBackend
from databases.backends.replication import Sight
from databases.routing import Routing
from tests.library.fake_links import bound, here, settled

INSERT = "INSERT INTO users VALUES (1)"
PREFERRED = Routing("replica")


class RefusesWrites(exceptions.DriverError):
    """A statement writes, and a standby says so."""


class Full(exceptions.OperationalError):
    """A server has no room for a connection more."""

    sqlstate = "53300"


class FakeBackend:
    """A server that has come to a position, and answers when it is told to."""

    dialect: Any = None
    name = "primary"
    busy = 0

    def __init__(self, *, is_replica: bool) -> None:
        self.is_replica = is_replica
        self.position = 1
        self.writes = asyncio.Event()
        self.answers = asyncio.Event()
        self.looks = asyncio.Event()
        for event in (self.writes, self.answers, self.looks):
            event.set()
        self.error: Exception | None = None
        """What is raised next, once."""
        self.asked = 0
        self.looked = 0
        self.is_away = self.is_looked_at = False
        self.writing: set[str] = set()
        self.held: list[FakeConnection] = []

    def only_reads(self, sql: str) -> bool:
        return sql.startswith("SELECT") and sql not in self.writing

    def refuses_writes(self, error: object) -> bool:
        return isinstance(error, RefusesWrites)

    def writes_after_all(self, sql: str) -> None:
        self.writing.add(sql)

    def makes_table(self, sql: str) -> bool:
        return False

    async def fetch(self, bound: object, limit: int | None, site: object) -> str:
        self.asked += 1
        self._fail()
        return self.name

    async def execute(self, bound: object, site: object) -> None:
        await self.writes.wait()
        self.position += 1
        await self.answers.wait()
        self._fail()

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    async def execute_many(self, batches: object, site: object) -> None:
        await self.execute(batches, site)

    async def acquire(self, site: object, *, readonly: bool) -> FakeConnection:
        self.held.append(FakeConnection(self))
        return self.held[-1]

    async def open_link(self) -> Any:
        return self

    async def look(self, link: object, *, caught_up: bool) -> Sight:
        self.looked += 1
        if self.is_away:
            raise OSError("gone")
        position = {"log": self.position}
        assert not self.is_looked_at, "two looks on one connection at once"
        self.is_looked_at = True
        await self.looks.wait()
        self.is_looked_at = False
        return Sight(self.is_replica, position, position)

    def was_left_by_primary(self, seen: Sight) -> bool:
        return False

    def terminate(self) -> None:
        pass

    async def connect(self) -> None:
        pass

    def connect_later(self) -> None:
        pass


class FakeConnection:
    """A connection on which everything is committed by COMMIT."""

    raw: Any = None
    savepoint = release_savepoint = rollback_to_savepoint = rollback = None

    def __init__(self, server: FakeBackend) -> None:
        self._server = server
        self.is_released = False

    async def begin(self, options: object, site: object, *, lazy: bool) -> None:
        self._server._fail()

    async def fetch(self, bound: object, limit: int | None, site: object) -> str:
        return self._server.name

    async def execute(self, bound: object, site: object) -> None:
        pass

    async def execute_many(self, batches: object, site: object) -> None:
        pass

    async def commit(self) -> None:
        await self._server.execute(None, None)

    def release(self) -> None:
        self.is_released = True


class Servers:
    """A primary and a replica, which shows nothing of what is written meanwhile."""

    def __init__(self) -> None:
        self.primary, self.replica = FakeBackend(is_replica=False), FakeBackend(is_replica=True)
        servers: list[Any] = [self.primary, self.replica]
        self.both = ReplicatedBackend(servers[0], {"b": servers[1]}, 10, Routing("replica"))

    async def write(self) -> None:
        await self.both.execute(bound(INSERT), here())

    async def reads_from(self) -> Any:
        return await self.both.fetch(bound("SELECT 1"), None, here())


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    servers = Servers()
    await servers.both.connect()
    yield servers
    await servers.both._replicas.stop()


async def test_a_position_that_was_asked_for_during_a_write_does_not_cover_it(
    servers: Servers,
) -> None:
    assert await servers.reads_from() == "replica b"
    servers.primary.writes.clear()
    writing = asyncio.create_task(servers.write())
    await settled()
    assert await servers.reads_from() == "replica b"
    servers.primary.writes.set()
    await writing
    assert await servers.reads_from() == "primary"
    servers.replica.position = 2
    assert await servers.reads_from() == "replica b"


async def test_nor_does_one_that_was_asked_for_before_another_write(servers: Servers) -> None:
    await servers.write()
    servers.replica.position = 2
    servers.primary.looks.clear()
    reading = asyncio.create_task(servers.reads_from())
    await settled()
    await servers.write()
    servers.primary.looks.set()
    assert await reading == "replica b"
    assert await servers.reads_from() == "primary"


@pytest.mark.parametrize("many", [False, True])
async def test_what_may_have_been_written_counts(servers: Servers, many: bool) -> None:
    assert await servers.reads_from() == "replica b"
    servers.primary.error = exceptions.CommitUnknown("The connection broke")
    with pytest.raises(exceptions.CommitUnknown):
        if many:
            await servers.both.execute_many([], here())
        else:
            await servers.write()
    assert await servers.reads_from() == "primary"


async def test_what_may_have_been_committed_counts(servers: Servers) -> None:
    connection = await servers.both.acquire(here())
    await connection.begin({}, here(), lazy=False)
    await connection.execute(bound(INSERT), here())
    assert await servers.reads_from() == "replica b"
    servers.primary.error = exceptions.CommitUnknown("The connection broke")
    with pytest.raises(exceptions.CommitUnknown):
        await connection.commit()
    assert await servers.reads_from() == "primary"
    connection.release()


async def test_on_a_shared_connection_who_wrote_and_whose_it_is_see_it(servers: Servers) -> None:
    assert await servers.reads_from() == "replica b"
    connection = await servers.both.acquire(here())

    async def write() -> Any:
        assert await servers.reads_from() == "replica b"
        await connection.begin({}, here(), lazy=False)
        await connection.execute(bound(INSERT), here())
        await connection.commit()
        return await servers.reads_from()

    assert await asyncio.create_task(write(), context=contextvars.Context()) == "primary"
    assert await servers.reads_from() == "primary"
    connection.release()


async def test_what_is_cancelled_while_it_is_written_counts(servers: Servers) -> None:
    assert await servers.reads_from() == "replica b"
    servers.primary.answers.clear()
    writing = asyncio.create_task(servers.write())
    await settled()
    writing.cancel()
    await asyncio.wait([writing])
    assert await servers.reads_from() == "primary"


async def test_who_looks_while_a_look_is_under_way_sees_what_was_done_before_his(
    servers: Servers,
) -> None:
    backend: Any = servers.primary
    server = Server(backend)
    backend.looks.clear()
    first = asyncio.create_task(server.look())
    await settled()
    backend.position = 2
    others = [asyncio.create_task(server.look()) for _ in range(2)]
    await settled()
    backend.looks.set()
    looks = await asyncio.gather(first, *others)
    assert [seen and seen.written for seen in looks] == [{"log": 1}, {"log": 2}, {"log": 2}]


async def test_where_nobody_knows_how_far_the_primary_is_it_is_read(servers: Servers) -> None:
    assert await servers.reads_from() == "replica b"
    servers.primary.is_away = True
    await servers.write()
    assert await servers.reads_from() == "primary"


async def test_a_position_is_asked_for_once_after_a_transaction(servers: Servers) -> None:
    connection = await servers.both.acquire(here())
    await connection.begin({}, here(), lazy=False)
    await connection.execute(bound(INSERT), here())
    await connection.commit()
    assert await servers.reads_from() == "primary"
    looked = servers.primary.looked
    connection.release()
    assert await servers.reads_from() == "primary"
    assert servers.primary.looked == looked


async def test_one_that_is_seen_to_be_no_replica_any_more_is_not_read(servers: Servers) -> None:
    assert await servers.reads_from() == "replica b"
    await servers.write()
    servers.replica.position, servers.replica.is_replica = 2, False
    assert await servers.reads_from() == "primary"


# What a replica cannot do.


@pytest.mark.parametrize("error", [exceptions.TransactionConflictError, Full])
async def test_a_replica_that_is_well_and_cannot_do_it_is_asked_again_next_time(
    servers: Servers, error: type[Exception]
) -> None:
    servers.replica.error = error("not now")
    assert await servers.reads_from() == "primary"
    assert await servers.reads_from() == "replica b"


async def test_one_that_is_gone_is_not_asked_again_before_it_is_seen_to_be_well(
    servers: Servers,
) -> None:
    servers.replica.error = exceptions.ConnectionFailureError("gone")
    assert await servers.reads_from() == "primary"
    assert await servers.reads_from() == "primary"
    assert servers.replica.asked == 1
    await servers.both._replicas._look()
    assert await servers.reads_from() == "replica b"


async def test_what_the_primary_would_answer_too_is_its_answer(servers: Servers) -> None:
    servers.replica.error = exceptions.ProgrammingError("no such table")
    with pytest.raises(exceptions.ProgrammingError):
        await servers.reads_from()
    assert servers.primary.asked == 0


async def test_what_turns_out_to_write_is_seen_and_goes_to_the_primary_at_once_from_then_on(
    servers: Servers,
) -> None:
    servers.replica.error = RefusesWrites("cannot execute nextval() in a read-only transaction")
    assert await servers.reads_from() == "primary"
    servers.primary.position = 2
    other: Any = await servers.both.fetch(bound("SELECT 2"), None, here())
    assert other == "primary", "what it wrote is not on the replica yet"
    assert await servers.reads_from() == "primary"
    assert servers.replica.asked == 1


async def test_of_two_replicas_the_one_that_is_used_less_is_read() -> None:
    backends: list[Any] = [FakeBackend(is_replica=number > 0) for number in range(3)]
    both = ReplicatedBackend(backends[0], dict(zip("bc", backends[1:], strict=True)), 10, PREFERRED)
    await both.connect()
    backends[1].busy = 5
    for _ in range(4):
        answer: Any = await both.fetch(bound("SELECT 1"), None, here())
        assert answer == "replica c"
    await both._replicas.stop()


async def test_a_transaction_that_a_replica_cannot_begin_leaves_it(servers: Servers) -> None:
    connection = await servers.both.acquire(here(), readonly=True)
    servers.replica.error = exceptions.OperationalError("cannot use serializable mode")
    await connection.begin({}, here(), lazy=False)
    answer: Any = await connection.fetch(bound("SELECT 1"), None, here())
    assert answer == "primary"
    assert [held.is_released for held in servers.replica.held] == [True]
    # Of what the primary cannot begin either it is the primary's error.
    servers.primary.error = exceptions.OperationalError("no")
    with pytest.raises(exceptions.OperationalError, match="no"):
        await connection.begin({}, here(), lazy=False)
    connection.release()
    assert [held.is_released for held in servers.primary.held] == [True]


async def test_an_iteration_that_has_begun_does_not_begin_again_on_the_primary() -> None:
    class Breaking:
        """A cursor that breaks after its first rows."""

        def __init__(self) -> None:
            self.rows: list[Any] = ["first rows"]

        async def fetch(self) -> Any:
            if not self.rows:
                raise exceptions.ConnectionFailureError("gone")
            return self.rows.pop()

        def close(self) -> None:
            pass

    async def on_primary() -> Any:
        pytest.fail("its first rows were there already")

    cursor = ReplicaCursor(Breaking(), lambda error: True, on_primary)
    assert str(await cursor.fetch()) == "first rows"
    with pytest.raises(exceptions.ConnectionFailureError):
        await cursor.fetch()
