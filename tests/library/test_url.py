"""DatabaseURL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import DatabaseURL
from databases.exceptions import InvalidURLError

FULL = "postgresql+asyncpg://us%40er:p%2Fw@host:123/my%20db?min_size=1&ssl=true"


def test_the_parts_of_a_url_are_decoded() -> None:
    url = DatabaseURL(FULL)
    assert (url.scheme, url.dialect, url.driver) == ("postgresql+asyncpg", "postgresql", "asyncpg")
    assert (url.username, url.password) == ("us@er", "p/w")
    assert url.userinfo == b"us%40er:p%2Fw"
    assert (url.hostname, url.port, url.netloc) == ("host", 123, "us%40er:p%2Fw@host:123")
    assert url.database == "my db"
    assert url.options == {"min_size": "1", "ssl": "true"}
    assert url.components.path == "/my%20db"


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("sqlite:///./test.db", "./test.db"),
        ("sqlite:////var/lib/test.db", "/var/lib/test.db"),
        ("sqlite://", ""),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///file::memory:", "file::memory:"),
        ("sqlite:///file:name?mode=memory&cache=shared", "file:name"),
    ],
)
def test_the_database_of_a_sqlite_url_is_its_path(text: str, database: str) -> None:
    url = DatabaseURL(text)
    assert url.database == database
    assert (url.driver, url.username, url.password, url.port) == ("", None, None, None)
    assert str(url.replace(database=database)) == (text if database else "sqlite:///")


def test_the_host_may_stand_in_the_options() -> None:
    assert DatabaseURL("postgresql:///db?host=/tmp").hostname == "/tmp"
    assert DatabaseURL("mysql://u@/db?unix_sock=/run/m.sock").hostname == "/run/m.sock"
    assert DatabaseURL("mysql://u@/db?unix_socket=/run/m.sock").hostname == "/run/m.sock"


def test_a_url_equals_its_text_and_has_its_hash() -> None:
    assert DatabaseURL(FULL) == FULL
    assert DatabaseURL(FULL) == DatabaseURL(DatabaseURL(FULL))
    assert DatabaseURL(FULL) != "sqlite://"
    assert DatabaseURL(FULL) != 3
    assert len({DatabaseURL(FULL), DatabaseURL(FULL), DatabaseURL("sqlite://")}) == 2


def test_the_password_is_never_shown() -> None:
    url = DatabaseURL("postgresql://ada:s%3Acret@[::1]:5432/db?sslpassword=other&ssl=true")
    hidden = "postgresql://ada:********@[::1]:5432/db?sslpassword=********&ssl=true"
    assert url.obscure_password == hidden
    assert repr(url) == f"DatabaseURL('{hidden}')"
    assert "cret" in str(url)


def test_replace_changes_parts_and_quotes_what_needs_it() -> None:
    url = DatabaseURL("postgresql+asyncpg://ada:secret@localhost:123/app")
    assert str(url.replace(database="test_" + url.database)).endswith("/test_app")
    assert url.replace(password="p@ss/w:rd#?").password == "p@ss/w:rd#?"
    assert url.replace(username="a:b@c").username == "a:b@c"
    assert url.replace(database="a?b#c %").database == "a?b#c %"
    assert str(url.replace(port=5)) == "postgresql+asyncpg://ada:secret@localhost:5/app"
    assert str(url.replace(hostname="h")) == "postgresql+asyncpg://ada:secret@h:123/app"
    assert str(url.replace(dialect="mysql", driver=None)) == "mysql://ada:secret@localhost:123/app"
    assert url.replace(driver="psycopg").scheme == "postgresql+psycopg"
    assert url.replace(scheme="mysql").dialect == "mysql"
    assert url.replace(query="a=b").options == {"a": "b"}
    with pytest.raises((TypeError, ValueError), match="colour"):
        url.replace(colour="red")


def test_replace_keeps_ipv6_brackets_and_makes_up_no_user() -> None:
    url = DatabaseURL("postgresql://[::1]:5432/app")
    assert url.hostname == "::1"
    assert str(url.replace(port=6)) == "postgresql://[::1]:6/app"
    assert str(url.replace(hostname="fe80::1")) == "postgresql://[fe80::1]:5432/app"
    assert str(DatabaseURL("postgresql:///app").replace(port=6)) == "postgresql://:6/app"
    assert str(DatabaseURL("postgresql:///app").replace(hostname="h")) == "postgresql://h/app"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://ada:p%2Cw@a:1,b,[::1]:2/db", [("a", 1), ("b", None), ("::1", 2)]),
        ("postgresql://[::1],[fe80::2]:3/db", [("::1", None), ("fe80::2", 3)]),
        ("mysql://A,b,c", [("a", None), ("b", None), ("c", None)]),
        ("postgresql://ada:pw@/db?host=a,::1&port=1,2", [("a", 1), ("::1", 2)]),
        ("postgresql:///db?host=a,b&port=5433", [("a", 5433), ("b", 5433)]),
        ("postgresql:///db?host=/tmp,/run&port=,2", [("/tmp", None), ("/run", 2)]),
        ("postgresql://a:1,b/db?port=2", [("a", 1), ("b", 2)]),
        ("postgresql://a/db", [("a", None)]),
        ("postgresql:///db?host=/tmp&port=5433", [("/tmp", 5433)]),
        ("mysql://u@/db?unix_socket=/run/m.sock", [("/run/m.sock", None)]),
        ("sqlite:///a,b.db", [(None, None)]),
    ],
)
def test_a_url_has_one_host_or_several(text: str, hosts: list[tuple[str | None, int]]) -> None:
    url = DatabaseURL(text)
    assert url.hosts == tuple(hosts)
    assert (url.hostname, url.port) == hosts[0]
    assert str(url) == text
    assert url.replace(hosts=hosts) == url
    for host in hosts:
        assert url.replace(hosts=[host]).hosts == (host,)
    named = url.replace(username="u,@", password="p,@:")
    assert (named.username, named.password, named.hosts) == ("u,@", "p,@:", url.hosts)


def test_what_replaces_several_hosts_leaves_none_of_them() -> None:
    url = DatabaseURL("postgresql://ada@a:1,b:2/db?ssl=true")
    assert str(url.replace(hostname="h")) == "postgresql://ada@h:1/db?ssl=true"
    assert str(url.replace(port=5)) == "postgresql://ada@a:5,b:5/db?ssl=true"
    hosts = [("::1", 7), ("c", None)]
    assert str(url.replace(hosts=hosts)) == "postgresql://ada@[::1]:7,c/db?ssl=true"
    sockets = url.replace(hosts=[("/tmp", 7), ("/run", None)])
    assert str(sockets) == "postgresql://ada@/db?ssl=true&host=/tmp,/run&port=7,"
    options = DatabaseURL("postgresql:///db?host=a,b&ssl=true&port=1,2")
    assert str(options.replace(hostname="h", port=None)) == "postgresql://h/db?ssl=true"
    assert options.replace(port=5).hosts == (("a", 5), ("b", 5))


def test_the_password_is_hidden_beside_several_hosts() -> None:
    url = DatabaseURL("postgresql://ada:s,cret@a:1,[::1]:2/db")
    assert url.obscure_password == "postgresql://ada:********@a:1,[::1]:2/db"
    assert "cret" not in repr(url)


@pytest.mark.parametrize(
    "changes",
    [
        {"hostname": "h@elsewhere"},
        {"hostname": "h?ssl=false"},
        {"hosts": [("a,b", None)]},
        {"port": 65536},
        {"dialect": "my sql"},
        {"netloc": "h/other"},
        {"path": "/db?ssl=false"},
        {"password": "geheim\ud800"},
    ],
)
def test_what_would_be_read_as_another_part_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidURLError, match=next(iter(changes))) as caught:
        DatabaseURL("postgresql://u:secret@h:1/db?ssl=true").replace(**changes)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "geheim" not in str(caught.value)


def test_what_is_not_replaced_stays_as_it_is_written() -> None:
    url = DatabaseURL("postgresql://a%ff:%FE%2f@h/db")
    assert str(url.replace(port=1)) == "postgresql://a%ff:%FE%2f@h:1/db"
    assert str(url.replace(username="ada")) == "postgresql://ada:%FE%2f@h/db"
    assert str(DatabaseURL("sqlite:test.db").replace(query="a=b")) == "sqlite:test.db?a=b"
    assert str(url.replace(path="other", query=None)) == "postgresql://a%ff:%FE%2f@h/other"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:12/secret@h/db", "postgresql://ada:********@h/db"),
        ("postgresql://ada:12#secret@h/db", "postgresql://ada:********@h/db"),
        ("postgresql:/ada:secret@h/db", "postgresql:********@h/db"),
        ("ada:secret@h/db", "ada:********@h/db"),
        ("my sql://ada:secret@h/db?password=it", "my sql://ada:********@h/db?password=********"),
        ("postgresql://ada@h:1/db", "postgresql://ada@h:1/db"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
    ],
)
def test_a_password_that_cannot_be_read_as_one_is_not_shown_either(text: str, shown: str) -> None:
    assert DatabaseURL(text).obscure_password == shown


@pytest.mark.parametrize("wrong", [3, None, b"sqlite://"])
def test_what_is_no_url_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"write Database\("):
        DatabaseURL(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://u:secret@h:port/db",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:secret@a,b:port/db",
        "postgresql://u:secret@a:1,b:65536/db",
        "postgresql://u:secret@a,,b/db",
        "postgresql://u:secret@a,/db",
        "postgresql://u:secret@:1,:2/db",
        "postgresql://u:secret@a,[::1/db",
        "postgresql://u:secret@[::1,::2]/db",
        "postgresql://u:secret@x,v@b,c:d/db",
        "postgresql://u:secret@/db?host=a,&port=1",
        "postgresql://u:secret@/db?host=a,b&port=1,2,3",
        "postgresql://u:secret@a/db?port=x",
    ],
)
def test_an_unreadable_url_does_not_show_its_password(wrong: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        DatabaseURL(wrong)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.text("ab:,@[]/?#&=%1\t\x00é", max_size=20), st.text("ab:,=&%1/", max_size=20))
def test_garbage_is_read_or_refused(place: str, options: str) -> None:
    for text in (f"postgresql://{place}/db?host={options}", f"mysql://h/?port={options}", place):
        try:
            url = DatabaseURL(text)
        except InvalidURLError:
            continue
        assert url.hosts
        assert (url.hostname, url.port) == url.hosts[0]
        assert isinstance(url.obscure_password, str)


parts = st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable() and "\\" not in s)


@given(username=parts, password=parts, database=parts)
def test_replaced_parts_come_back_as_they_were(username: str, password: str, database: str) -> None:
    url = DatabaseURL("postgresql://localhost:5432/app").replace(
        username=username, password=password, database=database
    )
    assert (url.username, url.password, url.database) == (username, password, database)
    assert (url.hostname, url.port) == ("localhost", 5432)
