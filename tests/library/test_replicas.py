"""Reads on replicas: where they go, what they see, and what happens when replicas fail."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from databases import Database, exceptions
from databases.backends.replicated import ReplicatedBackend
from tests.library.kinds import POSTGRESQL_ONLY, Kind
from tests.library.places import of_driver, until
from tests.servers.replicated_postgresql import Node, ReplicatedPostgreSQL

T = TypeVar("T")

pytestmark = POSTGRESQL_ONLY

WHERE = "SELECT inet_server_port()"
INSERT = "INSERT INTO users (name) VALUES ('Ada')"
COUNT = "SELECT count(*) FROM users"
SETUP = (
    "DROP TABLE IF EXISTS users CASCADE",
    "CREATE TABLE users (id SERIAL PRIMARY KEY, name TEXT)",
    "INSERT INTO users (name) VALUES ('first')",
    "CREATE OR REPLACE FUNCTION unknown() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW counting AS SELECT inet_server_port(), nextval('users_id_seq')",
)


@pytest.fixture(scope="module")
def cluster(_replicated_postgresql: ReplicatedPostgreSQL) -> Iterator[ReplicatedPostgreSQL]:
    yield _replicated_postgresql
    _replicated_postgresql.heal()


@pytest.fixture
def nodes(cluster: ReplicatedPostgreSQL) -> ReplicatedPostgreSQL:
    """The cluster, whole, with a table of one user."""
    if len(cluster.replicas) < 2 or any(node.source is None for node in cluster.replicas):
        cluster.heal()
    cluster.primary.execute(";".join(SETUP))
    cluster.catch_up()
    return cluster


@pytest.fixture
def primary(nodes: ReplicatedPostgreSQL) -> int:
    return nodes.primary.port


@pytest.fixture
def replicas(nodes: ReplicatedPostgreSQL) -> set[int]:
    return {node.port for node in nodes.replicas}


@pytest.fixture
def make(kind: Kind, nodes: ReplicatedPostgreSQL) -> Callable[..., Database]:
    def made(**options: Any) -> Database:
        url, *others = [
            of_driver(node.url, kind.scheme) for node in (nodes.primary, *nodes.replicas)
        ]
        return Database(url, **{"replicas": others, **options})

    return made


@pytest.fixture
async def database(make: Callable[..., Database]) -> AsyncIterator[Database]:
    async with make() as database:
        yield database


async def where(database: Database, **options: Any) -> Any:
    """The port of the server that answers."""
    return await database.fetch_val(WHERE, **options)


async def count(database: Database) -> Any:
    return await database.fetch_val(COUNT, prefer="replica")


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run it as another request would: with nothing of what this one has written."""
    return await asyncio.create_task(work, context=contextvars.Context())


@contextlib.contextmanager
def paused(nodes: ReplicatedPostgreSQL) -> Iterator[None]:
    """Replicas get what is written, and do not show it."""
    for node in nodes.replicas:
        node.execute("SELECT pg_wal_replay_pause()")
        while node.execute("SELECT pg_get_wal_replay_pause_state()").strip() != "paused":
            pass
    try:
        yield
    finally:
        for node in nodes.replicas:
            node.execute("SELECT pg_wal_replay_resume()")
        nodes.catch_up()


async def started(node: Node) -> None:
    """Start one that was killed: what is left of it may take a moment to end."""
    for _ in range(50):
        try:
            await asyncio.to_thread(node.start)
            return
        except RuntimeError:
            await asyncio.sleep(0.1)


async def until_where(database: Database, expected: Callable[[set[int]], bool]) -> None:
    """Wait until some reads in a row go where they are expected to."""
    async with asyncio.timeout(10):
        while not expected({await apart(where(database, prefer="replica")) for _ in range(4)}):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Where reads go.


