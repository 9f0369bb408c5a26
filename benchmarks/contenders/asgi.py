"""Requests to an ASGI application in the same process: no socket, and nothing else to measure."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple


class Answered(NamedTuple):
    """What came of a request."""

    status: int
    bytes: int


async def get(app: Any, path: str, query: str = "") -> Answered:
    """Send a GET as whoever sits at this machine, and wait for the end of the answer.

    Args:
        app: the application.
        path: such as ``"/inspector/events"``.
        query: what comes behind the question mark.
    """
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }
    status = size = 0
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            # Whoever asked stays until he has all of the answer.
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, size
        status = message.get("status", status)
        size += len(message.get("body", b""))

    await app(scope, receive, send)
    return Answered(status, size)
