"""OpenTelemetry: a span and the metrics of each database operation, by the stable conventions.

It needs ``opentelemetry-api`` (``pip install databases-next[opentelemetry]``) and sends nothing by
itself: that is what the application's SDK and its exporters are for.

Source: OpenTelemetry's semantic conventions 1.44, "Database client spans" and "... metrics".
"""

from __future__ import annotations

import weakref

try:
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as missing:
    raise ImportError(
        "databases.telemetry needs OpenTelemetry: pip install 'databases-next[opentelemetry]'"
    ) from missing

from databases.exceptions import DriverError, WaitTimeoutError
from databases.instruments import SCHEMA, Instruments
from databases.sql_summary import sanitized, summary_of
from databases.statements import LONGEST_KEPT, Kept
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from databases.database import Database
    from databases.pending import CallSite
    from databases.statements import Bound
    from databases.steps import Step

    Attributes = dict[str, str | int]
    Event = tuple[str, dict[str, str | list[str]], float]

_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306}

_NAMES = {
    (Kind.CONNECT, "not connected"): "CONNECT",
    (Kind.BEGIN, "idle"): "BEGIN",
    (Kind.COMMIT, "in transaction"): "COMMIT",
    (Kind.ROLLBACK, "in transaction"): "ROLLBACK",
    (Kind.ROLLBACK, "savepoint set"): "ROLLBACK TO SAVEPOINT",
    (Kind.SAVEPOINT, "in transaction"): "SAVEPOINT",
    (Kind.SAVEPOINT, "savepoint set"): "RELEASE SAVEPOINT",
}
"""What else than statements has a span, by the step and the state before it."""

_KEPT = 1000
"""Statements, and places in the code, of which the attributes are kept."""

_UNDER_WAY = 10_000
"""Operations of which it is remembered at most when they began."""