async def test_reads_go_to_replicas_where_that_is_asked_for(
    make: Callable[..., Database], primary: int, replicas: set[int]
) -> None:
    async with make() as database:
        assert await where(database) == primary
        assert await where(database, prefer="replica") in replicas
        with database.prefer("replica"):
            assert await where(database) in replicas
            assert await asyncio.create_task(where(database)) in replicas
            assert await where(database, prefer="primary") == primary
            with database.prefer("primary"):
                assert await where(database) == primary
            row = await database.fetch_one(WHERE)
            assert row is not None
            assert row[0] in replicas
            assert (await database.fetch_all(WHERE))[0][0] in replicas
        assert await where(database) == primary
    async with make(prefer="replica") as database:
        assert await where(database) in replicas
        assert await where(database, timeout=5) in replicas
        assert await where(database, prefer="primary") == primary


async def test_a_block_is_for_its_database_alone(
    make: Callable[..., Database], primary: int
) -> None:
    async with make() as one, make() as other:
        with one.prefer("replica"):
            assert await where(other) == primary


async def test_reads_are_spread_over_all_replicas(database: Database, replicas: set[int]) -> None:
    with database.prefer("replica"):
        one_by_one = Counter([await where(database) for _ in range(10)])
        assert one_by_one == dict.fromkeys(replicas, 5)
        at_once = Counter(await asyncio.gather(*[where(database) for _ in range(40)]))
        assert at_once.keys() == replicas
        assert min(at_once.values()) >= 15


MAY_WRITE = [
    f"{WHERE} FROM users FOR UPDATE",
    f"{WHERE} FROM users FOR /* no */ KEY\nSHARE",
    f"{WHERE}, nextval('users_id_seq')",
    f"{WHERE}, unknown()",
    f"WITH a AS (INSERT INTO users (name) VALUES ('b') RETURNING id) {WHERE} FROM a",
    "INSERT INTO users (name) VALUES ('b') RETURNING inet_server_port()",
    "SELECT inet_server_port FROM counting",  # of which no word tells that it writes
]


async def test_what_may_write_goes_to_the_primary(database: Database, primary: int) -> None:
    with database.prefer("replica"):
        for query in [*MAY_WRITE, *MAY_WRITE]:
            assert await database.fetch_val(query) == primary, query
            assert primary in [row[0] async for row in database.iterate(query)], query


