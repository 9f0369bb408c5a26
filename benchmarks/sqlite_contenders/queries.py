"""The statements of every contender, and the values they are asked with."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

USERS = 5_000
ROWS = 1_000
ROWS_AT_ONCE = 500
COUNTER = 1

POINT = "SELECT id, name, email FROM users WHERE id = :id"
SOME_ROWS = f"SELECT id, name, email FROM users LIMIT {ROWS}"
ALL_ROWS = "SELECT id, name, email FROM users"
INSERT = "INSERT INTO inserted (name) VALUES (:name)"
READ_COUNTER = "SELECT value FROM counters WHERE id = :id"
WRITE_COUNTER = "UPDATE counters SET value = :value WHERE id = :id"

SCHEMA = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT);
    CREATE TABLE inserted (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER);
"""

NAME = "Ada Lovelace"
NEW_ROWS = [{"name": f"User {number}"} for number in range(ROWS_AT_ONCE)]


def with_question_marks(sql: str) -> str:
    """Return a statement that takes its values by position."""
    return re.sub(r":\w+", "?", sql)


def random_ids() -> Iterator[int]:
    """Yield ids of users for ever, drawn beforehand: drawing one costs as much as a short read."""
    ids = list(range(1, USERS + 1))
    random.Random(0).shuffle(ids)
    return itertools.cycle(ids)
