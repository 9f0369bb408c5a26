"""A database that tells OpenTelemetry what it does, and what its SDK has of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from databases import Database, telemetry


class Seen:
    """A database that is instrumented, and what the SDK has of it."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.tracers = TracerProvider(shutdown_on_exit=False, **options)
        self._spans = InMemorySpanExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.end = self.instrument(database)

    def instrument(self, database: Database) -> Callable[[], None]:
        return telemetry.instrument(
            database, tracer_provider=self.tracers, meter_provider=self.meters
        )

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        spans = self._spans.get_finished_spans()
        return [span for span in spans if name is None or span.name == name]

    def span(self, name: str) -> ReadableSpan:
        [span] = self.spans(name)
        return span

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> Sequence[Any]:
        metric = self.metrics().get(name)
        return () if metric is None else metric.data.data_points


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.end()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> dict[str, dict[str, Any]]:
    return {event.name: dict(event.attributes or {}) for event in span.events}


def lasted(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time
