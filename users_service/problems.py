"""Errors as the API tells them: application/problem+json, RFC 9457."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from users_service.repository import InDoubt, Overloaded, Unavailable

MEDIA_TYPE = "application/problem+json"

# A server that is started again, or another one that takes its place, is there in a moment.
SOON = {"Retry-After": "1"}

_SECONDS_BETWEEN_LINES = 1

logger = logging.getLogger(__name__)


class InvalidField(BaseModel):
    """One thing that is wrong with a request."""

    # "in" is a word of Python's own.
    location: str = Field(alias="in", description="body, path or query.")
    field: str = Field(description="Its name; empty for the body as a whole.")
    message: str


class Problem(BaseModel):
    """What went wrong."""

    type: str = Field(description="about:blank: the status says what kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What went wrong this time, in a sentence.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[InvalidField] | None = Field(
        default=None, description="With status 422: everything that is wrong with the request."
    )


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """The answer to a request that failed."""
    content = _content(status, detail, quote(request.scope["path"]), errors)
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def documented(instance: str, details: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI of an operation's errors: each status with an example of its detail."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            **({"headers": _RETRY_AFTER} if status == 503 else {}),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
                    "example": _content(status, detail, instance, _example_errors(status, detail)),
                }
            },
        }
        for status, detail in details.items()
    }


def add_schemas(openapi: dict[str, Any]) -> None:
    """Put the definitions that documented() points at into an OpenAPI description."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs"))
    schemas[Problem.__name__] = schema


_RETRY_AFTER = {
    "Retry-After": {
        "description": "When to ask again, in seconds; not there where that might do harm.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    }
}

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# What Starlette says by itself is no more than the title.
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not support the method; the Allow header names those it does.",
    413: "The body of the request is too large.",
}


def _example_errors(status: int, detail: str) -> list[dict[str, str]] | None:
    if status != 422:
        return None
    field, message = detail.split(": ")
    location = {"name": "body", "user_id": "path"}.get(field, "query")
    return [{"in": location, "field": field, "message": message}]


def _content(
    status: int, detail: str, instance: str, errors: list[dict[str, str]] | None
) -> dict[str, Any]:
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    return content if errors is None else {**content, "errors": errors}


async def _http_error(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    is_bare = error.detail == HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, error.detail) if is_bare else error.detail
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(filter(partial(_is_allowed, request), _METHODS))
    return problem(request, error.status_code, detail, headers=headers)


def _is_allowed(request: Request, method: str) -> bool:
    """Whether the address supports a method; FastAPI's own answer names one of several only."""
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def _invalid_request(request: Request, error: Exception) -> Response:
    errors = [_invalid_field(each) for each in cast(RequestValidationError, error).errors()]
    detail = "; ".join(f"{each['field'] or each['in']}: {each['message']}" for each in errors)
    return problem(request, 422, detail, errors=errors)


def _invalid_field(error: dict[str, Any]) -> dict[str, str]:
    location, *path = error["loc"]
    message = error["msg"]
    if error["type"] == "value_error":  # One of ours; Pydantic put "Value error" before it.
        message = str(error["ctx"]["error"])
    elif error["type"] == "json_invalid":  # The path is then a position in the text.
        message = f"not valid JSON at character {path.pop()}: {error['ctx']['error']}"
    return {"in": location, "field": ".".join(map(str, path)), "message": message}


class _Sparing:
    """Has a kind of error logged once a second: there may be thousands, of as many requests."""

    def __init__(self) -> None:
        self._since_line = 0
        self._last_line = -math.inf

    def count(self) -> int:
        """One more; how many there were since the last line, or 0 where no line is due yet."""
        self._since_line += 1
        now = time.monotonic()
        if now < self._last_line + _SECONDS_BETWEEN_LINES:
            return 0
        count, self._since_line, self._last_line = self._since_line, 0, now
        return count


_sparing: defaultdict[type[Exception], _Sparing] = defaultdict(_Sparing)


async def _unavailable(request: Request, error: Exception) -> Response:
    # The log tells the operator why; the client learns nothing of the inside.
    if count := _sparing[type(error)].count():
        others = f", and {count - 1} more before" if count > 1 else ""
        what = f"{request.method} {quote(request.scope['path'])}{others}"
        logger.error("%s: %r", what, error)
    return problem(
        request, 503, "The database cannot be used at the moment. Try again later.", headers=SOON
    )


async def _in_doubt(request: Request, error: Exception) -> Response:
    logger.error("%s %s: %r", request.method, quote(request.scope["path"]), error)
    return problem(
        request,
        503,
        "The database went away at the last moment: it is not known whether this was done. "
        "Look before you try again.",
    )


async def _too_many(request: Request, error: Overloaded) -> Response:
    if count := _sparing[type(error)].count():
        logger.warning("Too many requests, %d more refused: %r", count, error)
    return problem(
        request,
        503,
        "There are more requests than can be served at the moment. Try again later.",
        headers={"Retry-After": str(max(1, math.ceil(error.retry_after)))},
    )


async def _bug(request: Request, error: Exception) -> Response:
    # The server logs the traceback.
    return problem(request, 500, "The service failed in an unforeseen way; its log says why.")


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: _http_error,
    RequestValidationError: _invalid_request,
    Unavailable: _unavailable,
    Overloaded: _too_many,
    InDoubt: _in_doubt,
    Exception: _bug,
}
