"""The guard: who may see the inspector, and who may make it do something.

On its own it answers only whoever sits at this machine; with a token, whoever has that. It never
relies on what a page from elsewhere could make a browser send.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import URL
from starlette.responses import PlainTextResponse, RedirectResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_COOKIE = "databases_inspector"

_FORWARDED = (
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-forwarded-for",
    "x-real-ip",
)
"""What a proxy adds: whoever it speaks for is not at this machine."""

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

HEADERS = {
    # Nothing from elsewhere, nothing inline, and no text ever becomes markup.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer has."""

_ELSEWHERE = """\
The inspector answers only this machine: not {whom}.
To reach it from elsewhere give it a token, and open it once with ?token=... behind its address:

    app.mount("/inspector", Inspector(database, token="..."))
"""

_NO_TOKEN = """\
The inspector wants its token: open it once with ?token=... behind its address, or send the header
Authorization: Bearer ...
"""

_OTHER_ORIGIN = """\
This was not asked for by the inspector's own page. A POST needs its Origin, and JSON.
"""


class Guard:
    """Decides about requests.

    Args:
        token: what those have to know who may see it; None: whoever is at this machine may.
    """

    def __init__(self, token: str | None) -> None:
        if token is not None and not token:
            raise ValueError('The token is empty: Inspector(database, token=os.environ["..."])')
        self._token = token
        # What the cookie has, which is not the token itself.
        self._pass = hashlib.sha256(b"databases inspector " + _bytes(token or "")).hexdigest()

    def refuse(self, request: Request) -> Response | None:
        """The answer to whoever may not have another one."""
        return self._refuse_stranger(request) or _refuse_other_origin(request)

    def _refuse_stranger(self, request: Request) -> Response | None:
        if self._token is None:
            whom = _who_is_not_here(request)
            return None if whom is None else _refusal(_ELSEWHERE.format(whom=whom))
        # Constant time: how long a comparison takes does not tell how much of it was right.
        if hmac.compare_digest(_bytes(request.cookies.get(_COOKIE, "")), self._pass.encode()):
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        # Headers are bytes, which Starlette reads as Latin-1.
        if scheme.lower() == "bearer" and self._knows(bearer.strip().encode("latin-1")):
            return None
        given = request.query_params.get("token", "")
        if request.method == "GET" and self._knows(_bytes(given)):
            return self._let_in(request)
        return _refusal(_NO_TOKEN, status=401)

    def _knows(self, token: bytes) -> bool:
        return hmac.compare_digest(token, _bytes(self._token or ""))

    def _let_in(self, request: Request) -> Response:
        """Keep the token in a cookie, and out of the address and whatever logs that."""
        url = URL(scope=request.scope)
        response = RedirectResponse(url.path, status_code=303, headers=HEADERS)
        response.set_cookie(
            _COOKIE,
            self._pass,
            path=request.scope.get("root_path") or "/",
            secure=url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response


def _who_is_not_here(request: Request) -> str | None:
    """Who asks, if that is not somebody at this machine."""
    client = request.client
    if client is None:
        return "whoever came through a socket of the file system"
    try:
        address = ipaddress.ip_address(client.host)
    except ValueError:
        return "a client without an address"
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        return str(address)
    if request.scope.get("http_version") == "1.0":
        # No browser speaks it any more; nginx does, where nobody has told it otherwise.
        return "those behind a proxy (it is HTTP/1.0)"
    for name in _FORWARDED:
        if name in request.headers:
            return f"those behind a proxy (there is a header {name})"
    # A page from elsewhere can have its own name point to this machine (DNS rebinding).
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() not in _LOCAL_NAMES:
        return "by the name of another one: write localhost or 127.0.0.1"
    return None


def _refuse_other_origin(request: Request) -> Response | None:
    """Refuse what a page from elsewhere asks for, whatever the application allows such pages."""
    origin = request.headers.get("origin")
    same = origin is None or _netloc(origin) == request.headers.get("host")
    if request.method in ("GET", "HEAD"):
        fetched = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        # A link that leads here may be followed; what is fetched from here may not be read.
        if same and not (fetched and request.headers.get("sec-fetch-mode") != "navigate"):
            return None
    elif origin is not None and same:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if media_type.lower() == "application/json":
            return None
    return _refusal(_OTHER_ORIGIN)


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _refusal(text: str, status: int = 403) -> Response:
    return PlainTextResponse(text, status_code=status, headers=HEADERS)
