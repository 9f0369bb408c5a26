"""The statements of every contender, their values, and the tables that they are for."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

USERS = 5_000
ROWS = 1_000
ROWS_AT_ONCE = 500
COUNTERS = 50

POINT = "SELECT id, name, email FROM users WHERE id = :id"
SOME_ROWS = f"SELECT id, name, email FROM users LIMIT {ROWS}"
ALL_ROWS = "SELECT id, name, email FROM users"
INSERT = "INSERT INTO inserted (name) VALUES (:name)"
READ_COUNTER = "SELECT value FROM counters WHERE id = :id"
READ_COUNTER_FOR_UPDATE = f"{READ_COUNTER} FOR UPDATE"
WRITE_COUNTER = "UPDATE counters SET value = :value WHERE id = :id"

CLEAR_COUNTERS = "UPDATE counters SET value = 0"
SUM_OF_COUNTERS = "SELECT SUM(value) FROM counters"

NAME = "Ada Lovelace"
NEW_ROWS = [{"name": f"User {number}"} for number in range(ROWS_AT_ONCE)]


def preparation(new_id: str, counters: int) -> Iterator[str]:
    """Yield the statements that make the tables, with users and counters in them.

    Args:
        new_id: how a key is declared that the database counts up.
        counters: how many counters there are for transactions to count up.
    """
    yield "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT)"
    yield f"CREATE TABLE inserted (id {new_id}, name TEXT)"
    yield "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER)"
    zeros = ", ".join(f"({number}, 0)" for number in range(1, counters + 1))
    yield f"INSERT INTO counters VALUES {zeros}"
    # Piece by piece, because a command line takes no more.
    for first in range(1, USERS + 1, 1_000):
        users = ", ".join(
            f"({number}, 'User {number}', 'user{number}@example.org')"
            for number in range(first, first + 1_000)
        )
        yield f"INSERT INTO users VALUES {users}"


def positional(sql: str, mark: str) -> str:
    """Return a statement that takes its values by position; {} in the mark is their number."""
    numbers = itertools.count(1)
    return re.sub(r":\w+", lambda _: mark.format(next(numbers)), sql)


def random_ids() -> Iterator[int]:
    """Yield ids of users for ever, drawn beforehand: drawing one costs as much as a short read."""
    ids = list(range(1, USERS + 1))
    random.Random(0).shuffle(ids)
    return itertools.cycle(ids)


def free_counters() -> list[int]:
    """Return the counters, from which a transaction takes one for itself until it is done."""
    return list(range(1, COUNTERS + 1))


def shared_counters() -> list[int]:
    """Return the same counter many times, so that all transactions share it."""
    return [1] * COUNTERS
