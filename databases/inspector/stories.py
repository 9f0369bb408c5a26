"""Stories: what a step means, told in the words of the lesson that this page makes real."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.inspector.recorder import Recorder
    from databases.steps import Step

_TABLE = re.compile(
    r"\b(?:FROM|INTO|UPDATE|TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?|JOIN)\s+([\w.\"`\[\]$]+)", re.I
)

_ACTIONS = {
    Kind.CONNECT: "Connect to the database",
    Kind.DISCONNECT: "Disconnect from the database",
    Kind.ACQUIRE: "Acquire a connection",
    Kind.RELEASE: "Release the connection",
    Kind.BEGIN: "Begin a transaction",
    Kind.COMMIT: "Commit",
    Kind.ROLLBACK: "Roll back",
    Kind.SAVEPOINT: "Savepoint",
    Kind.RETRY: "Try again",
}

_FLOW = {
    Kind.CONNECT: "connect",
    Kind.DISCONNECT: "disconnect",
    Kind.REQUEST: "request",
    Kind.RESPONSE: "result",
    Kind.ROWS: "result",
}


class Shown(NamedTuple):
    """A step as it is shown."""

    step: Step
    error: str | None
    values: Any = ()


def about(step: Step) -> str:
    """What a statement is about: ``"SELECT users"``."""
    family = step.operation.family or ""
    verb = family.partition(" ")[0].upper()[:20]
    table = _TABLE.search(family)
    return f"{verb} {table[1][:60]}" if table else verb


def action(step: Step) -> str:
    """What happens in a step."""
    kind = step.kind
    if kind is Kind.QUERY:
        batch = step.operation.batch
        return f"Query sent: {about(step)}" + (f" ({batch:,} sets of values)" if batch else "")
    if kind is Kind.ROWS:
        if step.before == "waiting":
            return f"Query not sent: {about(step)}"
        what = "Rows of" if step.rows is not None else "Done:"
        if step.operation.failed:
            what = "Failed:"
        return f"{what} {about(step)}"
    if kind is Kind.WAIT:
        return f"Wait for {step.detail}"
    if kind is Kind.REQUEST:
        return f"Request received: {step.request}"
    if kind is Kind.RESPONSE:
        return "Response sent"
    if kind is Kind.DROPPED:
        return f"Never awaited: {step.detail}"
    return _ACTIONS[kind]


def result(shown: Shown) -> str:
    """What came of a step: the lesson's last column."""
    step, kind = shown.step, shown.step.kind
    if shown.error is not None:
        return shown.error
    if kind is Kind.ROWS:
        if step.rows is None:
            batch = step.operation.batch
            return f"{batch:,} rows written" if batch else "done"
        return "1 row" if step.rows == 1 else f"{step.rows:,} rows"
    if kind is Kind.WAIT:
        holders = "; ".join(str(holder) for holder in step.holders[:3])
        more = f" and {len(step.holders) - 3} more" if len(step.holders) > 3 else ""
        return f"held by {holders}{more}" if holders else "in line"
    if kind is Kind.RELEASE:
        return f"held {_ms(step.lasted or 0)}, in use {_ms(step.query)}"
    if kind is Kind.RESPONSE:
        return f"answered {step.detail}" if step.detail else "no answer"
    if kind is Kind.QUERY:
        return f"on {step.connection}"
    if kind is Kind.RETRY:
        return step.detail or ""
    if kind is Kind.DROPPED:
        return "did not run"
    return step.after


class Story:
    """Goes through the steps of a request, and keeps the variables that the lesson tracks.

    Args:
        recorder: what the steps are of.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._app = recorder.app_name
        self._database = "Database instance (not connected)"
        if recorder.database.is_connected:
            self._database = "connected"
        self._result = "None"
        self.flow = "app"

    def opening(self, began: float) -> list[dict[str, Any]]:
        """The two steps before all others, which no query makes: the objects are made."""
        made = self._recorder.started
        app, connected = self._app, self._database
        self._app, self._database = "None", "None"
        steps: list[dict[str, Any]] = []
        for name, kind, after in (
            ("app", f"Create the {app}", f"{app} created"),
            ("database", "Create the Database instance", "database object created"),
        ):
            if name == "app":
                self._app = app
            else:
                self._database = "Database instance (not connected)"
            self.flow = name
            steps.append(
                {
                    "n": -2 if name == "app" else -1,
                    "kind": "created",
                    "action": kind,
                    "async": False,
                    "time": made,
                    "at": round((made - began) * 1000, 3),
                    "queue": 0.0,
                    "query": 0.0,
                    "decode": 0.0,
                    "duration": 0.0,
                    "connection": None,
                    "task": "",
                    "before": f"no {name}",
                    "after": after,
                    "result": "ready" if name == "app" else "URL set",
                    "sql": None,
                    "family": None,
                    "values": [],
                    "place": None,
                    "rows": None,
                    "error": None,
                    "flow": name,
                    "tracker": self.tracker(),
                }
            )
        self._database = connected
        return steps

    def goes_on(self, shown: Shown) -> None:
        """Go to the next step."""
        step, kind = shown.step, shown.step.kind
        self.flow = _FLOW.get(kind, "query")
        if kind is Kind.CONNECT:
            self._database = "connected" if shown.error is None else "not connected"
        elif kind is Kind.DISCONNECT:
            self._database = "disconnected"
        elif kind is Kind.BEGIN:
            self._database = "connected, in transaction"
        elif kind in (Kind.COMMIT, Kind.RELEASE) or (
            kind is Kind.ROLLBACK and step.before == "in transaction"
        ):
            self._database = "connected"
        elif kind is Kind.ACQUIRE:
            self._database = "connected, connection held"
        elif kind is Kind.REQUEST:
            self._database = "connected"
            self._result = "None"
        elif kind is Kind.QUERY:
            self._result = f"awaiting {about(step)}"
        elif kind is Kind.ROWS:
            what = about(step).partition(" ")[2]
            came = result(shown)
            self._result = f"{came} of {what}" if step.rows is not None and what else came
        elif kind is Kind.DROPPED:
            self._result = "Pending, never awaited"

    def tracker(self) -> dict[str, str]:
        """The variables after the present step."""
        return {"app": self._app, "database": self._database, "query_result": self._result}


def _ms(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
