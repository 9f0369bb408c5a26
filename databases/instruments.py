"""The instruments of OpenTelemetry that measure databases, by its conventions."""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, MeterProvider

    from databases.database import Database
    from databases.statistics import Statistics

    Attributes = dict[str, str | int]

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The conventions that spans and metrics follow."""

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
"""The boundaries that the conventions recommend for the duration of operations."""

_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class Instruments:
    """The instruments of one meter, shared by all databases that it is told of.

    A meter takes the callbacks of an instrument only the first time that it is made.

    Args:
        provider: makes the meter; None for the global one.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        from databases import __version__

        self.watched: weakref.WeakKeyDictionary[Database, Attributes] = weakref.WeakKeyDictionary()
        meter = metrics.get_meter("databases", __version__, provider, SCHEMA)
        self.duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.returned_rows = meter.create_histogram(
            "db.client.response.returned_rows",
            "{row}",
            "The actual number of records returned by the database operation.",
            explicit_bucket_boundaries_advisory=_ROWS,
        )
        self.wait_time = meter.create_histogram(
            "db.client.connection.wait_time",
            "s",
            "The time it took to obtain an open connection from the pool.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.use_time = meter.create_histogram(
            "db.client.connection.use_time",
            "s",
            "The time between borrowing a connection and returning it to the pool.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.timeouts = meter.create_counter(
            "db.client.connection.timeouts",
            "{timeout}",
            "The number of connection timeouts that have occurred trying to obtain a connection "
            "from the pool.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.count",
            [self._count],
            "{connection}",
            "The number of connections that are currently in state described by the `state` "
            "attribute.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max",
            [self._max],
            "{connection}",
            "The maximum number of open connections allowed.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests",
            [self._pending],
            "{request}",
            "The number of current pending requests for an open connection.",
        )

    @classmethod
    def of(cls, provider: MeterProvider | None) -> Instruments:
        """The instruments of a provider, made once."""
        key = _GLOBAL if provider is None else provider
        made = _MADE.get(key)
        if made is None:
            made = _MADE[key] = cls(provider)
        return made

    def _count(self, _: CallbackOptions) -> Iterable[Observation]:
        for pool, now in self._statistics():
            for state, number in (("idle", now.idle), ("used", now.open - now.idle)):
                yield Observation(number, {**pool, "db.client.connection.state": state})

    def _max(self, _: CallbackOptions) -> Iterable[Observation]:
        for pool, now in self._statistics():
            if now.limit is not None:
                yield Observation(now.limit, pool)

    def _pending(self, _: CallbackOptions) -> Iterable[Observation]:
        for pool, now in self._statistics():
            yield Observation(len(now.waiting), pool)

    def _statistics(self) -> Iterator[tuple[Attributes, Statistics]]:
        for database, pool in list(self.watched.items()):
            for _ in range(_TRIES):
                try:
                    now = database.statistics()
                except RuntimeError:
                    # Metrics are read in a thread of their own: something changed while it looked.
                    continue
                yield pool, now
                break


class _Global:
    """Stands for the global meter provider, which may be set later."""


_GLOBAL = _Global()
_MADE: weakref.WeakKeyDictionary[Any, Instruments] = weakref.WeakKeyDictionary()
_TRIES = 5
