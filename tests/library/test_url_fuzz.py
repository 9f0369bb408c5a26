"""Hostile URLs and options: they are read, or refused by an error of ours, and tell no password."""

from __future__ import annotations

import importlib
import pickle
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import Database, DatabaseURL
from databases.exceptions import ConfigurationError, InvalidURLError
from tests.library.fuzzing import ANY_TEXT, LONG, PATIENCE, examples

SECRET = "geheim\xdf7"
"""Stands in a URL as it is, or percent-encoded."""

SCHEMES = [
    *Database.SUPPORTED_BACKENDS,
    "postgresql+psycopg2",
    "",
    "pg sql",
    "1",
    "SQLITE",
    "a+b+c",
]
HOSTS = st.one_of(
    st.sampled_from(
        ["", "h", "H.example", "127.0.0.1", "[::1]", "[fe80::1%25eth0]", "::1", "[", "é"]
    ),
    st.text(max_size=5),
    ANY_TEXT.map(lambda text: text[:5]),
)
PORTS = st.sampled_from(["", ":", ":5432", ":0", ":65536", ":-1", ":x", ":٣", ":1_0", ":+1", ": 1"])
PLACES = st.lists(st.builds(str.__add__, HOSTS, PORTS), min_size=1, max_size=4).map(",".join)
VALUES = st.one_of(
    st.sampled_from(
        ["1", "0", "-1", "true", "inf", "nan", "1e3", "0.5", "9" * 400, "", "a,b", "/tmp"]
    ),
    st.sampled_from(["require", "٣", "1_000", " 5 ", "\0", "x" * 300, "\udc80", "\ud800", "None"]),
    ANY_TEXT,
)
OURS = [
    *("min_size", "max_size", "pool_timeout", "max_waiting", "max_lifetime", "max_idle", "ssl"),
    *("statement_cache_size", "max_queries", "pool_recycle", "max_inactive_connection_lifetime"),
    *("host", "port", "unix_socket", "unix_sock", "user", "password", "passwd", "sslpassword"),
    *("sslmode", "connect_timeout", "command_timeout", "application_name", "server_settings"),
    *("charset", "ssl_ca", "ssl_cert", "ssl_key", "init_command", "sql_mode", "autocommit"),
    *("timeout", "readers", "cached_statements", "detect_types", "journal_mode", "synchronous"),
    *("foreign_keys", "cache_size", "mmap_size", "mode", "cache", "vfs", "uri", "local_infile"),
    *("target_session_attrs", "load_balance_hosts", "dsn", "db", "database", "context", "init"),
]
"""Options of every database, and some of the drivers'."""

USERS = st.text(st.characters(exclude_characters=":/?#@[]", exclude_categories=["Cc"]))
NAMES = st.one_of(st.sampled_from(OURS), ANY_TEXT)
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=4)


def encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


@st.composite
def urls(draw: Any) -> str:
    """What looks like a URL, here and there."""
    user = draw(st.one_of(st.sampled_from(["", "u:", "u%3A:", ":", "u%ff:"]), USERS))
    secret = draw(st.sampled_from(["", SECRET, encoded(SECRET)]))
    at = draw(st.sampled_from(["", "@"]))
    path = draw(st.one_of(st.sampled_from(["", "/", "/db", "//a", "/%ff", "x"]), ANY_TEXT))
    query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in draw(QUERIES))
    return "".join(
        [
            draw(st.sampled_from(SCHEMES)),
            draw(st.sampled_from(["://", "://", "://", ":", ":/", "//", "", ":///"])),
            user if user.endswith(":") or not secret else user + ":",
            secret,
            "@" if secret else at,
            draw(PLACES),
            path,
            draw(st.sampled_from(["", "?"])),
            query,
            draw(st.sampled_from(["", "#", "#f"])),
        ]
    )


def read(text: str) -> DatabaseURL | None:
    try:
        return DatabaseURL(text)
    except InvalidURLError as error:
        assert_hidden(f"{error} {error.__context__}")
        return None


def assert_hidden(text: str) -> None:
    for shown in (SECRET, encoded(SECRET)):
        assert shown not in text


def meaning(url: DatabaseURL) -> tuple[object, ...]:
    """What a URL says."""
    place = (url.scheme, url.dialect, url.driver, url.hosts, url.hostname, url.port)
    return (*place, url.username, url.password, url.database, url.options)


@examples(200)
@given(st.one_of(urls(), ANY_TEXT))
def test_whatever_is_no_url_is_refused_and_all_of_the_others_can_be_read(text: str) -> None:
    url = read(text)
    if url is None:
        return
    meant = meaning(url)
    assert isinstance(url.userinfo, bytes | None)
    assert isinstance(url.netloc, str)
    assert str(url) == text
    assert url == text
    assert url == DatabaseURL(text)
    assert hash(url) == hash(DatabaseURL(url))
    assert pickle.loads(pickle.dumps(url)) == url
    for shown in (url.obscure_password, repr(url)):
        assert_hidden(shown)
    assert meaning(url.replace()) == meant


