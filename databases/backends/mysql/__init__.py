"""MySQL and MariaDB; also the name from which code written for databases 0.9 imports Record."""

from databases.backends.mysql.backend import MySQLBackend
from databases.records import Record

__all__ = ["MySQLBackend", "Record"]
