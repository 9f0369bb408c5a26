"""Views: what the page is sent, as plain data for JSON."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from databases.inspector.families import family_id
from databases.inspector.recorder import Entry
from databases.inspector.stories import Shown, Story, action, result
from databases.inspector.values import described
from databases.steps import Kind
from databases.verbs import Verb, verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from databases.inspector.families import Families, Family
    from databases.inspector.moments import Moment
    from databases.inspector.recorder import Record, Recorder
    from databases.operations import Operation
    from databases.pending import CallSite
    from databases.statistics import Holder, Statistics
    from databases.steps import Request

    JSON = dict[str, Any]

_NOT_AWAITED = (Kind.REQUEST, Kind.RESPONSE, Kind.RELEASE, Kind.DROPPED)
_LIBRARY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
_SHOWN_FAMILIES = 500
_SHOWN_WAITING = 200
_LONGEST_SQL = 10_000
_PIECE = 1_000
"""Steps of a request that are made at a time: more would hold up the application, and the page."""


def status(recorder: Recorder) -> JSON:
    """What the head of the page says."""
    database = recorder.database
    return {
        "state": "connected" if database.is_connected else "not connected",
        "url": database.url.obscure_password,
        "backend": database.url.dialect,
        "pid": os.getpid(),
        "steps": recorder.total,
        "kept": recorder.kept,
        "requests": recorder.count,
        "moments": len(recorder.moments),
        "statements": len(recorder.families),
        "waiting": len(database._engine.statistics().waiting),
        "show_values": recorder.show_values,
    }


def summary(record: Record) -> JSON:
    """A request in the list."""
    request, response = record.request, record.response
    shown: JSON = {
        "n": record.number,
        "method": "" if request is None else request.method,
        "path": "outside requests" if request is None else request.path,
        "status": None,
        "time": record.since,
        "duration": None,
        "queries": record.queries,
        "database": _ms(record.in_database),
        "waited": _ms(record.waited),
        "steps": record.steps,
        "moments": list(dict.fromkeys(moment.kind for moment in record.moments.values())),
        "error": record.error,
    }
    if response is not None:
        shown["duration"] = _ms(response.lasted or 0.0)
        if response.detail is not None:
            shown["status"] = int(response.detail)
    return shown


class Telling:
    """A request told step by step, from where it was left the last time.

    Args:
        recorder: what keeps it.
        record: the request.
        entries: what is kept of it, if that is at hand.
    """

    def __init__(
        self, recorder: Recorder, record: Record, entries: list[Entry | Operation] | None = None
    ) -> None:
        self._entries = entries
        self._recorder = recorder
        self.record = record
        self._began = record.request.time if record.request is not None else recorder.started
        self._story = Story(recorder)
        self._position = 0
        self._cut = 0
        # Steps of queries that were under way when they were told.
        self._early: set[int] = set()
        self._ahead: list[Shown] = []
        self.last: int | None = None
        """The number of the last step that was told."""

    def whole(self) -> JSON:
        """How it began, and its first steps."""
        prologue = self._story.opening(self._began)
        connecting = _connecting(self._recorder, self.record)
        prologue += [_step(shown, self._began, self._story) for shown in connecting]
        steps = self.further()
        return {**self._frame(), "prologue": prologue, "steps": steps}

    def more(self) -> JSON:
        """The steps that have come since."""
        after = self.last
        steps = self.further()
        return {"n": self.record.number, "after": after, "steps": steps, **self._frame()}

    @property
    def has_more(self) -> bool:
        """Whether there are steps that are ready to be told."""
        return bool(self._ahead)

    def further(self) -> list[JSON]:
        """The next steps, a bounded number."""
        if not self._ahead:
            self._ahead = self._fresh()
        shown, self._ahead = self._ahead[:_PIECE], self._ahead[_PIECE:]
        if shown:
            self.last = shown[-1].step.number
        return [_step(each, self._began, self._story) for each in shown]

    def _frame(self) -> JSON:
        record = self.record
        return {
            "summary": summary(record),
            "cut": self._cut,
            "moments": [moment_view(moment) for moment in record.moments.values()],
        }

    def _fresh(self) -> list[Shown]:
        """The steps that are kept and were not told, and those of queries that are under way."""
        recorder, record, steps = self._recorder, self.record, self._recorder.database._engine.steps
        shown: list[Shown] = []
        entries, self._entries = self._entries, None
        if entries is None:
            entries = recorder.entries(record.request, self._position)
        if record.request is None and self._position and len(entries) > _PIECE:
            # Nobody can read what comes at such a rate, and to write it would hold up all of it.
            self._cut += 2 * (len(entries) - _PIECE)
            entries = entries[-_PIECE:]
        for entry in entries:
            if isinstance(entry, Entry):
                shown.append(Shown(*entry))
                continue
            for step in steps.query_steps(entry):
                if step.kind is not Kind.QUERY:
                    shown.append(Shown(step, entry.error_text))
                elif step.number in self._early:
                    self._early.discard(step.number)
                else:
                    shown.append(Shown(step, None, entry.values))
        if self._position == 0:
            self._cut = record.steps - len(shown)
        self._position = recorder.position
        for operation in steps.under_way():
            if operation.bound is None or operation.request is not record.request:
                continue
            for step in steps.query_steps(operation):
                if step.kind is Kind.QUERY and step.number not in self._early:
                    self._early.add(step.number)
                    values = described(operation.bound.arguments, show=self._recorder.show_values)
                    shown.append(Shown(step, None, values))
        # A query is kept from its end on; what happened meanwhile belongs in between.
        return sorted(shown, key=lambda each: each.step.number)


def _connecting(recorder: Recorder, record: Record) -> list[Shown]:
    """How the database came to be connected, as it was when a request began."""
    if record.request is None:
        return []
    time = record.request.time
    return [Shown(*entry) for entry in recorder.prologue if entry.step.time <= time]


def _step(shown: Shown, began: float, story: Story) -> JSON:
    step = shown.step
    operation = step.operation
    story.goes_on(shown)
    is_release = step.kind is Kind.RELEASE
    return {
        "n": step.number,
        "kind": step.kind.value,
        "action": action(step),
        "async": step.kind not in _NOT_AWAITED,
        "time": step.time,
        "at": _ms(step.time - began),
        "queue": _ms(step.queue),
        # In a release it is that of all queries before it.
        "query": 0.0 if is_release else _ms(step.query),
        "decode": _ms(step.decode),
        "duration": 0.0 if is_release else _ms(step.duration),
        "connection": step.connection,
        "task": operation.task,
        "before": step.before,
        "after": step.after,
        "result": result(shown),
        "sql": _cut(operation.sql),
        "family": _family(operation.family),
        "values": [value._asdict() for value in described(shown.values, show=False)],
        "place": place(operation.site),
        "rows": step.rows,
        "error": shown.error,
        "flow": story.flow,
        "tracker": story.tracker(),
    }


@functools.lru_cache(5_000)
def place(site: CallSite | None) -> JSON | None:
    """A place in the user's code."""
    if site is None:
        return None
    if site.filename.startswith(_LIBRARY):
        return None  # database.lifespan, which the web framework calls
    return {
        "file": site.path,
        "line": site.line,
        "function": site.code.co_qualname,
        "source": site.source(),
    }


