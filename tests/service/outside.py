"""Somebody else who uses the database of a service."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pymysql

from databases import DatabaseURL

_AGAINST_WRITERS = {
    "sqlite": ["BEGIN IMMEDIATE"],
    "postgresql": ["BEGIN", "LOCK TABLE users IN SHARE MODE"],
    "mysql": ["LOCK TABLES users READ"],
}
_AGAINST_EVERYBODY = {
    "postgresql": ["BEGIN", "LOCK TABLE users"],
    "mysql": ["LOCK TABLES users WRITE"],
}


def connect(url: str) -> Any:
    """A connection by the plainest driver, which commits by itself."""
    address = DatabaseURL(url)
    if address.dialect == "sqlite":
        return sqlite3.connect(address.database, isolation_level=None)
    if address.dialect == "postgresql":
        return psycopg.connect(url, autocommit=True)
    assert address.hostname
    assert address.port
    return pymysql.connect(
        host=address.hostname,
        port=address.port,
        user=address.username,
        database=address.database,
        autocommit=True,
    )


@contextmanager
def locked(url: str, *, for_readers: bool = False) -> Iterator[None]:
    """The table of users, which nobody else can write to, or not even read."""
    locks = _AGAINST_EVERYBODY if for_readers else _AGAINST_WRITERS
    with closing(connect(url)) as connection:
        cursor = connection.cursor()
        for sql in locks[DatabaseURL(url).dialect]:
            cursor.execute(sql)
        yield
