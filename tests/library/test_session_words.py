"""The proof by words that a statement leaves nothing in its session: never wrong, often made."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from databases.backends.mysql import sql as mysql
from databases.backends.postgres import sql as postgres
from databases.backends.session import Leaves

SAME_FOR_BOTH = [
    "SELECT 1",
    "select * from users where id = 5",
    "  \n\t(SELECT id FROM users) UNION (SELECT id FROM others)",
    "-- why\nSELECT 1",
    "/* why; SET x = 1 */ SELECT 1",
    "SELECT 1;",
    "SELECT 1 ; ;\n",
    "SELECT ';' , 'set_config('",
    "SELECT id AS set_config, name AS get_lock FROM users",
    "SELECT count(*), max(id), COALESCE(min(id), 0), abs ( id ) FROM users",
    "SELECT id, row_number() OVER (PARTITION BY name ORDER BY id) FROM users",
    "SELECT * FROM users WHERE id IN (1, 2) AND NOT (name = 'a' OR name LIKE 'b')",
    "SELECT * FROM users WHERE EXISTS (SELECT 1 FROM others) FOR UPDATE",
    "SELECT CAST(id AS DECIMAL(10, 2)) FROM users",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT 2 AS x) SELECT * FROM a JOIN b USING (x)",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) TABLE n",
    "INSERT INTO users (id, name) VALUES (1, 'a'), (2, upper('b'))",
    "INSERT INTO app.users(id) SELECT id FROM others",
    "INSERT INTO users VALUES (1)",
    "UPDATE users SET name = lower(name) WHERE (id = 5)",
    "DELETE FROM users WHERE id = 5",
    "VALUES (1), (2)",
    "TABLE users",
]
"""Harmless on every database."""

POSTGRES_HARMLESS = [
    'INSERT INTO "my table" ("id", "name") VALUES (1, \'a\') RETURNING "id"',
    'INSERT INTO "app"."users" (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = $2',
    "SELECT $1::int[], ARRAY(SELECT id FROM users), id = ANY($2) FROM users",
    "SELECT $$set_config('a', 'b', false)$$, $a$ ; $$ ; $a$",
    "SELECT E'it\\'s', 'it''s', U&'d\\0061t'",
    "SELECT date_trunc('day', now()), to_char(now(), 'HH24'), extract(year FROM now())",
    "SELECT pg_sleep(0.1), gen_random_uuid(), nextval('users_id_seq')",
    "SELECT * FROM generate_series(1, 5) AS i, LATERAL (SELECT i) AS j",
    "SELECT jsonb_build_object('a', 1) -> 'a', string_agg(name, ',') FILTER (WHERE id > 1) FROM t",
    "MERGE INTO users AS u USING (SELECT 1 AS id) AS n ON (u.id = n.id) WHEN MATCHED THEN DELETE",
    "SELECT temperature, temp_id FROM weather",
]

MYSQL_HARMLESS = [
    "INSERT INTO `users` (`id`) VALUES (1) ON DUPLICATE KEY UPDATE id = VALUES(id)",
    "INSERT IGNORE INTO users (id) VALUES (1)",
    "REPLACE INTO users (id) VALUES (1)",
    "SELECT 'c@d' FROM users",
    "SELECT date_format(now(), '%Y'), ifnull(id, 0), group_concat(name) FROM users # @",
    "SELECT sleep(0.1), uuid(), rand(), json_extract(data, '$.a') FROM users",
    "SELECT 'it\\'s', \"it\\\"s\", 'it''s'",
    "SELECT 1 -- , @a",
    "SELECT 1 --\n+ 2",
    "SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1",
]

BOTH_SUSPECT = [
    "",
    "   ",
    "-- SELECT 1",
    "SET search_path = a",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "PREPARE a AS SELECT 1",
    "EXECUTE a",
    "CALL a()",
    "CREATE TABLE a (id INTEGER)",
    "CREATE VIEW a AS SELECT 1",
    "DROP TABLE a",
    "SHOW x",
    "EXPLAIN SELECT 1",
    "LOCK TABLE users",
    "SELECT mine()",
    "SELECT mine ()",
    "SELECT mine\n(1)",
    "SELECT mine/* why */(1)",
    "SELECT mine -- why\n(1)",
    "SELECT app.abs(1)",
    "SELECT app . abs(1)",
    "SELECT app./* why */abs(1)",
    "SELECT my$abs(1)",
    "SELECT abs$(1)",
    "SELECT élan(1)",
    "SELECT éabs(1)",
    "SELECT 🚀(1)",
    "SELECT abs(mine(1))",
    "SELECT * FROM users WHERE mine(id)",
    "SELECT * FROM mine(1)",
    "WITH a AS (SELECT mine(1)) SELECT * FROM a",
    "INSERT INTO users (id) VALUES (mine(1))",
    "INSERT INTO users (id) SELECT mine(1)",
    "INSERT INTO users SELECT id FROM others WHERE mine(id) = 1",
    "UPDATE users SET id = mine(1)",
    "DELETE FROM users WHERE id = mine(1)",
    "VALUES (mine(1))",
    "SELECT 1; SET a = 1",
    "SELECT 1;\nSET a = 1;",
    "SELECT 1;;SET a = 1",
    "SELECT 'a'; SET a = 'b'",
    "; SET a = 1",
]
"""What leaves something, or may, on every database."""

POSTGRES_SUSPECT = [
    "SELECT * FROM mine(1) AS (values int)",
    "SELECT * FROM mine(1) AS (update int, delete int)",
    "SELECT set_config('a.b', 'c', false)",
    "SELECT SET_CONFIG('a.b', 'c', false)",
    "SELECT \"set_config\"('a.b', 'c', false)",
    "SELECT \"set_config\" ('a.b', 'c', false)",
    "SELECT pg_catalog.set_config('a.b', 'c', false)",
    "SELECT \"pg_catalog\" . \"set_config\" ('a.b', 'c', false)",
    "SELECT U&\"set\\005fconfig\"('a.b', 'c', false)",
    "SELECT U&\"set!005fconfig\" UESCAPE '!' ('a.b', 'c', false)",
    "SELECT 'a\\', set_config('a.b', 'c', false) --'",
    "SELECT e'\\'', set_config('a.b', 'c', false) --'",
    "SELECT 1 /* /* */ ' */ , set_config('a.b', 'c', false) --'",
    "SELECT E'a'\n'\\'', set_config('a.b', 'c', false), '",
    "SELECT E'a' -- b\n'\\'', set_config('a.b', 'c', false), '",
    "SELECT 1 AS a$b$, set_config('a.b', 'c', false) AS c$b$",
    "SELECT 1 AS a$$, set_config('a.b', 'c', false) AS c$$",
    "SELECT 1 AS 🚀$$, set_config('a.b', 'c', false) AS c$$",
    "SELECT $a$ $a$, set_config('a.b', 'c', false), $b$ $b$",
    "WITH set AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM set",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT setseed(0.5)",
    "SELECT dblink_connect('a')",
    "SELECT lo_open(1, 2)",
    "LISTEN a",
    "NOTIFY a",
    "DECLARE a CURSOR WITH HOLD FOR SELECT 1",
    "DO $$ BEGIN END $$",
    "COPY users FROM STDIN",
    "SELECT 1 AS a INTO TEMP mine",
    "SELECT 1 AS a INTO TEMPORARY mine",
    "SELECT 1 AS a INTO LOCAL TEMP mine",
    "SELECT 1 AS a INTO temp TABLE mine",
    "SELECT 1 AS a INTO /* why */ TEMP mine",
    "SELECT 1 AS a INTO pg_temp.mine",
    'SELECT 1 AS a INTO "pg_temp".mine',
    'SELECT 1 AS a INTO U&"pg\\005ftemp".mine',
    "CREATE TABLE pg_temp.mine (a int)",
    "CREATE TEMP VIEW mine AS SELECT 1",
    "CREATE TEMP SEQUENCE mine",
    "UPDATE pg_settings SET setting = 'a' WHERE name = 'application_name'",
    "UPDATE pg_catalog.pg_settings SET setting = 'a'",
    "UPDATE \"pg_settings\" SET setting = 'a'",
    "UPDATE PG_SETTINGS SET setting = 'a'",
    "WITH a AS (SELECT 1) UPDATE pg_settings SET setting = 'a'",
]

MYSQL_SUSPECT = [
    "SELECT @a := 1",
    "SELECT 1 INTO @a",
    "SELECT @@sql_mode",
    "UPDATE users SET id = (@a := 1)",
    "SELECT get_lock('a', 1)",
    "SELECT GET_LOCK ('a', 1)",
    "SELECT `get_lock`('a', 1)",
    "SELECT last_insert_id(5)",
    "SELECT SQL_CALC_FOUND_ROWS * FROM users",
    "SELECT /*!50000 SQL_CALC_FOUND_ROWS */ * FROM users",
    "SELECT 1 /*! , get_lock('a', 1) */",
    "SELECT 1 /*!50000 , get_lock('a', 1) */",
    "SELECT 1 /*M! , get_lock('a', 1) */",
    "SELECT 1 /*M!100000 , get_lock('a', 1) */",
    "SELECT 1 --\n, get_lock('a', 1)",
    "SELECT 1 -- a\n, get_lock('a', 1)",
    "SELECT 1--1, get_lock('a', 1)",
    "SELECT 1--get_lock('a', 1)",
    "SELECT 1 # a\n, get_lock('a', 1)",
    "SELECT 'a\\'', get_lock('a', 1), '",
    'SELECT "a\\"", get_lock(\'a\', 1), "',
    'SELECT "a""", get_lock(\'a\', 1), "',
    "SELECT `a``(`, get_lock('a', 1)",
    "USE other",
    "LOCK TABLES users READ",
    "HANDLER users OPEN",
    "START TRANSACTION",
    "XA START 'a'",
    "INSERT DELAYED INTO users VALUES (1); SET a = 1",
]

