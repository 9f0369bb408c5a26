"""The names that code written for databases 0.9 imports from here."""

from databases.backends.mysql.backend import MySQLBackend as AsyncMyBackend
from databases.records import Record

__all__ = ["AsyncMyBackend", "Record"]
