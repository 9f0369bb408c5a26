"""The classes of drivers' errors, where no server here can be made to raise them."""

from __future__ import annotations

from typing import Any

import asyncmy.errors
import asyncpg
import psycopg
import pymysql.err
import pytest

from databases import Database, exceptions
from tests.library.kinds import (
    AIOMYSQL,
    ASYNCMY,
    ASYNCPG,
    PSYCOPG,
    Kind,
    on,
)

Conflict = exceptions.TransactionConflictError
Failure = exceptions.ConnectionFailureError
Unknown = exceptions.CommitUnknown


def of_pymysql(code: int, text: str) -> BaseException:
    error: BaseException = pymysql.err.OperationalError(code, text)
    return error


def of_asyncmy(code: int, text: str) -> BaseException:
    error: BaseException = asyncmy.errors.OperationalError(code, text)
    return error


@on([ASYNCMY, AIOMYSQL])
@pytest.mark.parametrize(
    ("code", "text", "ours", "at_commit"),
    [
        (1213, "Deadlock found when trying to get lock; try restarting", Conflict, Conflict),
        (1020, "Record has changed since last read in table 'users'", Conflict, Conflict),
        (3101, "Plugin instructed the server to rollback", Conflict, Conflict),
        (1205, "Lock wait timeout exceeded", Conflict, Conflict),
        (1290, "running with the --read-only option", Failure, Failure),
        (1836, "Running in read-only mode", Failure, Failure),
        (1047, "WSREP has not yet prepared node for application use", Failure, Failure),
        (1053, "Server shutdown in progress", Failure, Unknown),
        (1927, "Connection was killed", Failure, Unknown),
        (2013, "Lost connection to MySQL server during query", Failure, Unknown),
        (2003, "Can't connect to MySQL server", Failure, Unknown),
        (1180, "Got error 6 during COMMIT", exceptions.OperationalError, Unknown),
        (1040, "Too many connections", exceptions.OperationalError, exceptions.OperationalError),
    ],
)
async def test_the_codes_of_mysql(
    kind: Kind, database: Database, code: int, text: str, ours: type, at_commit: type
) -> None:
    driver: Any = database._engine._backend._driver  # type: ignore[union-attr]
    make = of_asyncmy if kind.driver == "asyncmy" else of_pymysql
    for lost, expected in ((Failure, ours), (Unknown, at_commit)):
        adopted = driver.adopted(make(code, text), lost)
        assert _ours(adopted) is expected
        assert isinstance(adopted, type(make(code, text)))
        assert adopted.args == (code, text)


async def test_other_options_of_mysql_that_prevent_a_statement_are_no_failure() -> None:
    pytest.importorskip("aiomysql")
    driver: Any = _driver("mysql+aiomysql://localhost/app")
    error = of_pymysql(1290, "running with the --secure-file-priv option")
    assert _ours(driver.adopted(error)) is exceptions.OperationalError


@on([ASYNCPG, PSYCOPG])
@pytest.mark.parametrize(
    ("state", "ours", "at_commit"),
    [
        ("40001", Conflict, Conflict),
        ("40P01", Conflict, Conflict),
        ("57P01", Failure, Unknown),
        ("57P02", Failure, Unknown),
        ("57P03", Failure, Unknown),
        ("08006", Failure, Unknown),
        ("25006", Failure, Failure),
        ("53300", exceptions.OperationalError, exceptions.OperationalError),
        ("57014", exceptions.OperationalError, exceptions.OperationalError),
        ("23505", exceptions.IntegrityError, exceptions.IntegrityError),
    ],
)
async def test_the_states_of_postgresql(
    kind: Kind, state: str, ours: type, at_commit: type
) -> None:
    driver = _driver(f"{kind.scheme}://localhost/app")
    for lost, expected in ((Failure, ours), (Unknown, at_commit)):
        error: BaseException
        if kind.driver == "asyncpg":
            error = asyncpg.PostgresError("so it is")
            vars(error)["sqlstate"] = state
        else:
            error = psycopg.errors.lookup(state)("so it is")
        assert _ours(driver.adopted(error, lost)) is expected


def _driver(url: str) -> Any:
    database = Database(url)
    backend: Any = database._engine._load()(database.url)
    return backend._driver


def _ours(error: BaseException) -> type:
    """The class in our tree."""
    return next(each for each in type(error).__mro__[1:] if each.__module__ == exceptions.__name__)