POSTGRES_TEMPORARY = [
    "CREATE TEMP TABLE a (id int)",
    "create temporary table if not exists a (id int primary key, name varchar(20) unique)",
    "CREATE LOCAL TEMP TABLE a AS SELECT 1 AS x",
    "CREATE TEMP TABLE a AS SELECT * FROM users WHERE id IN (1, 2)",
    'CREATE TEMP TABLE "a b" ("id" int, CHECK (id > 0)) ON COMMIT DROP',
    "-- why\nCREATE TEMP TABLE a (id int);",
]

NOT_ONLY_TEMPORARY = [
    "CREATE TEMP TABLE a AS SELECT mine()",
    "CREATE TEMP TABLE a AS SELECT set_config('a.b', 'c', false)",
    "CREATE TEMP TABLE a (id int DEFAULT mine())",
    "CREATE TEMP TABLE a (id int); SET a = 1",
]


@pytest.mark.parametrize("text", [*SAME_FOR_BOTH, *POSTGRES_HARMLESS])
def test_postgresql_these_leave_nothing(text: str) -> None:
    assert postgres.leaves(text) is Leaves.NOTHING


@pytest.mark.parametrize("text", [*SAME_FOR_BOTH, *MYSQL_HARMLESS])
def test_mysql_these_leave_nothing(text: str) -> None:
    assert mysql.leaves(text) is Leaves.NOTHING


