"""SQL in a few words: the operations and their tables."""

from __future__ import annotations

import pytest

from databases.sql_summary import summary_of


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT * FROM users", "SELECT users"),
        ("SELECT * FROM songs, artists WHERE a = b", "SELECT songs artists"),
        ("SELECT d FROM (SELECT * FROM a o JOIN b c ON o.x = c.x)", "SELECT SELECT a b"),
        ("INSERT INTO s (a, b) SELECT a, b FROM orders", "INSERT s SELECT orders"),
        ("INSERT INTO a (x) VALUES (?), (?) ON CONFLICT (x) DO UPDATE SET y = ?", "INSERT a"),
        ("UPDATE users SET a = ?, b = ? WHERE c IN (SELECT c FROM t)", "UPDATE users SELECT t"),
        ("SELECT extract(year FROM day), replace(a, ?, ?) FROM t FOR UPDATE", "SELECT t"),
        ("SELECT 1 WHERE a IS DISTINCT FROM b", "SELECT"),
        ('SELECT * FROM "song list", `b` JOIN app.users', 'SELECT "song list" `b` app.users'),
        ("WITH r AS (SELECT * FROM orders) DELETE FROM users", "SELECT orders DELETE users"),
        ("CREATE TABLE IF NOT EXISTS users (id INT, x INT REFERENCES y ON DELETE CASCADE)",
         "CREATE TABLE users"),
        ("drop table users", "drop table users"),
        ("PRAGMA journal_mode", "PRAGMA"),
        ("DELETE FROM a; DELETE FROM b", "DELETE a DELETE b"),
        ("SELECT * FROM " + ", ".join(f"table_{n:03}" for n in range(40)),
         "SELECT " + " ".join(f"table_{n:03}" for n in range(24))),
        ("", ""),
    ],
)  # fmt: skip
def test_the_summary_has_the_operations_and_their_tables(sql: str, summary: str) -> None:
    assert summary_of(sql) == summary
