"""Which of several hosts is taken, told by servers of the imagination."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from databases.backends.hosts import Hosts, Target
from databases.backends.link import Role
from databases.backends.mysql import faults as mysql_faults
from databases.backends.mysql import sql as mysql_sql
from databases.exceptions import (
    ConnectionFailureError,
    OperationalError,
    UnknownOptionError,
    adopt,
)
from tests.library.fake_links import settled
from tests.library.pools import notes_of

A, B, C = [("a", 1), ("b", 2), ("c", 3)]
PRIMARY, READ_ONLY, STANDBY, UNREADY = Role.PRIMARY, Role.READ_ONLY, Role.STANDBY, Role.UNREADY


class Refused(Exception):
    """A server that is there lets nobody in."""


class FakeLink:
    """A connection to one of the hosts."""

    def __init__(self, servers: Servers, host: Any) -> None:
        self.servers = servers
        self.host = host
        self.ended = ""

    def __repr__(self) -> str:
        return f"<link to {self.host[0]}{' ' + self.ended if self.ended else ''}>"

    async def ping(self) -> None:
        await asyncio.sleep(0)

    async def role(self) -> Role:
        self.servers.asked_for_roles += 1
        await asyncio.sleep(0)
        role: Role = self.servers.roles[self.host]
        return role

    async def close(self) -> None:
        await asyncio.sleep(0)
        if self.servers.say_no_goodbye:
            raise OSError("gone")
        self.ended = self.ended or "closed"

    def terminate(self) -> None:
        self.ended = self.ended or "terminated"


class Servers:
    """Servers with roles, errors, or no answer at all; and the driver that reaches them."""

    def __init__(self, **roles: Any) -> None:
        places = {"a": A, "b": B, "c": C}
        self.roles = {places[name]: what for name, what in roles.items()}
        self.asked: list[str] = []
        self.asked_for_roles = 0
        self.say_no_goodbye = False
        self.links: list[FakeLink] = []

    async def connect(self, host: Any) -> FakeLink:
        self.asked.append(host[0])
        await asyncio.sleep(0)
        if self.roles[host] is None:
            await asyncio.Event().wait()
        if isinstance(self.roles[host], Exception):
            raise self.roles[host]
        self.links.append(FakeLink(self, host))
        return self.links[-1]

    def adopted(self, error: BaseException) -> BaseException:
        away = isinstance(error, OSError)
        return adopt(error, ConnectionFailureError if away else OperationalError)

    def role_told(self, error: BaseException) -> Role | None:
        return getattr(error, "role", None)

    def hosts(self, wanted: str | None = None, **options: Any) -> Hosts:
        given = options if wanted is None else {"target_session_attrs": wanted, **options}
        timeout = given.pop("connect_timeout", None)
        driver: Any = self
        return Hosts(driver, Target.take(tuple(self.roles), given, timeout, 60))

    @property
    def open(self) -> list[FakeLink]:
        return [link for link in self.links if not link.ended]


async def chosen(hosts: Hosts) -> str:
    async with asyncio.timeout(20):
        link: Any = await hosts.connect()
        await hosts.close()
    assert link.servers.open == [link]
    link.terminate()
    name: str = link.host[0]
    return name


async def test_those_that_come_late_are_not_cut_off_at_once_but_told_goodbye() -> None:
    servers = Servers(a=ConnectionRefusedError(), b=PRIMARY, c=PRIMARY)
    connect, late = servers.connect, asyncio.Event()

    async def later(host: Any) -> FakeLink:
        if host is C:
            await late.wait()
        return await connect(host)

    servers.connect = later  # type: ignore[method-assign]
    hosts = servers.hosts()
    async with asyncio.timeout(20):
        link: Any = await hosts.connect()
        await settled()
        late.set()
        await settled()
        await hosts.close()
    assert [each.ended for each in servers.links] == ["", "closed"]
    assert link is servers.links[0]


async def test_a_host_that_is_named_twice_is_asked_once() -> None:
    servers: Any = Servers(a=ConnectionRefusedError(), b=PRIMARY)
    assert await chosen(Hosts(servers, Target((A, B, B), "read-write"))) == "b"
    assert servers.asked == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "roles", "host"),
    [
        (None, [STANDBY, PRIMARY, STANDBY], "b"),
        (None, [STANDBY, READ_ONLY, PRIMARY], "c"),
        ("read-write", [PRIMARY, STANDBY, STANDBY], "a"),
        ("read-only", [PRIMARY, READ_ONLY, PRIMARY], "b"),
        ("read-only", [PRIMARY, PRIMARY, STANDBY], "c"),
        ("primary", [STANDBY, READ_ONLY, STANDBY], "b"),
        ("standby", [PRIMARY, READ_ONLY, STANDBY], "c"),
        ("prefer-standby", [PRIMARY, READ_ONLY, STANDBY], "c"),
        ("prefer-standby", [OSError(), PRIMARY, UNREADY], "b"),
        ("any", [STANDBY, PRIMARY, PRIMARY], "a"),
        ("any", [UNREADY, ConnectionRefusedError(), STANDBY], "c"),
    ],
)
async def test_the_host_that_fits_is_found(wanted: str | None, roles: list[Any], host: str) -> None:
    servers = Servers(**dict(zip("abc", roles, strict=True)))
    assert await chosen(servers.hosts(wanted)) == host


async def test_a_single_host_is_asked_nothing() -> None:
    servers = Servers(a=STANDBY)
    assert await chosen(servers.hosts()) == "a"
    assert servers.asked_for_roles == 0


async def test_the_host_that_served_last_is_asked_first_and_alone() -> None:
    servers = Servers(a=STANDBY, b=STANDBY, c=PRIMARY)
    hosts = servers.hosts()
    assert await chosen(hosts) == "c"
    servers.asked.clear()
    assert await chosen(hosts) == "c"
    assert servers.asked == ["c"]
    servers.roles |= {B: PRIMARY, C: STANDBY}
    assert await chosen(hosts) == "b"
    assert servers.asked[1:] == ["c", "a", "b"]


@pytest.mark.parametrize("silent", ["a", "b", "c"])
async def test_a_host_that_does_not_answer_holds_nobody_up(silent: str) -> None:
    roles = {"a": STANDBY, "b": PRIMARY, "c": PRIMARY, silent: None}
    servers = Servers(**roles)
    assert await chosen(servers.hosts()) in "bc"
    assert await chosen(servers.hosts("prefer-standby")) in "abc"


async def test_of_two_that_fit_at_once_one_is_told_goodbye() -> None:
    servers = Servers(a=STANDBY, b=PRIMARY, c=PRIMARY)
    assert await chosen(servers.hosts()) in ("b", "c")
    assert [link.ended for link in servers.links].count("closed") == 2


async def test_one_that_cannot_be_told_goodbye_is_closed_all_the_same() -> None:
    servers = Servers(a=STANDBY, b=PRIMARY)
    servers.say_no_goodbye = True
    assert await chosen(servers.hosts()) == "b"
    assert servers.links[0].ended == "terminated"


async def test_where_nobody_fits_it_is_said_of_each_why() -> None:
    servers = Servers(a=ConnectionRefusedError(111, "no"), b=STANDBY, c=OSError("no route"))
    with pytest.raises(ConnectionRefusedError) as caught:
        await servers.hosts().connect()
    assert isinstance(caught.value, ConnectionFailureError)
    said = notes_of(caught.value)
    assert "target_session_attrs=read-write" in said
    assert "a:1 refused the connection" in said
    assert "b:2 is a standby" in said
    assert "c:3 failed: no route" in said


async def test_a_host_that_does_not_answer_in_time_is_told() -> None:
    hosts = Servers(a=None, b=None).hosts(connect_timeout="0.01")
    with pytest.raises(TimeoutError, match=r"a:1 did not answer in 0\.01 s") as caught:
        await hosts.connect()
    assert isinstance(caught.value, ConnectionFailureError)
    assert "b:2 did not answer in 0.01 s" in notes_of(caught.value)


async def test_a_single_host_that_does_not_fit_is_told() -> None:
    with pytest.raises(ConnectionFailureError, match=r"read-write asks for:\n  a:1 is a standby"):
        await Servers(a=STANDBY).hosts("read-write").connect()
    with pytest.raises(ConnectionRefusedError) as caught:
        await Servers(a=ConnectionRefusedError()).hosts("read-write").connect()
    assert not notes_of(caught.value)


async def test_what_a_server_refuses_is_told_before_that_others_are_away() -> None:
    servers = Servers(a=ConnectionRefusedError(), b=Refused("wrong password"), c=OSError())
    with pytest.raises(Refused, match="wrong password") as caught:
        await servers.hosts().connect()
    assert not isinstance(caught.value, ConnectionFailureError)
    assert "b:2 failed: wrong password" in notes_of(caught.value)


@pytest.mark.parametrize("is_away", [True, False])
async def test_where_others_let_us_in_what_one_refuses_is_no_reason_to_give_up(
    is_away: bool,
) -> None:
    # A standby may not have come as far as the creation of the database.
    first = ConnectionRefusedError() if is_away else STANDBY
    servers = Servers(a=first, b=Refused("no such database"), c=STANDBY)
    with pytest.raises(ConnectionFailureError) as caught:
        await servers.hosts().connect()
    assert "b:2 failed: no such database" in f"{caught.value}{notes_of(caught.value)}"


async def test_who_gives_up_leaves_no_connection_open() -> None:
    for roles in (
        [STANDBY, PRIMARY, PRIMARY],
        [None, STANDBY, PRIMARY],
        [UNREADY, OSError(), None],
    ):
        for steps in range(30):
            servers = Servers(**dict(zip("abc", roles, strict=True)))
            hosts = servers.hosts(connect_timeout=1)
            connecting = asyncio.ensure_future(hosts.connect())
            await settled(steps)
            connecting.cancel()
            await asyncio.wait([connecting])
            await hosts.close()
            assert len(servers.open) == (not connecting.cancelled())


def test_nobody_waits_for_what_an_event_loop_that_stopped_has_left() -> None:
    servers = Servers(a=STANDBY, b=PRIMARY, c=None)
    hosts = servers.hosts()

    async def close() -> None:
        async with asyncio.timeout(20):
            await hosts.close()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(hosts.connect())
        # Leave is being taken of a, and c may answer yet.
        left = [*hosts._leaving, *hosts._late]
        assert len(left) == 2
        second.run(close())
        assert not any(task.done() or task.cancelling() for task in left)
        first.run(close())
        assert all(task.done() for task in left)


async def test_hosts_are_shuffled_where_that_is_asked_for() -> None:
    servers = Servers(a=PRIMARY, b=PRIMARY, c=PRIMARY)
    hosts = servers.hosts(load_balance_hosts="random")
    assert {await chosen(hosts) for _ in range(200)} == {"a", "b", "c"}


@pytest.mark.parametrize("option", ["target_session_attrs", "load_balance_hosts"])
def test_a_word_that_means_nothing_is_answered_with_the_choice(option: str) -> None:
    with pytest.raises(UnknownOptionError, match=r"is one of .*, not 'master'"):
        Servers(a=PRIMARY).hosts(**{option: "master"})


async def test_whether_a_server_is_what_it_was_is_asked_along_with_a_sign_of_life() -> None:
    servers = Servers(a=PRIMARY, b=STANDBY)
    hosts = servers.hosts()
    link = await hosts.connect()
    assert await hosts.is_well(link)
    servers.roles[A] = STANDBY
    assert not await hosts.is_well(link)


class Told(Exception):
    """A server says what it is."""

    def __init__(self, role: Role | None) -> None:
        self.role = role


@pytest.mark.parametrize(
    ("wanted", "hosts", "deposed"),
    [
        ("any", "a", []),
        ("any", "ab", [UNREADY]),
        ("read-write", "a", [STANDBY, UNREADY]),
        (None, "ab", [STANDBY, UNREADY]),
        ("standby", "ab", [UNREADY]),
    ],
)
def test_a_server_is_deposed_by_what_it_says_where_something_else_is_asked_for(
    wanted: str | None, hosts: str, deposed: list[Role]
) -> None:
    chosen = Servers(**dict.fromkeys(hosts, PRIMARY)).hosts(wanted)
    assert [role for role in (STANDBY, UNREADY) if chosen.is_deposed(Told(role))] == deposed
    assert not chosen.is_deposed(Told(None))


@pytest.mark.parametrize(
    ("told", "role"),
    [
        ({"read_only": "OFF", "wsrep_on": "OFF", "wsrep_ready": "OFF"}, PRIMARY),
        ({"read_only": "ON"}, STANDBY),
        ({"read_only": "NO_LOCK_NO_ADMIN"}, STANDBY),
        ({"read_only": "OFF", "wsrep_on": "ON", "wsrep_ready": "ON"}, PRIMARY),
        ({"read_only": "ON", "wsrep_on": "ON", "wsrep_ready": "ON"}, STANDBY),
        ({"read_only": "OFF", "wsrep_on": "ON", "wsrep_ready": "OFF"}, UNREADY),
    ],
)
def test_mysql_s_role_is_told_by_its_variables(told: dict[str, str], role: Role) -> None:
    assert mysql_sql.role(told) is role


@pytest.mark.parametrize(
    ("code", "text", "role"),
    [
        (1290, "running with the --read-only option so it cannot execute", STANDBY),
        (1290, "running with the --super-read-only option so it cannot execute", STANDBY),
        (1290, "running with the --secure-file-priv option so it cannot execute", None),
        (1836, "Running in read-only mode", STANDBY),
        (1047, "WSREP has not yet prepared node for application use", UNREADY),
        (1047, "Unknown command", None),
        (1064, "You have an error in your SQL syntax near read_only", None),
    ],
)
def test_mysql_s_role_is_told_by_an_error(code: int, text: str, role: Role | None) -> None:
    assert mysql_faults.role_told(Exception(code, text)) is role
