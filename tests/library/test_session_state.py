"""What one user leaves in a session, the next one does not find there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from databases import Connection, Database, exceptions
from tests.library.kinds import MARIADB_ONLY, POSTGRESQL_ONLY, Kind
from tests.library.places import OnServer
from tests.library.users import USERS

SETTING = "SELECT nullif(current_setting('my.setting', true), '')"
CONFIG = "set_config('my.setting', 'mine', false)"
QUOTED = CONFIG.replace("set_config", '"set_config"')
COMMENTED = CONFIG.replace("(", " /* so */ -- and so\n (")
BEHIND_A_STRING = "'a\\', " + CONFIG + " --'"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
TEMPORARY = "SELECT to_regclass('pg_temp.mine')::text"
POSTGRESQL: dict[str, tuple[str, str]] = {
    "set": ("SET application_name = 'mine'", "SHOW application_name"),
    "set_search_path": ("SET search_path = pg_catalog", "SHOW search_path"),
    "set_time_zone": ("SET TIME ZONE 'Asia/Tokyo'", "SHOW timezone"),
    "set_role": ("SET ROLE pg_monitor", "SELECT current_user::text"),
    "set_session_authorization": (
        "SET SESSION AUTHORIZATION pg_monitor",
        "SELECT session_user::text",
    ),
    "set_session_characteristics": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SHOW default_transaction_read_only",
    ),
    "set_config": (f"SELECT {CONFIG}", SETTING),
    "set_config_from": ("SELECT * FROM set_config('my.setting', 'mine', false)", SETTING),
    "set_config_qualified": (f"SELECT 1, pg_catalog . {CONFIG}", SETTING),
    "set_config_quoted": (f"SELECT {QUOTED}", SETTING),
    "set_config_commented": (f"SELECT {COMMENTED}", SETTING),
    "set_config_in_capitals": (f"select {CONFIG.replace('set_config', 'SET_CONFIG')}", SETTING),
    "set_config_behind_a_string": (f"SELECT {BEHIND_A_STRING}", SETTING),
    "set_config_in_with": (f"WITH a AS MATERIALIZED (SELECT {CONFIG}) SELECT * FROM a", SETTING),
    "set_config_in_insert": (f"INSERT INTO users (name) VALUES ({CONFIG})", SETTING),
    "set_config_in_update": (f"UPDATE users SET name = {CONFIG}", SETTING),
    "set_config_in_returning": (f"UPDATE users SET id = id RETURNING {CONFIG}", SETTING),
    "set_config_in_where": (f"DELETE FROM users WHERE {CONFIG} = 'yours'", SETTING),
    "do": (f"DO $$ BEGIN PERFORM {CONFIG}; END $$", SETTING),
    "function_of_the_users": ("SELECT sly()", SETTING),
    "call": ("CALL slyly()", SETTING),
    "listen": ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()"),
    "temporary_table": ("CREATE TEMPORARY TABLE mine (x INTEGER)", TEMPORARY),
    "temporary_schema": ("CREATE TABLE pg_temp.mine (x INTEGER)", TEMPORARY),
    "temporary_view": ("CREATE TEMP VIEW mine AS SELECT 1", TEMPORARY),
    "select_into_temp": ("SELECT 1 AS x INTO TEMP mine", TEMPORARY),
    "advisory_lock": ("SELECT pg_advisory_lock(7)", LOCKS),
    "shared_advisory_lock": ("SELECT pg_try_advisory_lock_shared(7, 8)", LOCKS),
    "cursor": (
        "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
        "SELECT count(*) FROM pg_cursors WHERE name = 'mine'",
    ),
    "prepared_statement": (
        "PREPARE mine AS SELECT 1",
        "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'",
    ),
}
MARIADB: dict[str, tuple[str, str]] = {
    "variable": ("SET @mine = 5", "SELECT @mine"),
    "assignment": ("SELECT @mine := 5", "SELECT @mine"),
    "into": ("SELECT 5 INTO @mine", "SELECT @mine"),
    "executable_comment": ("SELECT 1 /*! , @mine := 5 */", "SELECT @mine"),
    "mariadbs_own_comment": ("SELECT 1 /*M!100000 , @mine := 5 */", "SELECT @mine"),
    "comment_that_is_none": ("SELECT 1--1, @mine := 5", "SELECT @mine"),
    "update": ("UPDATE users SET name = (@mine := 5)", "SELECT @mine"),
    "set_sql_mode": ("SET sql_mode = 'ANSI'", "SELECT @@sql_mode"),
    "set_time_zone": ("SET SESSION time_zone = '+05:00'", "SELECT @@time_zone"),
    "set_names": ("SET NAMES latin1", "SELECT @@character_set_client"),
    "set_results": ("SET character_set_results = latin1", "SELECT @@character_set_results"),
    "set_autocommit": ("SET autocommit = 0", "SELECT @@autocommit"),
    "set_other": ("SET @@session.group_concat_max_len = 5", "SELECT @@group_concat_max_len"),
    "set_isolation": (
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SELECT @@tx_isolation",
    ),
    "set_read_only": ("SET SESSION TRANSACTION READ ONLY", "SELECT @@tx_read_only"),
    "set_role": ("SET ROLE mine", "SELECT current_role()"),
    "use": ("USE information_schema", "SHOW TABLES LIKE 'others'"),
    "temporary_table": ("CREATE TEMPORARY TABLE mine (x INTEGER)", "SELECT count(*) FROM mine"),
    "temporary_table_in_the_way": (
        "CREATE TEMPORARY TABLE users (x INTEGER)",
        "SELECT id FROM users",
    ),
    "get_lock": ("SELECT get_lock('mine', 0)", "SELECT is_free_lock('mine')"),
    "function_of_the_users": ("SELECT sly()", "SELECT @mine"),
    "call": ("CALL slyly()", "SELECT @mine"),
    "lock_tables": ("LOCK TABLES users READ", "SELECT count(*) FROM others"),
    "prepared_statement": ("PREPARE mine FROM 'SELECT 1'", "EXECUTE mine"),
}


@pytest.fixture
async def database(kind: Kind, url: str, server: OnServer) -> AsyncIterator[Database]:
    """A pool of one connection, and what the statements need."""
    server.rows(USERS.format(kind.key))
    server.rows("INSERT INTO users (name) VALUES ('Ada')")
    async with Database(url, **kind.alone) as database:
        yield database


@pytest.fixture
def postgresql_functions(server: OnServer) -> None:
    body = f"LANGUAGE plpgsql AS $$ BEGIN PERFORM {CONFIG}; END $$"
    server.rows(f"CREATE FUNCTION sly() RETURNS void {body}")
    server.rows(f"CREATE PROCEDURE slyly() {body}")


@pytest.fixture
def mariadb_functions(server: OnServer) -> None:
    server.rows("CREATE FUNCTION sly() RETURNS INTEGER BEGIN SET @mine = 5; RETURN 1; END")
    server.rows("CREATE PROCEDURE slyly() SET @mine = 5")
    server.rows("CREATE TABLE others (x INTEGER)")
    server.rows("CREATE ROLE IF NOT EXISTS mine")


async def answer(queries: Database | Connection, probe: str) -> Any:
    try:
        return await queries.fetch_val(probe)
    except exceptions.DriverError as error:
        return str(error)


async def run_alone(database: Database, statement: str, probe: str) -> None:
    await database.execute(statement)


async def run_in_connection(database: Database, statement: str, probe: str) -> None:
    async with database.connection() as connection:
        before = await answer(connection, probe)
        await connection.execute(statement)
        # Inside it is there: otherwise the test would show nothing.
        assert await answer(connection, probe) != before


async def run_in_transaction(database: Database, statement: str, probe: str) -> None:
    async with database.transaction():
        await database.execute(statement)


WAYS = pytest.mark.parametrize("use", [run_alone, run_in_connection, run_in_transaction])


async def leaves_nothing(database: Database, use: Any, statement: str, probe: str) -> None:
    before = await answer(database, probe)
    await use(database, statement, probe)
    # Another task on the only connection.
    assert await asyncio.create_task(answer(database, probe)) == before
    async with database.connection() as connection:
        assert await answer(connection, probe) == before


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("postgresql_functions")
@pytest.mark.parametrize(("statement", "probe"), POSTGRESQL.values(), ids=POSTGRESQL)
@WAYS
async def test_on_postgresql_a_session_is_as_good_as_new(
    database: Database, use: Any, statement: str, probe: str
) -> None:
    await leaves_nothing(database, use, statement, probe)


@MARIADB_ONLY
@pytest.mark.usefixtures("mariadb_functions")
@pytest.mark.parametrize(("statement", "probe"), MARIADB.values(), ids=MARIADB)
@WAYS
async def test_on_mariadb_a_session_is_as_good_as_new(
    database: Database, use: Any, statement: str, probe: str
) -> None:
    await leaves_nothing(database, use, statement, probe)


@POSTGRESQL_ONLY
async def test_a_notification_is_not_for_the_next_user(database: Database) -> None:
    heard: list[object] = []
    async with database.connection() as connection:
        await connection.execute("LISTEN news")
    async with database.connection() as connection:
        raw = connection.raw_connection
        add = getattr(raw, "add_notify_handler", None)
        if add is None:
            await raw.add_listener("other", lambda *_: heard.append(_))
        else:
            add(heard.append)
        await connection.execute("NOTIFY news")
        await connection.fetch_val("SELECT 1")
        assert heard == []


@POSTGRESQL_ONLY
async def test_settings_of_the_url_are_what_a_session_is_reset_to(kind: Kind, url: str) -> None:
    async with Database(f"{url}?application_name=mine", **kind.alone) as database:
        await database.execute("SET application_name = 'yours'")
        assert await database.fetch_val("SHOW application_name") == "mine"


@MARIADB_ONLY
async def test_settings_of_the_url_are_what_a_mariadb_session_is_reset_to(
    kind: Kind, url: str
) -> None:
    command = "SET @@session.group_concat_max_len = 7"
    async with Database(url, init_command=command, sql_mode="ANSI", **kind.alone) as database:
        for _ in range(2):
            assert await database.fetch_val("SELECT @@group_concat_max_len") == 7
            assert "ANSI_QUOTES" in await database.fetch_val("SELECT @@sql_mode")
            await database.execute("SET @@session.group_concat_max_len = 5")
            await database.execute("SET sql_mode = ''")
        assert await database.fetch_val("SELECT @@collation_connection") == (
            await database.fetch_val("SELECT @@collation_database")
        )
