"""Advice: for each kind of key moment why it matters, and the code to write instead."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from databases.pending import CallSite
    from databases.statistics import Holder
    from databases.steps import Step


class Advice(NamedTuple):
    """What to say about a moment."""

    title: str
    """In a few words; ``{times}`` stands for how often it has come up."""
    why: str
    wrong: str | None = None
    """The code as it is written."""
    right: str | None = None
    """The code to write instead."""


_BY_KEY = re.compile(r"(?<![\w.\"`\]])((?:\w+\.)?\w+)\s*=\s*\?")
_NOT_FOR_MANY = re.compile(
    r"\b(?:count|sum|avg|min|max|exists)\s*\(|\b(?:LIMIT|OFFSET|FETCH|OR|UNION|GROUP)\b", re.I
)
"""What makes of one query for many keys another result than that of many queries."""

_PAGE = re.compile(r"\bOFFSET\b|[<>]=?\s*\?.*\bLIMIT\b", re.I | re.S)


def is_a_page(family: str) -> bool:
    """Whether a query reads the next page of many, so that it has to be repeated."""
    return _PAGE.search(family) is not None


_QUERIES_ALONE = """\
data = await call_something_slow()  # first, or afterwards
async with database.transaction():  # or connection()
    await database.execute(...)  # queries alone"""


_HELD_FOR_NOTHING = (
    "While it is held nobody else can use it: others wait, and a pool is exhausted by a few such "
    "requests. Do what is slow before or after, and hold it for the queries alone."
)


def repeated(step: Step) -> Advice:
    """The same read ran again and again in one request: the N+1 problem."""
    cure = _for_many_keys(step.operation.family or "")
    advice = "" if cure else " Read all of them with one: a JOIN, or WHERE ... IN (...)."
    return Advice(
        "The same query ran {times} times",
        "Each run is a round trip of its own, and there are as many as there are rows: it grows "
        f"with the data, so it is slower in production than here (N+1).{advice}",
        _source(step.operation.site),
        cure,
    )


def _for_many_keys(family: str) -> str | None:
    """The code that reads by many keys at once, where the SQL tells what that is."""
    if "?" not in family:
        return f"# once, before the loop\nrows = await database.fetch_all({family!r})"
    found = _BY_KEY.search(family)
    if found is None or family.count("?") > 1 or _NOT_FOR_MANY.search(family):
        return None
    name = found[1].rpartition(".")[2]
    sql = family.replace(found[0], f"{found[1]} IN (:{name}_1, :{name}_2, ...)")
    return "\n".join(
        [
            f"# one query for all of them, instead of one for each {name}",
            "rows = await database.fetch_all(",
            f"    {sql!r},",
            f'    {{"{name}_1": ..., "{name}_2": ...}},',
            ")",
            f"# or with SQLAlchemy Core: select(...).where(table.c.{name}.in_({name}s))",
        ]
    )


def one_by_one(step: Step) -> Advice:
    """The same write ran again and again."""
    alone = (
        ""
        if step.operation.at_rest == "in transaction"
        else " and a commit of its own, which waits for the disk"
    )
    return Advice(
        "The same statement ran {times} times, one by one",
        f"Each one is a round trip{alone}. execute_many sends all rows together, and keeps all of "
        "them or none.",
        _source(step.operation.site),
        "await database.execute_many(query, [{...} for each in ...])  # the same query",
    )


def slow(step: Step) -> Advice:
    """A query took long."""
    parts = [f"{step.query * 1000:.0f} ms in the database"]
    if step.queue >= 0.001:
        parts.append(f"{step.queue * 1000:.0f} ms waiting")
    if step.decode >= 0.001:
        parts.append(f"{step.decode * 1000:.0f} ms making {step.rows or 0:,} records")
    many = (
        f" It brought {step.rows:,} rows: read fewer with LIMIT, or piece by piece with iterate()."
        if step.rows and step.rows >= 1_000
        else " EXPLAIN shows whether an index is missing."
    )
    return Advice(
        f"A query took {_duration(step.query + step.decode)}",
        ", ".join(parts) + "." + many,
        _source(step.operation.site),
    )


