"""What is particular about the SQL of MySQL and MariaDB."""

from __future__ import annotations

from databases.backends.link import Role
from databases.backends.session import what_is_left, what_only_reads
from databases.backends.transactions import TransactionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

OPAQUE = (
    # Source: MySQL's manual, 11.1.1 "String Literals", 11.2 and 11.7 "Comments".
    r"""'[^'\\]*+(?:(?:\\(?:.|\Z)|'')[^'\\]*+)*+(?:'|\Z)"""
    r"""|"[^"\\]*+(?:(?:\\(?:.|\Z)|"")[^"\\]*+)*+(?:"|\Z)|`[^`]*(?:`|\Z)"""
    # A comment that begins with /*! or /*M! is run.
    r"""|--(?=[\x00-\x20\x7f]|\Z)[^\n]*|\#[^\n]*|/\*(?!M?!).*?(?:\*/|\Z)"""
)
"""Strings, quoted identifiers and comments."""

WITHOUT_BINDS = rf"{OPAQUE}|/\*.*?(?:\*/|\Z)"
"""What no bind is looked for in. Comments too that the server may run: where it is older than one
of them asks for, a value within would end the comment by a ``*/`` of its own."""

_FUNCTIONS = """
    adddate addtime ascii bin binary bit_and bit_count bit_or bit_xor conv convert convert_tz
    crc32 curdate curtime database date_add date_format date_sub datediff datetime dayname
    dayofmonth dayofweek dayofyear elt enum field find_in_set format from_base64 from_days
    from_unixtime get_format group_concat hex inet6_aton inet6_ntoa inet_aton inet_ntoa insert
    instr isnull json_array json_array_append json_array_insert json_arrayagg json_contains
    json_contains_path json_depth json_extract json_insert json_keys json_length json_merge_patch
    json_merge_preserve json_object json_objectagg json_overlaps json_quote json_remove
    json_replace json_search json_set json_table json_type json_unquote json_valid json_value
    last_day lcase locate makedate maketime microsecond mid monthname oct ord period_add
    period_diff quote rand regexp_instr regexp_like regexp_replace regexp_substr sec_to_time
    signed sleep soundex space st_asgeojson st_astext st_distance st_geomfromtext std str_to_date
    subdate subtime sysdate time_format time_to_sec timediff timestampadd timestampdiff to_base64
    to_days to_seconds ucase unhex unix_timestamp unsigned utc_date utc_time utc_timestamp
    uuid_short version week weekday weekofyear weight_string yearweek
"""

_BEYOND = r"(?:USE|SET\s+(?:DEFAULT\s+)?ROLE)\b"
"""What COM_RESET_CONNECTION does not undo."""

leaves = what_is_left(OPAQUE, _FUNCTIONS, r"@|\bSQL_CALC_FOUND_ROWS\b", "`", _BEYOND)
"""What a statement may leave in its session."""

only_reads = what_only_reads(OPAQUE, leaves)
"""Whether a statement provably does nothing but read."""

_LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


def begin(options: Mapping[str, Any]) -> list[str]:
    """The statements that begin a transaction."""
    known = ("isolation", "readonly")
    read = TransactionOptions.read(options, name="MySQL", known=known, levels=_LEVELS)
    statements = ["START TRANSACTION READ ONLY" if read.readonly else "START TRANSACTION"]
    if read.isolation:
        # Without SESSION it is for the next transaction alone.
        statements.insert(0, f"SET TRANSACTION ISOLATION LEVEL {read.isolation}")
    return statements


ROLE = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on'); "
    "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"
)
"""What tells the role of a server: one round trip, and no error where there is no Galera."""


def role(told: Mapping[str, str]) -> Role:
    """What a server is by what it answers to that."""
    if told.get("wsrep_on") == "ON" and told.get("wsrep_ready") != "ON":
        return Role.UNREADY
    # MariaDB 12 has several degrees of it.
    return Role.PRIMARY if told.get("read_only", "OFF") == "OFF" else Role.STANDBY
