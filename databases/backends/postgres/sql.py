"""What is particular about PostgreSQL's SQL."""

from __future__ import annotations

import re

from databases.backends.link import Role
from databases.backends.session import what_is_left, what_only_reads
from databases.backends.transactions import TransactionOptions
from databases.verbs import Verb, leading_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from databases.statements import Statement

_ESCAPES = r"""'[^'\\]*+(?:(?:\\(?:.|\Z)|'')[^'\\]*+)*+(?:'|\Z)"""
_BREAK = r"(?:[ \t\f\v]*+(?:--[^\n\r]*+)?+[\n\r])++[ \t\f\v]*+"

OPAQUE = (
    # Source: PostgreSQL's documentation, 4.1 "Lexical Structure". E'' has backslashes, also where
    # it goes on behind a line break. Comments nest; here they end at the first end.
    rf"""\b[eE]{_ESCAPES}(?:{_BREAK}{_ESCAPES})*"""
    r"""|'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)"""
    r"""|(?<![\w$\x80-\U0010ffff])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"""
    r"""|--[^\n\r]*|/\*.*?(?:\*/|\Z)"""
)
"""What no bind is looked for in: strings, quoted identifiers and comments."""

_FUNCTIONS = """
    age any_value array_agg array_append array_cat array_length array_position array_prepend
    array_remove array_replace array_to_json array_to_string arraycontains arrayoverlap bigint bit
    bit_and bit_or bool_and bool_or bpchar btrim bytea cardinality cbrt chr clock_timestamp
    convert_from convert_to corr covar_pop covar_samp current_database current_schema
    current_schemas current_setting date_bin date_part date_trunc decode degrees div encode every
    factorial float4 float8 format format_type gcd gen_random_uuid generate_series
    generate_subscripts inet_server_addr inet_server_port initcap int2 int4 int8 isempty isfinite
    json json_agg json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
    json_object_agg json_object_keys json_populate_record json_populate_recordset json_to_record
    json_to_recordset json_typeof jsonb jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lcm lower_inc
    lower_inf make_date make_interval make_time make_timestamp make_timestamptz mode money
    multirange nextval numnode oid percentile_cont percentile_disc pg_backend_pid pg_column_size
    pg_get_serial_sequence pg_is_in_recovery pg_relation_size pg_sleep pg_table_size
    pg_total_relation_size pg_typeof phraseto_tsquery plainto_tsquery querytree quote_ident
    quote_literal quote_nullable random range_merge real regclass regexp_count regexp_instr
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr regr_slope row_to_json scale setweight sha224 sha256 sha384
    sha512 similarity smallint split_part starts_with statement_timestamp strict_word_similarity
    string_agg string_to_array string_to_table strip text timeofday timestamptz timetz to_ascii
    to_char to_date to_hex to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
    transaction_timestamp translate ts_headline ts_rank ts_rank_cd tsquery tsvector txid_current
    unistr unnest upper_inc upper_inf uuid_generate_v4 uuidv4 uuidv7 version websearch_to_tsquery
    width_bucket word_similarity xmlagg xmlelement
"""

_SUSPICIOUS = r'\b(?:INTO\s+(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?|pg_temp\w*|pg_settings)\b|\bU&"'
"""Temporary tables made by SELECT ... INTO, and the view by which UPDATE does what SET does."""

# A PREPAREd statement of the user's own can only be dropped along with the driver's.
leaves = what_is_left(OPAQUE, _FUNCTIONS, _SUSPICIOUS, '"', beyond=r"(?:PREPARE|LOAD)\b")
"""What a statement may leave in its session."""

only_reads = what_only_reads(OPAQUE, leaves)
"""Whether a statement provably does nothing but read."""

RESET = (
    "RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
)
"""DISCARD ALL without what drops prepared statements: the drivers go on to use theirs. Source:
PostgreSQL's documentation, "DISCARD"."""

ROLE = (
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END, "
    "pg_catalog.current_setting('default_transaction_read_only')"
)
"""What servers before version 14 do not tell everybody who connects."""

_CHANGES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.I)

_LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


def begin(options: Mapping[str, Any]) -> list[str]:
    """The statements that begin a transaction."""
    if not options:
        return ["BEGIN"]
    known = ("isolation", "readonly", "deferrable")
    read = TransactionOptions.read(options, name="PostgreSQL", known=known, levels=_LEVELS)
    words = ["BEGIN"]
    if read.isolation:
        words.append(f"ISOLATION LEVEL {read.isolation}")
    if read.readonly:
        words.append("READ ONLY")
    if read.deferrable:
        words.append("DEFERRABLE")
    return [" ".join(words)]


def is_declarable(statement: Statement) -> bool:
    """Whether DECLARE takes it for a cursor. Source: PostgreSQL's documentation, "DECLARE"."""
    if statement.verb is not Verb.READ:
        return False
    first = leading_words(statement.sql, 1)[0].upper()
    return first != "EXPLAIN" and not (first == "WITH" and _CHANGES.search(statement.sql))


def role(in_hot_standby: str, default_transaction_read_only: str) -> Role:
    """What a server is by its settings. Source: PostgreSQL's documentation, 54.2.7."""
    if in_hot_standby == "on":
        return Role.STANDBY
    return Role.READ_ONLY if default_transaction_read_only == "on" else Role.PRIMARY