async def test_what_writes_although_no_word_says_so_is_iterated_over_on_the_primary(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(prefer="replica") as database:
        query = "SELECT inet_server_port FROM counting"
        for _ in range(2):
            assert [row[0] async for row in database.iterate(query)] == [primary]


async def test_transactions_go_to_the_primary_unless_they_are_read_only(
    database: Database, primary: int, replicas: set[int]
) -> None:
    with database.prefer("replica"):
        async with database.transaction():
            assert await where(database, prefer="replica") == primary
            async with database.transaction(readonly=True):
                assert await where(database) == primary
        async with database.connection():
            assert await where(database, prefer="replica") == primary
            async with database.transaction(readonly=True):
                assert await where(database) == primary
        async with database.transaction(readonly=True, isolation="repeatable_read"):
            there = await where(database, prefer="primary")
            assert there in replicas
            assert [row[0] async for row in database.iterate(WHERE)] == [there]
        async with database.transaction(readonly=True, isolation="serializable"):
            assert await where(database) == primary  # a standby cannot
    async with database.transaction(readonly=True):
        assert await where(database) == primary


async def test_iterations_go_to_replicas(
    database: Database, primary: int, replicas: set[int]
) -> None:
    query = f"{WHERE} FROM generate_series(1, 500)"
    assert {row[0] async for row in database.iterate(query)} == {primary}
    ports = set()
    async for row in database.iterate(query, prefer="replica"):
        ports.add(row[0])
        assert await where(database) == primary
    assert len(ports) == 1
    assert ports <= replicas


async def test_under_force_rollback_all_is_on_one_connection(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(force_rollback=True, prefer="replica") as database:
        await database.execute(INSERT)
        assert await where(database) == primary
        assert await count(database) == 2
        async with database.transaction(readonly=True):
            assert await count(database) == 2
    async with make() as database:
        assert await count(database) == 1


# What they see.


async def _execute(database: Database) -> None:
    await database.execute(INSERT)


async def _fetch(database: Database) -> None:
    await database.fetch_one(f"{INSERT} RETURNING id")


async def _many(database: Database) -> None:
    query = "INSERT INTO users (name) VALUES (:name)"
    await database.execute_many(query, [{"name": "Ada"}])


async def _transaction(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT)
        # Asked for before the COMMIT, the primary's position does not cover it.
        await asyncio.create_task(count(database))


async def _transaction_of_another_task(database: Database) -> None:
    transaction = await database.transaction()
    await database.execute(INSERT)
    await asyncio.create_task(_commit(transaction))


async def _commit(transaction: Any) -> None:
    await transaction.commit()


async def _connection(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(INSERT)
        # It is kept already, and seen by tasks that have no part in the connection.
        before = await connection.fetch_val(COUNT)
        assert await asyncio.create_task(count(database)) == before


async def _raw(database: Database) -> None:
    async with database.connection() as connection:
        await connection.raw_connection.execute(INSERT)


async def _gathered(database: Database) -> None:
    await asyncio.gather(database.execute(INSERT))


async def _child(database: Database) -> None:
    with database.prefer("replica"):
        await asyncio.create_task(_execute(database))


async def _iteration(database: Database) -> None:
    async for _ in database.iterate(f"{INSERT} RETURNING id", prefer="replica"):
        pass


WRITES = [
    _execute,
    _fetch,
    _many,
    _transaction,
    _transaction_of_another_task,
    _connection,
    _raw,
    _gathered,
    _child,
    _iteration,
]


async def test_a_request_sees_what_it_has_written_and_others_go_on_reading_replicas(
    database: Database, nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    async def request(write: Callable[[Database], Coroutine[Any, Any, None]], users: int) -> None:
        await write(database)
        assert await count(database) == users, write
        assert await asyncio.create_task(count(database)) == users, write
        async with database.transaction(readonly=True):
            assert await count(database) == users, write
        rows = database.iterate("SELECT * FROM users", prefer="replica")
        assert len([row async for row in rows]) == users, write

    # How far a replica is behind is known as soon as it has been looked at.
    assert await apart(count(database)) == 1
    with paused(nodes):
        for users, write in enumerate(WRITES, 2):
            await apart(request(write, users))
            assert await apart(count(database)) == 1
            assert await apart(where(database, prefer="replica")) in replicas


async def test_what_a_request_has_written_is_read_from_a_replica_as_soon_as_it_is_there(
    database: Database, nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    await count(database)
    for _ in range(3):
        with database.prefer("replica"), paused(nodes):
            await database.execute(INSERT)
            assert await where(database) == primary
        # The replica is asked at once, not only when it is looked at next.
        with database.prefer("replica"):
            assert await where(database) in replicas


async def test_what_was_not_flushed_at_once_is_seen_too(
    database: Database, nodes: ReplicatedPostgreSQL
) -> None:
    nodes.primary.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    nodes.primary.execute("SELECT pg_reload_conf()")
    try:
        await count(database)
        for number in range(2, 22):
            async with database.transaction():
                await database.execute("SET LOCAL synchronous_commit = off")
                await database.execute(INSERT)
            assert await count(database) == number
    finally:
        nodes.primary.execute("ALTER SYSTEM RESET wal_writer_delay")
        nodes.primary.execute("SELECT pg_reload_conf()")


async def test_a_position_that_was_asked_for_before_the_commit_does_not_cover_it(
    database: Database, nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    async def elsewhere() -> Any:
        """Read on another connection than the one that this task holds."""
        return await asyncio.create_task(where(database, prefer="replica"))

    await count(database)
    async with database.connection() as connection:
        transaction = await connection.transaction()
        await connection.execute(INSERT)
        await elsewhere()
        # Replicas get what is not committed yet when somebody else commits.
        nodes.primary.execute("CREATE TABLE others (); DROP TABLE others")
        async with asyncio.timeout(10):
            while await elsewhere() not in replicas:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with paused(nodes):
            await transaction.commit()
            assert await asyncio.create_task(count(database)) == 2
            assert await elsewhere() == nodes.primary.port


async def test_writing_costs_nothing_more_and_a_position_is_asked_for_once(
    database: Database, nodes: ReplicatedPostgreSQL
) -> None:
    await count(database)
    backend: Any = database._engine._backend
    asked = 0
    written = backend._replicas.written

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await written()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend._replicas, "written", counted)
        for _ in range(3):
            await database.execute(INSERT)
        assert asked == 0
        nodes.catch_up()
        assert {await count(database) for _ in range(5)} == {4}
        assert asked == 1


async def test_a_temporary_table_is_found_where_it_is(database: Database, primary: int) -> None:
    with database.prefer("replica"):
        await database.execute("CREATE TEMPORARY TABLE mine AS SELECT 5 AS n")
        assert await database.fetch_val("SELECT n FROM mine") == 5
        assert await where(database) == primary


async def test_a_replica_that_is_too_far_behind_is_not_read(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    async with make(max_lag=0.4) as database:
        assert await where(database, prefer="replica") in replicas
        with paused(nodes):
            nodes.primary.execute(INSERT)
            await until_where(database, {primary}.__eq__)
        await until_where(database, replicas.__eq__)


# What happens to replicas.


@contextlib.asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Counter[int]]:
    """Tasks that read all the time: the ports of who answers. None may see an error."""
    answers: Counter[int] = Counter()
    stop = asyncio.Event()

    async def read(number: int) -> None:
        while not stop.is_set():
            if number % 3:
                answers[await where(database, prefer="replica")] += 1
            else:
                await database.fetch_val(f"{WHERE}, pg_sleep(0.01)", prefer="replica")

    readers = [asyncio.create_task(read(number)) for number in range(6)]
    try:
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*readers)


async def test_a_replica_that_is_killed_is_missed_by_nobody_and_used_again_when_it_is_back(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    victim, other = nodes.replicas
    async with make(max_size=4, max_lag=2) as database, reading(database) as answers:
        await until(lambda: answers[victim.port] and answers[other.port])
        await asyncio.to_thread(victim.kill)
        answers.clear()
        await until(lambda: answers[other.port] > 50)
        await started(victim)
        await until(lambda: answers[victim.port])


async def test_without_any_replica_the_primary_is_read(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, primary: int, replicas: set[int]
) -> None:
    async with make(max_lag=2) as database:
        assert await where(database, prefer="replica") in replicas
        stopped = nodes.replicas
        for node in stopped:
            node.stop("immediate")
        with database.prefer("replica"):
            assert await where(database) == primary
            assert [row[0] async for row in database.iterate(WHERE)] == [primary]
            async with database.transaction(readonly=True):
                assert await where(database) == primary
    for node in stopped:
        await started(node)


async def test_one_that_was_promoted_is_a_replica_no_longer(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, replicas: set[int]
) -> None:
    promoted, other = nodes.replicas
    async with make(max_lag=2) as database:
        assert await where(database, prefer="replica") in replicas
        promoted.promote()
        await until_where(database, {other.port}.__eq__)


async def test_nothing_is_opened_before_it_is_used_and_everything_is_closed(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    def sessions(node: Node) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return node.number_of(query) - 1

    async with make() as database:
        await database.execute(INSERT)
        assert [each.name for each in database.statistics().connections] == ["connection 1"]
        assert database.statistics().limit == 10
        assert [sessions(node) for node in nodes.replicas] == [0, 0]
        await until_where(database, {node.port for node in nodes.replicas}.__eq__)
        names = {each.name for each in database.statistics().connections}
        assert names == {
            "connection 1",
            *[f"replica 127.0.0.1:{node.port}, connection 1" for node in nodes.replicas],
        }
        assert database.statistics().limit == 30
        # One to be lent, and one to look.
        assert [sessions(node) for node in nodes.replicas] == [2, 2]
    await until(lambda: not any(sessions(node) for node in nodes.nodes))


async def test_what_reads_while_it_is_disconnected_opens_nothing_again(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL
) -> None:
    database = make()
    tasks = asyncio.all_tasks()
    for steps in range(12):
        await database.connect()
        await database.execute(INSERT)
        reads = [asyncio.create_task(where(database, prefer="replica")) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.sleep(steps / 1000)
        await database.disconnect()
        for result in await asyncio.gather(*reads, return_exceptions=True):
            assert isinstance(result, int | exceptions.DatabaseError)
        await until(lambda: asyncio.all_tasks() == tasks)


async def test_what_is_watched_says_which_server_answered(
    database: Database, replicas: set[int]
) -> None:
    with database.expect(queries=1) as ran:
        port = await where(database, prefer="replica")
    names = {step.connection for step in ran.steps if step.sql == WHERE}
    assert names == {f"replica 127.0.0.1:{port}, connection 1"}


async def test_one_that_never_answers_delays_the_first_read_alone(
    make: Callable[..., Database], nodes: ReplicatedPostgreSQL, primary: int
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = nodes.primary.url.replace(str(primary), str(port))
        async with asyncio.timeout(4), make(replicas=[url]) as database:
            for _ in range(3):
                assert await where(database, prefer="replica") == primary


async def test_a_database_that_is_dropped_is_not_kept_by_what_looks_after_its_replicas(
    make: Callable[..., Database],
) -> None:
    async def use() -> weakref.ref[Any]:
        database = make(max_lag=0.2)
        await database.connect()
        for _ in range(2):  # also while it is being looked at again and again
            await where(database, prefer="replica")
            await asyncio.sleep(0.15)
        return weakref.ref(database._engine._backend)

    tasks = asyncio.all_tasks()
    backend = await asyncio.create_task(use())
    async with asyncio.timeout(5):
        while backend() is not None or asyncio.all_tasks() != tasks:
            gc.collect()
            await asyncio.sleep(0.02)


async def test_it_can_be_connected_again_in_another_event_loop(
    make: Callable[..., Database], replicas: set[int]
) -> None:
    database = make()

    async def use() -> None:
        for _ in range(2):
            async with database:
                assert await apart(where(database, prefer="replica")) in replicas
                await database.execute(INSERT)

    await use()
    await asyncio.to_thread(asyncio.run, use())


async def test_standbys_among_several_hosts_are_replicas(
    kind: Kind, nodes: ReplicatedPostgreSQL
) -> None:
    url = of_driver(nodes.url, kind.scheme)
    async with Database(f"{url}?max_lag=2", max_size=2, prefer="replica") as database:
        primary, (one, other) = nodes.primary, nodes.replicas
        assert {await where(database) for _ in range(4)} == {one.port, other.port}
        assert await where(database, prefer="primary") == primary.port
        # What is the primary by now is none, and takes the writes.
        await asyncio.to_thread(nodes.fail_over)
        primary, (replica,) = nodes.primary, nodes.replicas
        await until_where(database, {replica.port}.__eq__)
        async with asyncio.timeout(5):
            await apart(_execute(database))
        assert await where(database, prefer="primary") == primary.port
    nodes.rejoin(next(node for node in nodes.nodes if not node.is_running))


async def test_passwords_are_in_no_message(make: Callable[..., Database], primary: int) -> None:
    url = f"postgresql://ada:s3cret@127.0.0.1:{primary}/postgres"
    async with make(replicas=[url]) as database:
        await where(database, prefer="replica")
        backend = database._engine._backend
        assert isinstance(backend, ReplicatedBackend)
        shown = f"{database!r} {backend!r} {backend._replicas.all[0].backend.name}"
        assert "s3cret" not in shown
    with pytest.raises(exceptions.UnknownOptionError) as caught:
        Database("sqlite://", replicas=[url])
    assert "s3cret" not in str(caught.value)


# Seen from around it.


async def test_what_a_standby_cannot_begin_goes_to_the_primary_with_comments_too(
    make: Callable[..., Database], primary: int
) -> None:
    async with make(sql_comments=True, prefer="replica") as database:
        for _ in range(2):
            outer = database.transaction(readonly=True, isolation="serializable")
            async with outer, database.transaction():
                assert await where(database) == primary
