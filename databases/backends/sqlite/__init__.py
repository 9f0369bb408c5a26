"""SQLite, through the standard library's ``sqlite3``."""

from databases.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
