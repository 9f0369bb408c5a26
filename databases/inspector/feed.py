"""Feeds: what one page has to be told to be up to date with the view that it shows."""

from __future__ import annotations

import time
from typing import Any

from databases.inspector import views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from databases.inspector.recorder import Recorder


class Feed:
    """The news for one page.

    Args:
        recorder: where they come from.
        view: ``"now"``, ``"requests"``, ``"moments"`` or ``"statements"``.
        request: the number of the request that is shown in full, if one is.
        position: where the page's last feed ended, for which it is the same.
    """

    def __init__(
        self, recorder: Recorder, view: str, request: str | None, position: str | None
    ) -> None:
        self._recorder = recorder
        self._view = view
        self._request = int(request) if request is not None and request.isdecimal() else None
        seen = _version(position, recorder)
        self._is_new = seen is None
        self._seen = seen or 0
        self._seen_request = 0 if seen is None else seen
        self._status: dict[str, Any] | None = None
        self._others: dict[str, Any] = {}

    @property
    def position(self) -> str:
        """How far it has come; for the page to say where it goes on."""
        return f"{self._recorder.started}-{self._seen}"

    def news(self) -> Iterator[tuple[str, Any]]:
        """What has changed since the last call: names of events and their data."""
        recorder = self._recorder
        recorder.file()
        status = views.status(recorder)
        if status != self._status:
            self._status = status
            yield "status", status
        if self._view == "now":
            yield from self._now()
        elif self._view == "moments":
            latest = recorder.moments.latest()
            shown = [views.moment_view(moment) for moment in latest]
            yield from self._if_changed("moments", {"moments": shown})
        elif self._view == "statements":
            if self._others.get("version") != recorder.families.version:
                self._others["version"] = recorder.families.version
                yield "statements", {"statements": views.statements(recorder.families)}
        else:
            yield from self._requests()

    def _now(self) -> Iterator[tuple[str, Any]]:
        database = self._recorder.database
        now = views.now(database.statistics(), database.steps.under_way(), time.time())
        # Clocks go on by themselves: only what they stand at has changed.
        still = [each for each in now["connections"] if each["holder"]] or now["waiting"]
        shape = {**now, "time": None}
        if still or shape != self._others.get("now"):
            self._others["now"] = shape
            yield "now", now

    def _requests(self) -> Iterator[tuple[str, Any]]:
        recorder = self._recorder
        records = recorder.records(self._seen)
        cleared = recorder.cleared_at > self._seen
        if records or self._is_new or cleared:
            reset, self._is_new = self._is_new or cleared, False
            if cleared:
                records = recorder.records()
            yield (
                "requests",
                {"reset": reset, "requests": [views.summary(each) for each in records]},
            )
        if self._request is not None:
            record = recorder.record(self._request)
            if record is None:
                yield from self._if_changed("request", {"gone": True, "n": self._request})
            elif record.version > self._seen_request or "request" not in self._others:
                self._others["request"] = True
                self._seen_request = record.version
                yield "request", views.detail(recorder, record)
        self._seen = recorder.version

    def _if_changed(self, name: str, data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if self._others.get(name) != data:
            self._others[name] = data
            yield name, data


def _version(position: str | None, recorder: Recorder) -> int | None:
    """The version that a page has seen; None where it is new, or the recorder is."""
    started, _, version = (position or "").rpartition("-")
    if started != str(recorder.started) or not version.isdecimal():
        return None
    return int(version)
