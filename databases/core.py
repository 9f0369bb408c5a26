"""The names that code written for databases 0.9 imports from here."""

from databases.connection import Connection
from databases.database import Database
from databases.transaction import Transaction
from databases.url import DatabaseURL

__all__ = ["Connection", "Database", "DatabaseURL", "Transaction"]
