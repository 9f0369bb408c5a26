"""The inspector: an ASGI application that shows live what a database does, and for whom."""

from __future__ import annotations

import asyncio
import json
import weakref
from pathlib import Path
from typing import Any

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route, Router
except ImportError as missing:
    raise ImportError(
        "The inspector needs Starlette, which comes with FastAPI: pip install starlette"
    ) from missing

from databases.exceptions import DatabaseError
from databases.inspector import watching
from databases.inspector.feed import Feed, number_in
from databases.inspector.guard import HEADERS, Guard
from databases.inspector.recorder import Recorder
from databases.inspector.values import plan_without_values
from databases.inspector.views import dumped, everything, is_explainable, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from databases.database import Database
    from databases.statements import Bound
    from databases.steps import Step

_FILES = {path.name: path for path in (Path(__file__).parent / "web").iterdir()}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_MOST_PAGES = 20
"""Pages that are kept up to date at the same time."""

_PAUSE = 0.25
"""Seconds between two looks for something new."""

_STREAM = 4.0
"""Seconds after which a stream ends and the page asks for the next one: a server that is to stop
waits for it."""


class Inspector:
    """A page that shows live what a database does, request by request and step by step.

    Mount it in a FastAPI or Starlette application. It answers only requests from this machine,
    unless it is given a token; the values of queries are shown as types and sizes.

    Args:
        database: the database to watch, from now on.
        token: who knows it may see the page, from wherever: open it once with ``?token=...``
            behind its address, or send ``Authorization: Bearer ...``.
        show_values: show the values of queries too.
        slow: seconds from which on a query counts as slow.
        steps: how many steps are kept; the oldest are forgotten.
        requests: how many requests are kept.

    Raises:
        ImportError: where Starlette is not installed.

    Example:
        >>> import databases, fastapi
        >>> from databases.inspector import Inspector
        >>> database = databases.Database("sqlite://")
        >>> app = fastapi.FastAPI(lifespan=database.lifespan)
        >>> app.mount("/inspector", Inspector(database))
    """

    def __init__(
        self,
        database: Database,
        *,
        token: str | None = None,
        show_values: bool = False,
        slow: float = 0.1,
        steps: int = 20_000,
        requests: int = 2_000,
    ) -> None:
        self._database = database
        self._guard = Guard(token)
        self._recorder = Recorder(
            database, steps=steps, requests=requests, show_values=show_values, slow=slow
        )
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pages = 0
        self._feeds: dict[str, Feed] = {}
        self._stop_looking = database._engine.steps.subscribe(self._look_for_applications)
        self._router = Router(
            [
                Route("/", self._file),
                *(Route(f"/{name}", self._file) for name in _FILES),
                Route("/events", self._events),
                Route("/requests/{number}", self._request),
                Route("/export", self._export),
                Route("/cancel", self._cancel, methods=["POST"]),
                Route("/explain", self._explain, methods=["POST"]),
                Route("/clear", self._clear, methods=["POST"]),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, if whoever asks may have an answer."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        refused = self._guard.refuse(Request(scope))
        if refused is not None:
            await refused(scope, receive, send)
            return
        app = scope.get("app")
        if hasattr(app, "middleware_stack"):
            # An application that was made after the database had been connected.
            root: str = scope.get("root_path", "")
            self._watch(app, [root.removeprefix(scope.get("app_root_path", ""))])
        try:
            # Of an application of its own, so that the one around it has no say in the answers.
            await self._router({**scope, "app": self}, receive, send)
        except HTTPException as error:
            refused = _problem(error.status_code, error.detail)
            await refused(scope, receive, send)

    def watch(self, app: ASGIApp, path: str = "/inspector") -> ASGIApp:
        """Watch the requests of an application that is not one of Starlette's or FastAPI's.

        Those in which the inspector is mounted need not be told.

        Args:
            app: the application.
            path: where in it the inspector answers, whose own requests are no news.

        Returns:
            The application to run instead.
        """
        return watching.WatchedApp(app, self._database._engine.steps, [path])

    def close(self) -> None:
        """Stop watching the database."""
        self._stop_looking()
        self._recorder.close()

    def _look_for_applications(self, step: Step, bound: Bound | None) -> None:
        """At the first step, which mostly is that of connecting: the applications are made."""
        self._stop_looking()
        for app, paths in watching.applications_with(self):
            self._watch(app, paths)

    def _watch(self, app: Any, paths: list[str]) -> None:
        if app not in self._watched:
            self._watched.add(app)
            known = next(each for each in type(app).__mro__ if not each.__name__.startswith("_"))
            self._recorder.app_name = f"{known.__name__} instance"
            watching.watch(app, self._database._engine.steps, paths)

    # The answers.

    async def _file(self, request: Request) -> Response:
        path = _FILES[request.url.path.rpartition("/")[2] or "index.html"]
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=HEADERS)

    async def _request(self, request: Request) -> Response:
        number = number_in(request.path_params["number"])
        record = None if number is None else self._recorder.record(number)
        if record is None:
            return _problem(404, "This request is not kept any more.")
        return _in_pieces(written(self._recorder, record), HEADERS)

    async def _export(self, request: Request) -> Response:
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="inspector.json"'}
        return _in_pieces(everything(self._recorder), headers)

    async def _events(self, request: Request) -> Response:
        if self._pages >= _MOST_PAGES:
            return _problem(503, f"{_MOST_PAGES} pages are open already.")
        asked = request.query_params.get("view", "requests"), request.query_params.get("request")
        feed = self._feeds.pop(request.headers.get("last-event-id", ""), None)
        if feed is None or feed.asked != asked:
            feed = Feed(self._recorder, *asked)
        # Behind a proxy that collects what it passes on there would be nothing to see.
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        self._pages += 1
        return _Events(self._page_closed, self._stream(feed), 200, headers, "text/event-stream")

    def _page_closed(self) -> None:
        self._pages -= 1

    async def _stream(self, feed: Feed) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + _STREAM
        yield f"retry: 250\nid: {feed.key}\n\n"
        # Once at least: what was asked for is told however late this comes to it.
        while True:
            for name, data in feed.news():
                yield f"event: {name}\nid: {feed.key}\ndata: {dumped(data)}\n\n"
                await asyncio.sleep(0)
            if loop.time() >= end:
                break
            await asyncio.sleep(_PAUSE)
        # The page has had all of it, and goes on from here.
        self._feeds[feed.key] = feed
        while len(self._feeds) > _MOST_PAGES:
            del self._feeds[next(iter(self._feeds))]

    async def _cancel(self, request: Request) -> Response:
        number = (await _body(request)).get("operation")
        for operation in self._database._engine.steps.under_way():
            if operation.number == number:
                if not operation.can_be_stopped:
                    return _problem(409, "Nobody would know whether it was committed.")
                operation.cancel()
                return _json({"cancelled": True})
        return _problem(404, "It is over already.")

    async def _explain(self, request: Request) -> Response:
        family = self._recorder.families.get(str((await _body(request)).get("family")))
        example = None if family is None else self._recorder.families.examples.get(family.text)
        if family is None or example is None or not is_explainable(family.text):
            return _problem(404, "No statement of this family is kept that could be explained.")
        try:
            plan = await self._database._engine.explain(example)
        except DatabaseError as error:
            return _problem(409, f"The database does not explain it: {type(error).__name__}.")
        if not self._recorder.show_values:
            plan = [plan_without_values(line, example.arguments) for line in plan]
        return _json({"sql": family.text, "plan": plan})

    async def _clear(self, request: Request) -> Response:
        self._recorder.clear()
        return _json({})


class _Events(StreamingResponse):
    """A stream, and what is to be done when it has ended, however that was."""

    def __init__(self, ended: Callable[[], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; an empty one where it is none."""
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _in_pieces(pieces: Iterable[str], headers: Mapping[str, str]) -> Response:
    """JSON that is made piece by piece, so that others go on in between."""

    async def one_by_one() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)

    return StreamingResponse(one_by_one(), 200, headers, "application/json")


def _json(content: Any) -> Response:
    return Response(dumped(content), 200, HEADERS, "application/json")


def _problem(status: int, detail: str) -> Response:
    return Response(dumped({"detail": detail}), status, HEADERS, "application/json")
