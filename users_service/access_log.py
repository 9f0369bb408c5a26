"""The access log: one JSON object per request, a line on standard output."""

import json
import logging
import random
import re
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

_HEADER = b"x-request-id"
# What others send is kept only if it can do no harm in anybody's log.
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class AccessLog:
    """Logs every request when it has been answered, and gives it an id.

    Plain ASGI: a middleware that runs the application in a task of its own would cost several
    times more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        header = (_HEADER, request_id.encode())
        status: int | None = None  # Stays so if the client leaves before there is an answer.

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            fields = {
                "method": scope["method"],
                # Without the query, which may hold what somebody searched for.
                "path": scope["path"],
                "status": status,
                "duration_ms": round((time.perf_counter() - start) * 1000, 3),
                "client": scope["client"][0] if scope.get("client") else None,
                "request_id": request_id,
            }
            level = logging.ERROR if status and status >= 500 else logging.INFO
            # Not logger.log(), which looks for its caller on the stack each time.
            if logger.isEnabledFor(level):
                logger.handle(logger.makeRecord(__name__, level, "", 0, fields, (), None))


class JSONFormatter(logging.Formatter):
    """Writes a record whose message is a dictionary as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: Any = record.msg
        return json.dumps({"time": at, "level": record.levelname, **fields})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER and _SANE_ID.fullmatch(value):
            return str(value, "ascii")
    # To tell requests apart it need not be hard to guess.
    return f"{random.getrandbits(64):016x}"


# For logging.config: requests to standard output, everything else of weight to standard error.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": JSONFormatter},
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "requests": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        },
        "rest": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
            "formatter": "plain",
        },
    },
    "loggers": {__name__: {"level": "INFO", "handlers": ["requests"], "propagate": False}},
    "root": {"level": "WARNING", "handlers": ["rest"]},
}