@pytest.mark.parametrize("text", [*BOTH_SUSPECT, *POSTGRES_SUSPECT])
def test_postgresql_these_may_leave_something(text: str) -> None:
    assert postgres.leaves(text) not in (Leaves.NOTHING, Leaves.TEMPORARY_TABLE)


@pytest.mark.parametrize("text", [*BOTH_SUSPECT, *MYSQL_SUSPECT])
def test_mysql_these_may_leave_something(text: str) -> None:
    assert mysql.leaves(text) not in (Leaves.NOTHING, Leaves.TEMPORARY_TABLE)


@pytest.mark.parametrize("text", POSTGRES_TEMPORARY)
def test_these_leave_a_temporary_table_and_no_more(text: str) -> None:
    assert postgres.leaves(text) is Leaves.TEMPORARY_TABLE


@pytest.mark.parametrize("text", NOT_ONLY_TEMPORARY)
def test_these_may_leave_more_than_a_temporary_table(text: str) -> None:
    assert postgres.leaves(text) is Leaves.ANYTHING
    assert mysql.leaves(text.replace("TEMP ", "TEMPORARY ")) is Leaves.ANYTHING


def test_mysql_a_temporary_table_and_no_more() -> None:
    text = "CREATE TEMPORARY TABLE `a` (`id` INTEGER PRIMARY KEY)"
    assert mysql.leaves(text) is Leaves.TEMPORARY_TABLE


