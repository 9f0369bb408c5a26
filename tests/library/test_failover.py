"""Several servers, of which one takes writes: it is found, and the next one when it is another."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import asyncmy.errors
import psycopg
import pymysql.err
import pytest

from databases import Database, DatabaseURL, exceptions
from databases.backends.link import Role
from databases.backends.postgres.backend import PostgresBackend
from tests.conftest import running
from tests.library.kinds import (
    MARIADB_ONLY,
    NETWORK_ONLY,
    ON_MARIADB,
    POSTGRESQL_ONLY,
    Kind,
    Network,
)
from tests.library.places import of_driver, until
from tests.library.pools import idle_for, is_whole, notes_of, pool_of, sleeping
from tests.library.users import INSERT, USERS
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import free_port
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

PORT = "SELECT inet_server_port()"
SECRET = "s3cr3t"
ENDLESS = "benchmark(1000000000000, rand())"

MYSQL_ERRORS = pymysql.err.OperationalError | asyncmy.errors.OperationalError


class Pair:
    """Two servers, of which one takes writes."""

    port_sql: str
    sessions_sql: str

    def __init__(self, servers: Sequence[PostgreSQL | MariaDB], url: str) -> None:
        self.servers = servers
        self.primary = servers[0]
        hosts = [("127.0.0.1", server.port) for server in servers]
        self.url = DatabaseURL(url).replace(username="ada", password=SECRET, hosts=hosts)

    async def depose(self) -> None:
        """Let the other one take writes; the one that did goes on, without taking any."""
        await asyncio.to_thread(self.appoint, next(s for s in self.servers if s != self.primary))

    def appoint(self, server: PostgreSQL | MariaDB) -> None:
        self.primary = server
        for each in self.servers:
            self.only_reads(each, "off" if each is server else "on")

    def only_reads(self, server: Any, word: str) -> None:
        """Have a server take writes ("off") or none ("on")."""
        raise NotImplementedError

    def sessions(self) -> list[str]:
        """Those of tests."""
        return [line for s in self.servers for line in s.execute(self.sessions_sql).split()]

    def begin(self, table: str) -> None:
        """Have them as at the beginning, with an empty table."""
        for server in self.servers:
            self.only_reads(server, "off")
            server.execute("DROP TABLE IF EXISTS users", self.url.database)
            server.execute(table, self.url.database)
        self.appoint(self.servers[0])


class TwoPostgreSQLs(Pair):
    port_sql = PORT
    sessions_sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'ada'"

    def only_reads(self, server: PostgreSQL, word: str) -> None:
        server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}")
        server.execute("SELECT pg_reload_conf()")
        # Once new sessions know of it the others have been told.
        while server.execute("SHOW default_transaction_read_only").strip() != word:
            pass


class TwoMariaDBs(Pair):
    port_sql = "SELECT @@port"
    sessions_sql = "SELECT id FROM information_schema.processlist WHERE user = 'ada'"

    def only_reads(self, server: MariaDB, word: str) -> None:
        server.execute(f"SET GLOBAL read_only = {word}")

    def counting(self) -> bool:
        counts = f"SELECT id FROM information_schema.processlist WHERE info LIKE '%{ENDLESS}'"
        return bool(self.primary.execute(counts))


@pytest.fixture(scope="module")
def two_postgresqls() -> Iterator[Pair]:
    with running(PostgreSQL) as one, running(PostgreSQL) as other:
        for server in (one, other):
            server.execute("CREATE ROLE ada LOGIN SUPERUSER")
        yield TwoPostgreSQLs([one, other], one.url)


@pytest.fixture(scope="module")
def two_mariadbs() -> Iterator[Pair]:
    with running(MariaDB) as one, running(MariaDB) as other:
        for server in (one, other):
            server.execute(f"CREATE USER ada IDENTIFIED BY '{SECRET}'")
            server.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO ada")
        yield TwoMariaDBs([one, other], one.url)


@pytest.fixture
def servers(kind: Kind, request: pytest.FixtureRequest) -> Pair:
    name = "two_mariadbs" if kind in ON_MARIADB else "two_postgresqls"
    servers: Pair = request.getfixturevalue(name)
    servers.begin(USERS.format(kind.key))
    return servers


@pytest.fixture
def url(kind: Kind, servers: Pair) -> DatabaseURL:
    return servers.url.replace(scheme=kind.scheme)


async def write_from(database: Database, tasks: int) -> None:
    """Have so many tasks write at once."""
    writes = [database.execute(INSERT, {"name": f"user {n}"}) for n in range(tasks)]
    await asyncio.gather(*writes)


async def fill(kind: Kind, database: Database, count: int) -> None:
    """Have so many connections idle in the pool."""
    naps = [database.fetch_val(f"SELECT {sleeping(kind, 0.1)}") for _ in range(count)]
    await asyncio.gather(*naps)
    assert len(pool_of(database)._idle) == count


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """A host that lets everybody in, and says nothing."""
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        yield listening.getsockname()


class Moving:
    """An address that stands for the server that takes writes, as of a proxy."""

    def __init__(self, servers: Pair) -> None:
        self._servers = servers

    async def __aenter__(self) -> tuple[str, int]:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        place: tuple[str, int] = self._server.sockets[0].getsockname()
        return place

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._servers.primary.port
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(reader, ours), _pass_on(theirs, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@NETWORK_ONLY
async def test_the_server_that_takes_writes_is_found_wherever_it_stands(
    servers: Pair, url: DatabaseURL
) -> None:
    hosts = list(url.hosts)
    for places in (hosts, hosts[::-1]):
        names, ports = zip(*places, strict=True)
        query = f"host={','.join(names)}&port={','.join(map(str, ports))}"
        for way in (url.replace(hosts=places), url.replace(hosts=[], query=query)):
            async with Database(way) as database:
                assert await database.fetch_val(servers.port_sql) == servers.primary.port


@NETWORK_ONLY
async def test_another_role_may_be_asked_for(servers: Pair, url: DatabaseURL) -> None:
    async with Database(url, target_session_attrs="read-only") as database:
        assert await database.fetch_val(servers.port_sql) != servers.primary.port
    with pytest.raises(exceptions.UnknownOptionError, match=r"read-write.*not 'master'"):
        await Database(f"{url}?target_session_attrs=master").connect()


@NETWORK_ONLY
async def test_a_server_that_lost_its_role_is_left_for_the_one_that_has_it(
    kind: Kind, servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, max_size=4) as database:
        await fill(kind, database, 4)
        await servers.depose()
        # Idle connections were opened to the one before; each may be the first to be used.
        await write_from(database, 4)
        await is_whole(database)
        ports = {await database.fetch_val(servers.port_sql) for _ in range(8)}
        assert ports == {servers.primary.port}
        assert {each.state for each in database.statistics().connections} == {"idle"}
        await servers.depose()
        await database.execute_many(INSERT, [{"name": name} for name in "xyz"])
        assert await database.fetch_val("SELECT count(*) FROM users") == 3
        await is_whole(database)


@NETWORK_ONLY
async def test_idle_connections_to_a_server_that_lost_its_role_are_not_lent(
    kind: Kind, servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, max_size=3) as database:
        await fill(kind, database, 3)
        await servers.depose()
        idle_for(database, 2.0)
        # By their sign of life, before anything is written.
        assert await database.fetch_val(servers.port_sql) == servers.primary.port
        await is_whole(database)


@NETWORK_ONLY
async def test_a_held_connection_to_a_server_that_lost_its_role_does_not_come_back(
    servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, max_size=2) as database:
        async with database.connection() as connection:
            await servers.depose()
            with pytest.raises(exceptions.DriverError, match="read-only"):
                async with connection.transaction():
                    await connection.execute(INSERT, {"name": "ada"})
        async with database.transaction():
            await database.execute(INSERT, {"name": "ada"})
            assert await database.fetch_val(servers.port_sql) == servers.primary.port
        await is_whole(database)


@NETWORK_ONLY
async def test_where_nobody_takes_writes_any_more_that_is_told_of_each(
    kind: Kind, servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, max_size=2) as database:
        await fill(kind, database, 2)
        for server in servers.servers:
            servers.only_reads(server, "on")
        with pytest.raises(exceptions.ConnectionFailureError) as caught:
            await database.execute(INSERT, {"name": "ada"})
        for _, port in url.hosts:
            assert re.search(rf"127\.0\.0\.1:{port} .*only read", str(caught.value))
        servers.appoint(servers.primary)
        await database.execute(INSERT, {"name": "ada"})
        await is_whole(database)


@NETWORK_ONLY
async def test_a_server_that_was_asked_for_is_kept_though_it_takes_no_writes(
    kind: Network, servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, target_session_attrs="read-only", max_size=1) as database:
        session = await database.fetch_val(kind.session)
        with pytest.raises(exceptions.DriverError, match="read-only"):
            await database.execute(INSERT, {"name": "ada"})
        assert await database.fetch_val(kind.session) == session


@POSTGRESQL_ONLY
async def test_a_read_only_transaction_of_the_user_s_own_changes_nothing(
    kind: Network, servers: Pair, url: DatabaseURL
) -> None:
    async with Database(url, max_size=1) as database:
        session = await database.fetch_val(kind.session)
        with pytest.raises(exceptions.DriverError, match="read-only"):
            async with database.transaction(readonly=True):
                await database.execute(INSERT, {"name": "ada"})
        assert await database.fetch_val(kind.session) == session


@NETWORK_ONLY
async def test_an_address_behind_which_the_server_changes_is_followed_where_that_is_asked_for(
    kind: Kind, servers: Pair, url: DatabaseURL
) -> None:
    async with Moving(servers) as place:
        url = url.replace(hosts=[place])
        following = Database(url, target_session_attrs="read-write", max_size=3)
        async with following, Database(url, max_size=1) as staying:
            await fill(kind, following, 3)
            await servers.depose()
            await following.execute(INSERT, {"name": "ada"})
            assert await following.fetch_val(servers.port_sql) == servers.primary.port
            await is_whole(following)
            with pytest.raises(exceptions.DriverError, match="read-only"):
                await staying.execute(INSERT, {"name": "eve"})


@NETWORK_ONLY
async def test_a_host_that_says_nothing_is_not_waited_for(servers: Pair, url: DatabaseURL) -> None:
    with silent() as place:
        # By default it would be waited for ten seconds.
        async with asyncio.timeout(20):
            async with Database(url.replace(hosts=[place, *url.hosts])) as database:
                assert await database.fetch_val(servers.port_sql) == servers.primary.port
        alone = url.replace(hosts=[place], query="target_session_attrs=any&connect_timeout=1")
        with pytest.raises(TimeoutError, match="did not answer in 1 s") as caught:
            await Database(alone.replace(hosts=[place, place])).connect()
        assert isinstance(caught.value, exceptions.ConnectionFailureError)


@NETWORK_ONLY
async def test_where_no_host_fits_one_error_says_of_each_why(
    servers: Pair, url: DatabaseURL
) -> None:
    gone = ("127.0.0.1", free_port())
    others = [host for host in url.hosts if host[1] != servers.primary.port]
    with pytest.raises(exceptions.OperationalError) as caught:
        await Database(url.replace(hosts=[gone, *others])).connect()
    # It is the driver's own of the one that is not there.
    refused = ConnectionRefusedError | psycopg.OperationalError | MYSQL_ERRORS
    assert isinstance(caught.value, refused)
    said = notes_of(caught.value)
    assert "target_session_attrs=read-write" in said
    assert re.search(rf"127\.0\.0\.1:{gone[1]} .*refused", said)
    for _, port in others:
        assert re.search(rf"127\.0\.0\.1:{port} .*only read", said)
    assert SECRET not in said + str(caught.value)


@NETWORK_ONLY
async def test_who_gives_up_connecting_leaves_no_session(servers: Pair, url: DatabaseURL) -> None:
    cancelled = 0
    with silent() as place:
        for hosts in ([place, *url.hosts], [*url.hosts[::-1], place]):
            for milliseconds in range(0, 20, 2):
                database = Database(url.replace(hosts=hosts))
                connecting = asyncio.ensure_future(database.connect())
                await asyncio.sleep(milliseconds / 1000)
                connecting.cancel()
                await asyncio.wait([connecting])
                cancelled += connecting.cancelled()
                await database.disconnect()
    assert cancelled
    await until(lambda: not servers.sessions())


@MARIADB_ONLY
async def test_a_statement_that_is_cancelled_is_stopped_on_its_own_server(
    servers: TwoMariaDBs, url: DatabaseURL
) -> None:
    await servers.depose()
    async with Database(url, max_size=1) as database:
        running = asyncio.create_task(database.fetch_val(f"SELECT {ENDLESS}"))
        await until(servers.counting)
        running.cancel()
        await asyncio.wait([running])
        await until(lambda: not servers.counting())


@POSTGRESQL_ONLY
async def test_a_standby_is_told_from_the_primary(
    kind: Kind, replicated_postgresql: ReplicatedPostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = replicated_postgresql
    url = DatabaseURL(of_driver(cluster.url, kind.scheme))
    standbys = [node.port for node in cluster.replicas]
    for word in ("standby", "read-only", "prefer-standby"):
        async with Database(url, target_session_attrs=word) as database:
            assert await database.fetch_val(PORT) in standbys
    for word in ("primary", "read-write"):
        async with Database(url, target_session_attrs=word) as database:
            assert await database.fetch_val(PORT) == cluster.primary.port
    alone = url.replace(hosts=[("127.0.0.1", cluster.primary.port)])
    async with Database(alone, target_session_attrs="prefer-standby") as database:
        assert await database.fetch_val(PORT) == cluster.primary.port
    with pytest.raises(exceptions.ConnectionFailureError, match="takes writes"):
        await Database(alone, target_session_attrs="standby").connect()
    # Those before version 14 tell their role only when they are asked.
    backend = PostgresBackend(url)
    for node in cluster.nodes:
        link: Any = await backend._driver.connect(("127.0.0.1", node.port))
        monkeypatch.setattr(type(link), "told", lambda _: None)
        assert await link.role() is (Role.PRIMARY if node is cluster.primary else Role.STANDBY)
        await link.close()


@POSTGRESQL_ONLY
async def test_the_next_primary_is_found_when_one_has_died(
    kind: Kind, replicated_postgresql: ReplicatedPostgreSQL
) -> None:
    cluster = replicated_postgresql
    cluster.primary.execute(f"DROP TABLE IF EXISTS users CASCADE; {USERS.format(kind.key)}")
    async with Database(of_driver(cluster.url, kind.scheme), max_size=4) as database:
        await fill(kind, database, 4)
        cluster.primary.kill()
        # In use until a moment ago, it may not be known yet that they are gone.
        idle_for(database, 0.1)
        with pytest.raises(exceptions.OperationalError) as caught:
            await database.execute(INSERT, {"name": "ada"})
        assert notes_of(caught.value).count("is a standby") == 2
        await asyncio.to_thread(cluster.promote, cluster.replicas[0])
        await write_from(database, 4)
        assert await database.fetch_val(PORT) == cluster.primary.port
        await is_whole(database)
