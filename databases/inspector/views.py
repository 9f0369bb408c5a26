"""Views: what the page is sent, as plain data for JSON."""

from __future__ import annotations

import functools
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
    from collections.abc import Iterable

    from databases.inspector.families import Families, Family
    from databases.inspector.moments import Moment
    from databases.inspector.recorder import Record, Recorder
    from databases.operations import Operation
    from databases.pending import CallSite
    from databases.statistics import Holder, Statistics
    from databases.steps import Request

    JSON = dict[str, Any]

_NOT_AWAITED = (Kind.REQUEST, Kind.RESPONSE, Kind.RELEASE, Kind.DROPPED)
_SHOWN_MOMENTS = 50
_SHOWN_FAMILIES = 500


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
        "moments": len(recorder.moments.latest()),
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
        "time": None,
        "duration": None,
        "queries": record.queries,
        "database": _ms(record.in_database),
        "waited": _ms(record.waited),
        "steps": record.steps,
        "moments": list(dict.fromkeys(moment.kind for moment in record.moments.values())),
        "error": record.error,
    }
    if request is not None:
        shown["time"] = request.time
    if response is not None:
        shown["duration"] = _ms(response.lasted or 0.0)
        if response.detail is not None:
            shown["status"] = int(response.detail)
    return shown


def detail(recorder: Recorder, record: Record) -> JSON:
    """A request with all its steps."""
    began = record.request.time if record.request is not None else recorder.started
    story = Story(recorder)
    prologue = story.opening(began)
    prologue += [_step(shown, began, story) for shown in _connecting(recorder, record)]
    return {
        "summary": summary(record),
        "prologue": prologue,
        "steps": [_step(shown, began, story) for shown in _steps(recorder, record)],
        "cut": record.cut,
        "moments": [moment_view(moment) for moment in record.moments.values()],
    }


def _connecting(recorder: Recorder, record: Record) -> list[Shown]:
    """How the database came to be connected, as it was when a request began."""
    if record.request is None:
        return []
    time = record.request.time
    return [Shown(*entry) for entry in recorder.prologue if entry.step.time <= time]


def _steps(recorder: Recorder, record: Record) -> list[Shown]:
    """All steps of a request that are kept, and those of its queries that are under way."""
    steps = recorder.database.steps
    shown: list[Shown] = []
    for entry in record.entries:
        if isinstance(entry, Entry):
            shown.append(Shown(*entry))
            continue
        operation, values, error = entry
        for step in steps.query_steps(operation):
            sent = step.kind is Kind.QUERY
            shown.append(Shown(step, None if sent else error, values if sent else ()))
    for operation in steps.under_way():
        request = operation.request
        if operation.bound is not None and request is record.request:
            values = described(operation.bound.arguments, show=recorder.show_values)
            shown += [Shown(step, None, values) for step in steps.query_steps(operation)]
    # A query is kept from its end on; what happened while it was under way belongs in between.
    return sorted(shown, key=lambda each: each.step.number)


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
        "sql": operation.sql,
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
    near = os.path.relpath(site.filename)
    return {
        "file": site.filename if near.startswith("..") else near,
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
        "sql": moment.sql,
        "family": _family(moment.family),
        "wrong": moment.advice.wrong,
        "right": moment.advice.right,
        "holder": moment.holder,
        "steps": moment.steps,
        "explain": moment.kind in ("slow", "n+1") and _is_explainable(moment.sql),
    }


def statements(families: Families) -> list[JSON]:
    """The families of statements."""
    return [_statement(family) for family in families.by_time()[:_SHOWN_FAMILIES]]


def _statement(family: Family) -> JSON:
    durations = family.durations
    places = sorted(family.places.items(), key=lambda each: -each[1])
    return {
        "family": family.id,
        "sql": family.text,
        "count": durations.count,
        "total": _ms(durations.total),
        "p50": _ms(durations.quantile(0.5)),
        "p95": _ms(durations.quantile(0.95)),
        "p99": _ms(durations.quantile(0.99)),
        "max": _ms(durations.longest),
        "rows": family.rows,
        "errors": family.errors,
        "explain": family.example is not None and _is_explainable(family.text),
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
        for waiter in statistics.waiting
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
        "sql": holder.sql,
    }


def _request(request: Request | None) -> JSON | None:
    if request is None:
        return None
    return {"n": request.number, "method": request.method, "path": request.path}


def _family(family: str | None) -> str | None:
    return None if family is None else family_id(family)


def _is_explainable(sql: str | None) -> bool:
    return sql is not None and verb_of(sql) is not Verb.OTHER


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def everything(recorder: Recorder) -> JSON:
    """All that is kept, for the file that can be taken away."""
    return {
        "status": status(recorder),
        "requests": [detail(recorder, record) for record in recorder.records()],
        "moments": [moment_view(moment) for moment in recorder.moments.latest()],
        "statements": statements(recorder.families),
    }