def could_be_gathered(sites: Sequence[CallSite], saved: float) -> Advice:
    """Reads ran one after the other that could have been run at once."""
    sources = [_source(site) for site in sites]
    calls = [_call(source) if source else None for source in sources]
    lines = [f"    {call or 'database.fetch_all(...)'}," for call in calls]
    return Advice(
        f"{len(sites)} queries were awaited one by one: at once would save {_duration(saved)}",
        "Each was sent only when the one before had answered. Where none needs the other's result, "
        "let them run at the same time, each on a connection of its own.",
        "\n".join(source for source in sources if source) or None,
        "await asyncio.gather(\n" + "\n".join(lines) + "\n)",
    )


def held(step: Step) -> Advice:
    """A connection was held much longer than used."""
    return Advice(
        f"A connection was held {_duration(step.lasted or 0)}, querying {_duration(step.query)}",
        _HELD_FOR_NOTHING,
        _source(step.operation.site),
        _QUERIES_ALONE,
    )


def idle_connection(last: Step, seconds: float) -> Advice:
    """A connection is held, and nothing runs on it."""
    lease = last.operation.lease
    return Advice(
        f"A connection is held, and nothing has run on it for {_duration(seconds)}",
        _HELD_FOR_NOTHING,
        _source(last.operation.site if lease is None else lease.site),
        _QUERIES_ALONE,
    )


def idle_in_transaction(last: Step, following: Step | None, idle: float) -> Advice:
    """A transaction was open while nothing ran in it."""
    lease = last.operation.lease
    before = "and still is" if following is None else f"before {_place(following.operation.site)}"
    return Advice(
        f"A transaction was left open for {_duration(idle)} while nothing ran in it",
        f"Something slow was awaited after {_place(last.operation.site)}, {before}. The rows "
        "that it has locked stay locked meanwhile (on SQLite, all of the database), and its "
        "connection is taken.",
        _source(last.operation.site if lease is None else lease.site),
        _QUERIES_ALONE,
    )


def waited(step: Step, seconds: float, *, still: bool) -> Advice:
    """Something waited for what others held."""
    names = ", ".join(dict.fromkeys(holder.task for holder in step.holders)) or "others"
    verb = "Waiting" if still else "Waited"
    sources = dict.fromkeys(_source(holder.site) for holder in step.holders)
    return Advice(
        f"{verb} {_duration(seconds)} for {step.detail}",
        f"It is held by {names}. Look at what they do meanwhile: a connection or a transaction "
        "should be held for queries alone.",
        "\n".join(source for source in list(sources)[:3] if source) or None,
        _QUERIES_ALONE,
    )


def dropped(step: Step) -> Advice:
    """What a method returned was never awaited."""
    site = step.operation.site
    return Advice(
        "A query was never awaited, so it did not run",
        f"{step.detail} was called, but nothing awaited what it returned.",
        _source(site),
        None if site is None else site.awaited_source(),
    )


def retried(step: Step) -> Advice:
    """A statement or a transaction had to be tried again."""
    what = "transaction" if step.operation.kind is step.kind else "statement"
    return Advice(
        f"A {what} was tried again",
        f"{(step.detail or 'It failed').capitalize()}.",
        _source(step.operation.site),
    )


def who(holder: Holder) -> str:
    """Somebody who holds what others wait for."""
    request = f" ({holder.request})" if holder.request is not None else ""
    return f"{holder.task}{request}, {_place(holder.site)}"


def _duration(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.0f} s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _place(site: CallSite | None) -> str:
    return "the next step" if site is None else f"{site.filename.rpartition('/')[2]}:{site.line}"


def _source(site: CallSite | None) -> str | None:
    return None if site is None else site.source()


def _call(source: str) -> str | None:
    """The call that a line awaits."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a part of a longer statement
        return None
    awaited = next((node for node in ast.walk(tree) if isinstance(node, ast.Await)), None)
    return None if awaited is None else ast.unparse(awaited.value)
