"""Runs users_service, unchanged, on databases 0.9.0: the peer of benchmarks/service.py.

The original has no databases.exceptions; the service asks it for two classes.
"""

import sqlite3
import sys
import types

exceptions = types.ModuleType("databases.exceptions")
exceptions.DatabaseError = sqlite3.Error  # type: ignore[attr-defined]
exceptions.IntegrityError = sqlite3.IntegrityError  # type: ignore[attr-defined]
sys.modules[exceptions.__name__] = exceptions

from users_service.__main__ import main  # noqa: E402

main()