def moment_view(moment: Moment) -> JSON:
    """A key moment."""
    return {
        "id": moment.number,
        "kind": moment.kind,
        "title": moment.advice.title.replace("{times}", f"{moment.times:,}"),
        "detail": moment.advice.why,
        "place": place(moment.site),
        "request": _request(moment.request),
        "time": moment.time,
        "cost": None if moment.cost is None else _ms(moment.cost),
        "times": moment.times,
        "sql": _cut(moment.sql),
        "family": _family(moment.family),
        "wrong": moment.advice.wrong,
        "right": moment.advice.right,
        "holder": moment.holder,
        "steps": moment.steps,
        "explain": moment.kind in ("slow", "n+1") and is_explainable(moment.sql),
    }


def statements(families: Families) -> list[JSON]:
    """The families of statements."""
    return [_statement(family, families) for family in families.by_time()[:_SHOWN_FAMILIES]]


def _statement(family: Family, families: Families) -> JSON:
    durations = family.durations
    places = sorted(family.places.items(), key=lambda each: -each[1])
    return {
        "family": family.id,
        "sql": family.text,
        "count": family.count,
        "total": _ms(durations.total),
        "p50": _ms(durations.quantile(0.5)),
        "p95": _ms(durations.quantile(0.95)),
        "p99": _ms(durations.quantile(0.99)),
        "max": _ms(durations.longest),
        "rows": family.rows,
        "errors": family.errors,
        "explain": family.text in families.examples and is_explainable(family.text),
        "slowest": _request(family.slowest),
        "places": [{"place": place(site), "count": count} for site, count in places],
    }


