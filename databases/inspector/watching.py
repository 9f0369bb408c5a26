"""Watching an application: its requests become steps, beside those of its database."""

from __future__ import annotations

import gc
import re
import sys
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from databases.steps import Steps

_REQUEST, _TOLD = "databases.request", "databases.told"

HEADER = b"inspector-request"
"""Tells whoever asks the number of a request, under which the inspector shows it."""


class WatchedApp:
    """An ASGI application whose requests are told as steps of a database.

    Plain ASGI: a middleware that runs the application in a task of its own would cost more.

    Args:
        app: the application.
        steps: the steps of its database.
        own: the paths at which inspectors are mounted, whose own requests are no news.
    """

    def __init__(self, app: ASGIApp, steps: Steps, own: Iterable[str]) -> None:
        self.app = app
        self._steps = steps
        self._own = re.compile(rf"(?:{'|'.join(map(re.escape, own)) or '(?!)'})(?:/|\Z)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http" or self._is_own(scope):
            await self.app(scope, receive, send)
            return
        told: set[Steps] = scope.setdefault(_TOLD, set())
        if self._steps in told:
            # By an application around this one.
            await self.app(scope, receive, send)
            return
        told.add(self._steps)
        # Another database of the same application may have been told of it already.
        before = scope.get(_REQUEST)
        with self._steps.request(scope["method"], scope["path"], before) as responding:
            scope[_REQUEST] = responding.request
            header = (HEADER, str(responding.request.number).encode())

            async def send_on(message: Message) -> None:
                if message["type"] == "http.response.start":
                    responding.status = message["status"]
                    if before is None:
                        message = {**message, "headers": [*message.get("headers", ()), header]}
                await send(message)

            await self.app(scope, receive, send_on)

    def _is_own(self, scope: Scope) -> bool:
        path: str = scope["path"]
        root = scope.get("root_path", "")
        return self._own.match(path.removeprefix(root) if root else path) is not None


def applications_with(mounted: object) -> list[tuple[Any, list[str]]]:
    """Find the Starlette and FastAPI applications in which something is mounted.

    Mounting tells what is mounted nothing, and the application is not asked to say more than
    ``app.mount("/inspector", Inspector(database))``. So it is looked for among all objects, once.

    Returns:
        The applications, each with the paths of all that is of the same kind.
    """
    applications = sys.modules.get("starlette.applications")
    if applications is None:
        return []
    found = []
    for each in gc.get_objects():
        # Not isinstance(), which asks proxies for their __class__, and so runs foreign code.
        if issubclass(type(each), applications.Starlette):
            inside = list(_mounted_in(each))
            if any(inner is mounted for _, inner in inside):
                kind = type(mounted)
                found.append((each, [path for path, inner in inside if type(inner) is kind]))
    return found


def _mounted_in(app: Any) -> Iterator[tuple[str, Any]]:
    """What is mounted in an application, also below other mounts, and at which paths."""
    for route in getattr(app, "routes", None) or ():
        inner = getattr(route, "_base_app", None) or getattr(route, "app", None)
        if inner is None or inner is app:
            continue
        path = str(getattr(route, "path", ""))
        yield path, inner
        for below, inmost in _mounted_in(inner):
            yield f"{path}{below}", inmost


def watch(app: Any, steps: Steps, own: Iterable[str]) -> None:
    """Put a watch around a Starlette application, whether it has begun to answer or not."""
    if app.middleware_stack is None:
        app.add_middleware(WatchedApp, steps=steps, own=own)
    else:
        app.middleware_stack = WatchedApp(app.middleware_stack, steps, own)