def instrument(
    database: Database,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """Tell OpenTelemetry what a database does from now on.

    Every statement, BEGIN, COMMIT, ROLLBACK and the connecting become a span, a child of the span
    in which they are awaited. It is named by the summary of the SQL, such as ``"SELECT users"``,
    and begins when the method was awaited: the time spent waiting for a connection is part of it,
    and has an event that names who held one. The next rows of an ``iterate()`` are spans of
    their own, because between them it is the application that works.

    The SQL is recorded with ``?`` for each literal in it; the values of binds and the texts of
    errors, which quote values, never are. ``db.namespace`` is the database of the URL.
    ``error.type`` is the SQLSTATE of PostgreSQL, the error number of MySQL or the name of SQLite's
    extended result code, and otherwise the class of the exception.

    Args:
        database: the database, connected or not.
        tracer_provider: makes the spans; None for the global one.
        meter_provider: makes the metrics; None for the global one.

    Returns:
        A function that ends it.

    Example:
        >>> import asyncio, databases
        >>> from databases import telemetry
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        >>> spans, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        >>> provider.add_span_processor(SimpleSpanProcessor(spans))
        >>> database = databases.Database("sqlite://")
        >>> end = telemetry.instrument(database, tracer_provider=provider)
        >>> async def main():
        ...     async with database:
        ...         await database.fetch_all("SELECT name FROM sqlite_schema")
        >>> asyncio.run(main())
        >>> end()
        >>> [span.name for span in spans.get_finished_spans()]
        ['CONNECT', 'SELECT sqlite_schema']
    """
    from databases import __version__

    tracer = trace.get_tracer("databases", __version__, tracer_provider, SCHEMA)
    place = _place_of(database)
    pool: Attributes = {"db.client.connection.pool.name": _pool_name(place)}
    instruments = Instruments.of(meter_provider)
    instruments.watched[database] = pool
    leave = database.steps.subscribe(
        _Recorder(weakref.ref(database), place, pool, tracer, instruments)
    )

    def end() -> None:
        leave()
        instruments.watched.pop(database, None)

    return end


class _Recorder:
    """Makes spans and measurements of the steps of one database.

    Args:
        database: it; weak, because its steps lead here.
        place: the attributes that tell it from others.
        pool: the attribute that tells its connections from those of others.
        tracer: makes the spans.
        instruments: take the measurements.
    """

    def __init__(
        self,
        database: weakref.ref[Database],
        place: Attributes,
        pool: Attributes,
        tracer: trace.Tracer,
        instruments: Instruments,
    ) -> None:
        self._database = database
        self._place = place
        self._pool = pool
        self._tracer = tracer
        self._instruments = instruments
        self._texts: Kept[str, Attributes] = Kept(_KEPT)
        self._codes: Kept[CallSite, Attributes] = Kept(_KEPT)
        # By the number of the operation: when it began, and what happened in it.
        self._began: Kept[int, float] = Kept(_UNDER_WAY)
        self._events: Kept[int, list[Event]] = Kept(_UNDER_WAY)

    def __call__(self, step: Step, bound: Bound | None) -> None:
        kind = step.kind
        if kind is Kind.QUERY:
            self._began[step.operation.number] = step.time - step.queue
            if step.lease is None:
                self._instruments.wait_time.record(step.queue, self._pool)
        elif kind is Kind.ROWS:
            # The last rows of a cursor are none, and tell only that it is at its end.
            if step.rows != 0 or step.error is not None or step.operation.number in self._began:
                self._query(step)
        elif kind is Kind.WAIT or kind is Kind.RETRY:
            # That a whole transaction is run again happens in none of its operations.
            if step.operation.kind is not Kind.RETRY:
                self._happened(step)
        elif kind is Kind.ACQUIRE:
            self._acquired(step)
        elif kind is Kind.RELEASE:
            self._instruments.use_time.record(step.lasted or 0.0, self._pool)
        elif (name := _NAMES.get((kind, step.before))) is not None:
            self._control(step, name)

    def _query(self, step: Step) -> None:
        what = self._text(step.sql or "")
        # A single one is not a batch.
        if step.batch is not None and step.batch > 1:
            summary = f"BATCH {what['db.query.summary']}"
            what = {**what, "db.query.summary": summary, "db.operation.batch.size": step.batch}
        if step.lease is None and step.error is None:
            self._instruments.use_time.record(step.query, self._pool)
        elif step.lease is None:
            self._waited_in_vain(step)
        self._told(step, what["db.query.summary"] or self._place["db.system.name"], what)

    def _text(self, sql: str) -> Attributes:
        known = self._texts.get(sql)
        if known is None:
            database = self._database()
            backend = None if database is None else database._engine._backend
            text = "" if backend is None else sanitized(sql, backend.dialect)
            known = {"db.query.text": text, "db.query.summary": summary_of(text)}
            if len(sql) <= LONGEST_KEPT:
                self._texts[sql] = known
        return known

    def _code(self, site: CallSite) -> Attributes:
        known = self._codes.get(site)
        if known is None:
            # Working out the line takes long.
            known = self._codes[site] = {
                "code.file.path": site.filename,
                "code.line.number": site.line,
                "code.function.name": site.code.co_qualname,
            }
        return known

    def _control(self, step: Step, operation: str) -> None:
        namespace = self._place.get("db.namespace")
        name = f"{operation} {namespace}" if namespace else operation
        self._told(step, name, {"db.operation.name": operation})

    def _acquired(self, step: Step) -> None:
        if step.error is None:
            self._instruments.wait_time.record(step.duration, self._pool)
        self._waited_in_vain(step)
        # Where nobody was in the way it is not worth a span.
        if step.error is not None or step.operation.number in self._events:
            self._control(step, "ACQUIRE")

    def _waited_in_vain(self, step: Step) -> None:
        if isinstance(step.error, WaitTimeoutError):
            self._instruments.timeouts.add(1, self._pool)

    def _happened(self, step: Step) -> None:
        """Keep for the span what happened while its operation was under way."""
        attributes: dict[str, str | list[str]] = {"databases.detail": step.detail or ""}
        if step.holders:
            attributes["databases.holders"] = [str(holder) for holder in step.holders]
        if step.error is not None:
            attributes["exception.type"] = _class_of(step.error)
        events = self._events.get(step.operation.number)
        if events is None:
            events = self._events[step.operation.number] = []
        events.append((f"databases.{step.kind.value}", attributes, step.time))

    def _told(self, step: Step, name: str | int, what: Attributes) -> None:
        """Record an operation that is over."""
        began = self._began.pop(step.operation.number, step.time - step.duration)
        events = self._events.pop(step.operation.number, ())
        failure = {} if step.error is None else _failure(step.error, self._place)
        span = self._tracer.start_span(
            str(name),
            kind=SpanKind.CLIENT,
            attributes={**self._place, **what},
            start_time=_nanoseconds(began),
        )
        context = None
        if span.is_recording():
            # By its span a measurement can be found as an example of the slow ones.
            context = trace.set_span_in_context(span)
            if step.site is not None:
                span.set_attributes(self._code(step.site))
            for event, attributes, time in events:
                span.add_event(event, attributes, _nanoseconds(time))
            if step.error is not None:
                # Without the message: databases quote in it the values that they refuse.
                span.set_status(StatusCode.ERROR)
                span.set_attributes(failure)
                error = {"exception.type": _class_of(step.error)}
                span.add_event("exception", error, _nanoseconds(step.time))
            span.end(_nanoseconds(step.time))
        # Not the text of the SQL: there would be a series of measurements for each.
        measured = {**self._place, **failure}
        for key in ("db.operation.name", "db.query.summary"):
            if key in what:
                measured[key] = what[key]
        self._instruments.duration.record(max(0.0, step.time - began), measured, context)
        if step.rows is not None:
            self._instruments.returned_rows.record(step.rows, measured, context)


def _place_of(database: Database) -> Attributes:
    """The attributes that all spans and measurements of a database have."""
    url = database.url
    system = "postgresql" if url.dialect == "postgres" else url.dialect
    place: Attributes = {"db.system.name": system}
    if url.database:
        place["db.namespace"] = url.database
    if url.hostname and system in _DEFAULT_PORTS:
        place["server.address"] = url.hostname
        if url.port is not None and url.port != _DEFAULT_PORTS[system]:
            place["server.port"] = url.port
    return place


def _pool_name(place: Attributes) -> str:
    """``server.address:server.port/db.namespace``, as far as there are any."""
    system = str(place["db.system.name"])
    namespace = str(place.get("db.namespace", system))
    if "server.address" not in place:
        return namespace
    port = place.get("server.port", _DEFAULT_PORTS[system])
    return f"{place['server.address']}:{port}/{namespace}"


def _failure(error: BaseException, place: Attributes) -> Attributes:
    """The attributes of an operation that failed."""
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if place["db.system.name"] == "mysql" and isinstance(error, DriverError) and error.args:
        code = error.args[0]
    if not isinstance(code, str | int):
        return {"error.type": _class_of(error)}
    return {"error.type": str(code), "db.response.status_code": str(code)}


def _class_of(error: BaseException) -> str:
    """The name of an error's class: the driver's, of which ours is made."""
    kind = type(error)
    if isinstance(error, DriverError) and len(kind.__bases__) == 2:
        kind = kind.__bases__[1]
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