def now(statistics: Statistics, operations: Iterable[Operation], time: float) -> JSON:
    """Who has which connection, and who waits for whom."""
    running: dict[Any, int | None] = {}
    waiting_ones: dict[Any, int | None] = {}
    for operation in operations:
        if operation.runs_since is None:
            _once(waiting_ones, (operation.task, operation.site), operation.number)
        else:
            _once(running, (operation.task, operation.connection), operation.number)
    connections = []
    for connection in statistics.connections:
        holder = connection.holder
        shown: JSON = {"name": connection.name, "state": connection.state, "holder": None}
        if holder is not None:
            shown["holder"] = _holder(holder) | {
                "busy": _seconds(holder.running),
                "operation": running.get((holder.task, connection.name)),
            }
        connections.append(shown)
    waiting = [
        _holder(waiter.holder)
        | {
            "for": waiter.waits_for,
            "blocked_by": list(waiter.held_by),
            "operation": waiting_ones.get((waiter.holder.task, waiter.holder.site)),
        }
        for waiter in statistics.waiting[:_SHOWN_WAITING]
    ]
    return {
        "time": time,
        "limit": statistics.limit,
        "connections": connections,
        "waiting": waiting,
    }


def _once(numbers: dict[Any, int | None], key: object, number: int) -> None:
    """Remember whose an operation is; tasks may have the same name, and then it is nobody's."""
    numbers[key] = None if key in numbers else number


def _holder(holder: Holder) -> JSON:
    return {
        "task": holder.task,
        "request": _request(holder.request),
        "place": place(holder.site),
        "seconds": _seconds(holder.seconds),
        "sql": _cut(holder.sql),
    }


def _request(request: Request | None) -> JSON | None:
    if request is None:
        return None
    return {"n": request.number, "method": request.method, "path": request.path}


def _family(family: str | None) -> str | None:
    return None if family is None else family_id(family)


def is_explainable(sql: str | None) -> bool:
    """Whether a database tells how it would run a statement."""
    return sql is not None and verb_of(sql) is not Verb.OTHER


def _cut(sql: str | None) -> str | None:
    """SQL that was generated may have megabytes."""
    return sql if sql is None or len(sql) <= _LONGEST_SQL else sql[:_LONGEST_SQL] + "…"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def written(
    recorder: Recorder, record: Record, entries: list[Entry | Operation] | None = None
) -> Iterator[str]:
    """A request with all its steps, as JSON in pieces that take a few milliseconds each.

    Args:
        recorder: what keeps it.
        record: the request.
        entries: what is kept of it, if that is at hand.
    """
    telling = Telling(recorder, record, entries)
    shown = telling.whole()
    steps = shown.pop("steps")
    yield dumped(shown)[:-1] + ',"steps":['
    yield from map(dumped, steps[:1])
    yield "".join("," + dumped(step) for step in steps[1:])
    while telling.has_more:
        yield "".join("," + dumped(step) for step in telling.further())
    yield "]}"


def everything(recorder: Recorder) -> Iterator[str]:
    """All that is kept, for the file that can be taken away: JSON in pieces."""
    recorder.file()
    yield f'{{"status":{dumped(status(recorder))},"requests":['
    records, entries = recorder.records(), recorder.by_request()
    for number, record in enumerate(records):
        yield "," if number else ""
        yield from written(recorder, record, entries[record.request])
    moments = [moment_view(moment) for moment in recorder.moments.latest()]
    yield f'],"moments":{dumped(moments)},"statements":{dumped(statements(recorder.families))}}}'


def dumped(content: Any) -> str:
    """JSON. All in ASCII, because somebody's text may have half a character."""
    return json.dumps(content, separators=(",", ":"))
