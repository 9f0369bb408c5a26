"""Async SQL for Python's web applications: the living, drop-in successor of ``databases``."""

# Code for databases 0.9 finds backends, core, importer and interfaces as attributes of the package.
from databases import backends, core, exceptions, importer, interfaces  # noqa: F401
from databases.connection import Connection
from databases.database import Database
from databases.pending import Pending
from databases.records import Record
from databases.transaction import Transaction
from databases.url import DatabaseURL

__version__ = "1.0.0"
__all__ = [
    "Connection",
    "Database",
    "DatabaseURL",
    "Pending",
    "Record",
    "Transaction",
    "exceptions",
]
