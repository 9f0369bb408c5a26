"""Feeds: what one page has to be told to be up to date with the view that it shows."""

from __future__ import annotations

import secrets
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
    """

    def __init__(self, recorder: Recorder, view: str, request: str | None) -> None:
        self.key = secrets.token_hex(8)
        """By this the page says which feed it has had, to go on with it."""
        self.asked = (view, request)
        """What it was asked for."""
        self._recorder = recorder
        self._view = view
        self._request = number_in(request)
        self._seen: int | None = None
        self._telling: views.Telling | None = None
        self._told_version = 0
        self._sent: dict[str, Any] = {}

    def news(self) -> Iterator[tuple[str, Any]]:
        """What has changed since the last call: names of events and their data."""
        recorder = self._recorder
        recorder.file()
        yield from self._if_changed("status", views.status(recorder))
        if self._view == "now":
            yield from self._now()
        elif self._view == "moments":
            if self._sent.get("moments") != recorder.moments.version:
                self._sent["moments"] = recorder.moments.version
                latest = recorder.moments.latest()
                yield "moments", {"moments": [views.moment_view(each) for each in latest]}
        elif self._view == "statements":
            if self._sent.get("statements") != recorder.families.version:
                self._sent["statements"] = recorder.families.version
                yield "statements", {"statements": views.statements(recorder.families)}
        else:
            yield from self._requests()
            yield from self._one_request()

    def _now(self) -> Iterator[tuple[str, Any]]:
        database = self._recorder.database
        now = views.now(
            database._engine.statistics(), database._engine.steps.under_way(), time.time()
        )
        # While somebody holds something its clock goes on.
        busy = now["waiting"] or any(each["holder"] for each in now["connections"])
        shape = {**now, "time": None}
        if busy or shape != self._sent.get("now"):
            self._sent["now"] = shape
            yield "now", now

    def _requests(self) -> Iterator[tuple[str, Any]]:
        recorder, seen = self._recorder, self._seen
        reset = seen is None or recorder.cleared_at > seen
        records = recorder.records(0 if reset or seen is None else seen)
        self._seen = recorder.version
        if records or reset:
            shown = [views.summary(record) for record in records]
            yield "requests", {"reset": reset, "requests": shown}

    def _one_request(self) -> Iterator[tuple[str, Any]]:
        if self._request is None:
            return
        record = self._recorder.record(self._request)
        if record is None:
            self._telling = None
            yield from self._if_changed("request", {"gone": True, "n": self._request})
            return
        telling = self._telling
        if telling is None or telling.record is not record or telling.last is None:
            telling = self._telling = views.Telling(self._recorder, record)
            yield from self._if_changed("request", telling.whole())
        elif record.version > self._told_version or record.is_open:
            piece = telling.more()
            if piece["steps"] or record.version > self._told_version:
                yield "steps", piece
        self._told_version = record.version
        while telling.has_more:
            yield "steps", telling.more()

    def _if_changed(self, name: str, data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if self._sent.get(name) != data:
            self._sent[name] = data
            yield name, data


def number_in(text: str | None) -> int | None:
    """The number that somebody has written into an address, if it is one."""
    return int(text) if text and text.isdecimal() and len(text) < 16 else None
