"""The name that code written for databases 0.9 imports from here."""

from databases.records import Record

__all__ = ["Record"]
