"""JSON as SQL text sees it: as text, whichever driver reads it. Core expressions know the type."""

from __future__ import annotations

import json
from typing import Any


def decoded(value: Any) -> Any:
    """Decode what has not been decoded by a codec of the user's own."""
    return json.loads(value) if isinstance(value, str | bytes) else value


def decode_in_core(dialect: Any) -> None:
    """Let SQLAlchemy encode and decode JSON, which its own engine leaves to the driver."""
    from sqlalchemy import JSON
    from sqlalchemy.dialects import postgresql

    # Said as 2.1 wants it, and as 2.0 does.
    dialect.supports_native_json_serialization = False
    dialect.supports_native_json_deserialization = False
    dialect.colspecs = {
        **dialect.colspecs,
        JSON: postgresql.JSON,
        postgresql.JSON: postgresql.JSON,
        postgresql.JSONB: postgresql.JSONB,
    }