def test_what_core_writes_leaves_nothing() -> None:
    """Otherwise each such query would cost a round trip more."""
    users = sa.table("users", sa.column("id"), sa.column("name"), sa.column("Odd One"))
    other = sa.table("users", sa.column("id"), schema="app")
    queries = [
        sa.select(users).where(users.c.id.in_([1, 2])).order_by(users.c["Odd One"]).limit(5),
        sa.select(sa.func.count()).select_from(users.join(other, users.c.id == other.c.id)),
        sa.select(sa.func.coalesce(sa.func.max(users.c.id), 0), sa.func.lower(users.c.name)),
        sa.select(sa.func.row_number().over(partition_by=users.c.name)),
        sa.select(sa.case((users.c.id > 1, 2), else_=3), sa.cast(users.c.id, sa.String(5))),
        sa.select(users.c.id).where(sa.exists().where(other.c.id == users.c.id)),
        sa.insert(users).values({"id": 1, "Odd One": 2}),
        sa.insert(other).from_select(["id"], sa.select(users.c.id)),
        sa.update(users).values({"Odd One": sa.func.abs(users.c.id)}),
        sa.delete(users).where(users.c.id == 1),
    ]
    for dialect, leaves in ((PGDialect_asyncpg, postgres.leaves), (MySQLDialect, mysql.leaves)):
        for query in queries:
            text = str(query.compile(dialect=dialect()))
            assert leaves(text) is Leaves.NOTHING, text


# What only reads.

ONLY_READ = [
    "SELECT 1",
    "VALUES (1), (2)",
    "SELECT 'UPDATE', lower(name) FROM users /* FOR UPDATE */",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
    "SELECT replace(name, 'a', 'b') FROM users",
    "SELECT id FROM users WHERE updated > now() AND deleted IS NULL",
    "SELECT * FROM inserts JOIN selections USING (id)",
]

MAY_WRITE = [
    "",
    "INSERT INTO users VALUES (1)",
    "UPDATE users SET id = 1",
    "DELETE FROM users",
    "SELECT 1; DELETE FROM users",
    "SELECT * FROM users FOR UPDATE",
    "SELECT * FROM users FOR UPDATE SKIP LOCKED",
    "SELECT * FROM users FOR SHARE",
    "SELECT * FROM users for/**/update",
    "SELECT * INTO copy FROM users",
    "SELECT a_function()",
    "WITH a AS (INSERT INTO users VALUES (1)) SELECT 1",
    "CREATE TABLE a (id INTEGER)",
    "SET a = 1",
    "CALL a()",
    "EXPLAIN SELECT 1",
    "LOCK TABLE users",
]

POSTGRES_MAY_WRITE = [
    "SELECT * FROM users FOR NO KEY UPDATE",
    "SELECT * FROM users FOR KEY SHARE",
    "SELECT nextval('a')",
    "SELECT NEXTVAL ('a')",
    "SELECT pg_catalog.nextval('a')",
    "SELECT setval('a', 1)",
    "SELECT txid_current()",
    "SELECT pg_advisory_lock(1)",
    "SELECT \"nextval\"('a')",
    "SELECT $a$ it's $a$ FROM users FOR UPDATE",
    "SELECT E'it\\'s' FROM users FOR UPDATE",
    "WITH a AS (DELETE FROM users RETURNING *) SELECT * FROM a",
    "WITH a AS (MERGE INTO users USING b ON true WHEN MATCHED THEN DELETE) SELECT 1",
]

MYSQL_MAY_WRITE = [
    "SELECT * FROM users LOCK IN SHARE MODE",
    "SELECT 'it\\'s' FROM users FOR UPDATE",
    "SELECT 1 INTO OUTFILE 'a'",
    "SELECT 1 INTO @a",
    "SELECT @a := 1",
    "SELECT NEXT VALUE FOR a",
    "SELECT a.nextval",
    "SELECT get_lock('a', 1)",
    "SELECT /*! SQL_NO_CACHE */ * FROM users",
]


@pytest.mark.parametrize("words", [postgres, mysql])
@pytest.mark.parametrize("sql", ONLY_READ)
def test_a_statement_is_proven_to_read(sql: str, words: Any) -> None:
    assert words.only_reads(sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        *[(sql, words) for sql in MAY_WRITE for words in (postgres, mysql)],
        *[(sql, postgres) for sql in POSTGRES_MAY_WRITE],
        *[(sql, mysql) for sql in MYSQL_MAY_WRITE],
    ],
)
def test_what_may_write_is_not_proven_to_read(sql: str, words: Any) -> None:
    assert not words.only_reads(sql)