@examples(40)
@given(
    scheme=st.sampled_from([*Database.SUPPORTED_BACKENDS]),
    user=USERS,
    before=st.text("ab1:/%&=;+ '\"\\!$*()", max_size=6),
    behind=st.text("ab1:/@%&=;+ '\"\\!$*()", max_size=6),
    query=QUERIES,
)
def test_no_password_is_shown_even_where_it_should_have_been_encoded(
    scheme: str, user: str, before: str, behind: str, query: list[tuple[str, str]]
) -> None:
    secrets = [before + SECRET + behind, encoded(before + SECRET + behind)]
    options = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in query)
    more = f"{options}&password={encoded(SECRET)}&sslp%61ssword={SECRET}&a=b"
    for secret in secrets:
        for middle in ("://", ":/", " ://"):
            url = read(f"{scheme}{middle}{user}:{secret}@host:1/name?{more}")
            if url is not None:
                assert_hidden(repr(url))
                assert_hidden(url.obscure_password)
                try:
                    assert_hidden(repr(Database(url)))
                    backend(url)
                except ConfigurationError as error:
                    assert_hidden(str(error))
                    assert_hidden(repr(error.__context__))


PART = st.one_of(
    st.none(), ANY_TEXT, st.sampled_from(["a@b", "h/x", "[::1]", "::1", "/tmp", "a,b"])
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "username": PART,
        "password": PART,
        "hostname": PART,
        "port": st.one_of(st.none(), st.integers(), st.sampled_from(["5", "x", 1.5])),
        "hosts": st.lists(st.tuples(PART, st.one_of(st.none(), st.integers(0, 65535))), max_size=3),
        "database": PART,
        "dialect": PART,
        "driver": PART,
        "scheme": PART,
        "netloc": PART,
        "path": PART,
        "query": PART,
        "fragment": PART,
    },
)


@examples(200)
@given(st.one_of(urls(), st.just("postgresql://u:p@h:1/db?a=b"), st.just("sqlite:///x")), CHANGES)
def test_replaced_parts_are_as_asked_and_the_others_as_before(
    text: str, changes: dict[str, Any]
) -> None:
    url = read(text)
    if url is None:
        return
    try:
        changed = url.replace(**changes)
    except InvalidURLError as error:
        assert_hidden(str(error))
        return
    given_name = {"scheme", "netloc", "path", "query", "fragment"} & changes.keys()
    if given_name:
        return  # as they stand in a URL: whatever they say
    for name in ("username", "password", "database", "dialect", "driver"):
        wanted = changes[name] if name in changes else getattr(url, name)
        if name in ("database", "dialect", "driver"):
            wanted = wanted or ""
        if name in ("dialect", "driver"):
            if "+" in (changes.get("dialect") or ""):
                continue
            wanted = wanted.lower()
        if {"username", "password"} & changes.keys() and name in ("username", "password"):
            # A password needs a user name, if an empty one.
            assert (getattr(changed, name) or "") == (wanted or "")
        else:
            assert getattr(changed, name) == wanted, name
    if not {"hostname", "hosts", "port"} & changes.keys():
        assert changed.hosts == url.hosts
        assert changed.options == url.options
    elif {"hostname"} == changes.keys() & {"hostname", "hosts", "port"} and changes["hostname"]:
        assert changed.hostname == changes["hostname"].lower()


def test_a_long_url_is_read_in_reasonable_work() -> None:
    begun = time.monotonic()
    for unit in (
        "a",
        ":",
        "/",
        "@",
        "?",
        "#",
        "[",
        "]",
        ",",
        "%",
        "%41",
        "&a=b",
        "a:1,",
        "[::1],",
        "é",
    ):
        for start in ("", "postgresql://", "postgresql://u:p@", "postgresql://h/?a=", "sqlite:///"):
            url = read(start + unit * (LONG // 4 // len(unit)))
            if url is not None:
                meaning(url)
                repr(url)
                url.replace(database="x", username="u")
    assert time.monotonic() - begun < PATIENCE


def backend(url: DatabaseURL, **options: Any) -> None:
    path = Database.SUPPORTED_BACKENDS.get(url.scheme) or Database.SUPPORTED_BACKENDS.get(
        url.dialect
    )
    if path is not None:
        module, _, name = path.partition(":")
        getattr(importlib.import_module(module), name)(url, **options)


KEYWORDS = st.dictionaries(
    st.sampled_from(OURS),
    st.one_of(
        VALUES,
        st.sampled_from([None, True, False, b"x", [], {}, object(), 1.5, -1, 10**400, 1 << 63]),
        st.sampled_from([float("inf"), float("-inf"), float("nan"), 1e308]),
        st.integers(),
        st.floats(),
    ),
    max_size=4,
)


@examples(120)
@given(st.sampled_from([*Database.SUPPORTED_BACKENDS]), st.text(max_size=3), QUERIES, KEYWORDS)
def test_hostile_options_are_taken_or_refused_by_an_error_of_ours(
    scheme: str, name: str, query: list[tuple[str, str]], keywords: dict[str, Any]
) -> None:
    options = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in query)
    host = "" if scheme.startswith("sqlite") else f"u:{SECRET}@h"
    url = read(f"{scheme}://{host}/{encoded(name)}?{options}")
    if url is None:
        return
    try:
        Database(url, **keywords)
        backend(url, **keywords)
    except ConfigurationError as error:
        assert_hidden(str(error))


@pytest.mark.parametrize("scheme", sorted(Database.SUPPORTED_BACKENDS))
@examples(15)
@given(text=urls())
def test_a_hostile_url_makes_a_database_or_an_error_of_ours(scheme: str, text: str) -> None:
    try:
        url = DatabaseURL(text).replace(scheme=scheme)
        Database(text)
        Database(url)
        backend(url)
    except ConfigurationError as error:
        assert_hidden(str(error))
