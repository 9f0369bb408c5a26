"""The names that code written for databases 0.9 imports from here."""

from __future__ import annotations

from typing import Any

from databases.exceptions import BackendUnavailableError
from databases.records import Record
from databases.url import DatabaseURL

__all__ = ["AiopgBackend", "Record"]


class AiopgBackend:
    """Says what to write instead of ``postgresql+aiopg://``: aiopg has not been kept up."""

    def __init__(self, url: DatabaseURL | str, **options: Any) -> None:
        right = DatabaseURL(url).replace(driver="psycopg")
        raise BackendUnavailableError(
            "aiopg is not supported: its successor for the same libpq is psycopg 3.\n"
            f"  wrong:  {DatabaseURL(url).obscure_password}\n"
            f"  right:  {right.obscure_password}\n"
            '  pip install "databases-next[psycopg]"'
        )
