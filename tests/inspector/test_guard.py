"""Who may see the inspector, and who may make it do something."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from databases import Database
from databases.exceptions import DatabaseError
from databases.inspector import Inspector
from tests.servers.processes import free_port

TOKEN = "correct-horse-battery"
HERE = ("127.0.0.1", 1234)
ELSEWHERE = ("192.0.2.7", 1234)
ORIGIN = {"Origin": "http://127.0.0.1:8000"}

READ = [
    *("", "index.html", "page.js", "execution.css", "icon.svg"),
    *("events?view=now", "requests/0", "export"),
]
MISSING = ["nothing.js", "app.py", "requests/999999"]
MISSING_TO_STARLETTE = ["a/b", "requests/x", "page.js/"]
DO = ["cancel", "explain", "clear"]
POLICY = (
    *("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"),
    "require-trusted-types-for 'script'",
)


@pytest.fixture(autouse=True)
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stream of events end after its first ones: the client here waits for the end."""
    monkeypatch.setattr("databases.inspector.app._STREAM", 0.001)
    monkeypatch.setattr("databases.inspector.app._PAUSE", 0.001)


def create_app(token: str | None = None) -> FastAPI:
    database = Database("sqlite://")
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", Inspector(database, token=token))

    @app.get("/answer")
    async def answer() -> Any:
        return await database.fetch_val("SELECT 42")

    return app


def client_of(app: FastAPI, client: tuple[str, int] | None = HERE) -> TestClient:
    """Somebody at an address, to whom an error in the application is an answer 500."""
    return TestClient(
        app,
        base_url="http://127.0.0.1:8000",
        client=client,  # type: ignore[arg-type]
        raise_server_exceptions=False,
        follow_redirects=False,
    )


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app()


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


@pytest.fixture
def with_token() -> Iterator[TestClient]:
    """Somebody far away, who does not know the token."""
    with client_of(create_app(TOKEN), ELSEWHERE) as client:
        yield client


def protects(response: httpx2.Response) -> bool:
    """Whether an answer has the headers that every one has to have."""
    headers = response.headers
    policy = headers.get("content-security-policy", "")
    return (
        all(each in policy for each in POLICY)
        and "unsafe" not in policy
        and "://" not in policy
        and headers.get("x-content-type-options") == "nosniff"
        and headers.get("referrer-policy") == "no-referrer"
        and headers.get("cache-control") == "no-store"
        and headers.get("cross-origin-resource-policy") == "same-origin"
    )


def test_an_application_without_it_has_none() -> None:
    with TestClient(FastAPI(), client=HERE, base_url="http://127.0.0.1") as client:
        assert client.get("/inspector/").status_code == 404


# On its own: this machine alone.


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_answered(app: FastAPI, host: str) -> None:
    with client_of(app, (host, 1234)) as client:
        for path in READ:
            assert client.get(f"/inspector/{path}").status_code == 200, path


@pytest.mark.parametrize(
    "client",
    [
        *(("192.0.2.7", 1), ("10.0.0.1", 1), ("0.0.0.0", 1), ("::", 1), ("2001:db8::1", 1)),
        *(("::ffff:192.0.2.7", 1), ("fe80::1", 1), ("testclient", 1), ("", 1), None),
    ],
    ids=str,
)
def test_others_are_refused_whatever_they_ask_for(
    app: FastAPI, client: tuple[str, int] | None
) -> None:
    with client_of(app, client) as stranger:
        for path in [*READ, *MISSING, *MISSING_TO_STARLETTE]:
            answer = stranger.get(f"/inspector/{path}")
            assert answer.status_code == 403, path
            assert protects(answer)
        for path in DO:
            answer = stranger.post(f"/inspector/{path}", json={}, headers=ORIGIN)
            assert answer.status_code == 403, path


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "x-forwarded-for"],
)
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", ""])
def test_whoever_comes_through_a_proxy_is_refused(
    client: TestClient, header: str, value: str
) -> None:
    for path in READ:
        answer = client.get(f"/inspector/{path}", headers={header: value})
        assert answer.status_code == 403, path
        assert header.lower() in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LocalHost:1", "127.0.0.1", "[::1]", "[::1]:8000"]
)
def test_the_names_of_this_machine_are_known(client: TestClient, host: str) -> None:
    assert client.get("/inspector/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("", ":8000", "0.0.0.0", "[::]", "127.0.0.1@evil.example", "localhost:8000:evil.example"),
        *("[::1]evil.example", "localhost.", "evil.example:localhost"),
    ],
)
def test_a_page_that_has_its_own_name_point_to_this_machine_is_refused(
    client: TestClient, host: str
) -> None:
    for path in READ:
        assert client.get(f"/inspector/{path}", headers={"Host": host}).status_code == 403, path


def test_a_proxy_that_nobody_has_told_to_say_so_is_known_by_its_old_protocol(
    app: FastAPI,
) -> None:
    async def as_nginx_asks(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "http_version": "1.0"}, receive, send)

    with client_of(as_nginx_asks) as client:  # type: ignore[arg-type]
        for path in READ:
            assert client.get(f"/inspector/{path}").status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8001", "null"])
def test_nothing_can_be_read_by_a_page_from_elsewhere(client: TestClient, origin: str) -> None:
    for path in READ:
        answer = client.get(f"/inspector/{path}", headers={"Origin": origin})
        assert answer.status_code == 403, path
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_elsewhere_may_lead_here_but_nothing_else(
    client: TestClient, site: str
) -> None:
    for mode, status in (("navigate", 200), ("no-cors", 403), ("cors", 403)):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert client.get("/inspector/", headers=headers).status_code == status


# With a token: whoever knows it.


def test_with_a_token_nothing_is_answered_without_it_not_even_here() -> None:
    with client_of(create_app(TOKEN)) as client:
        for path in [*READ, *MISSING, *MISSING_TO_STARLETTE]:
            answer = client.get(f"/inspector/{path}")
            assert answer.status_code == 401, path
            assert protects(answer)
        for path in DO:
            answer = client.post(f"/inspector/{path}", json={}, headers=ORIGIN)
            assert answer.status_code == 401, path


def test_the_token_in_the_address_becomes_a_cookie(with_token: TestClient) -> None:
    answer = with_token.get("/inspector/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/inspector/"
    assert protects(answer)
    cookie = answer.headers["set-cookie"]
    attributes = [each.strip().lower() for each in cookie.split(";")[1:]]
    assert {"httponly", "samesite=strict", "path=/inspector"} <= set(attributes)
    assert "secure" not in attributes
    # From here on the cookie is enough.
    for path in READ:
        assert with_token.get(f"/inspector/{path}").status_code == 200, path
    assert with_token.post("/inspector/clear", json={}, headers=ORIGIN).status_code == 200


def test_over_tls_the_cookie_is_for_tls_alone() -> None:
    app = create_app(TOKEN)
    with TestClient(app, base_url="https://shop.example", follow_redirects=False) as client:
        answer = client.get("/inspector/", params={"token": TOKEN})
    assert "secure" in answer.headers["set-cookie"].lower()


def test_the_token_can_be_in_a_header(with_token: TestClient) -> None:
    for scheme in ("Bearer", "bearer"):
        header = {"Authorization": f"{scheme} {TOKEN}"}
        for path in READ:
            answer = with_token.get(f"/inspector/{path}", headers=header)
            assert answer.status_code == 200, path
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "wrong", ["", " ", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "tökén", "\u0416", "\x00"]
)
def test_a_wrong_token_is_refused(with_token: TestClient, wrong: str) -> None:
    sent = wrong.encode()
    for request in (
        {"params": {"token": wrong}},
        {"headers": {b"Authorization": b"Bearer " + sent}},
        {"headers": {b"Authorization": b"Basic " + TOKEN.encode()}},
        {"headers": {b"Cookie": b"databases_inspector=" + sent}},
    ):
        answer = with_token.get("/inspector/", **request)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_the_token_in_the_address_makes_nothing_happen_by_itself(with_token: TestClient) -> None:
    for path in DO:
        answer = with_token.post(
            f"/inspector/{path}", params={"token": TOKEN}, json={}, headers=ORIGIN
        )
        assert answer.status_code == 401


def test_how_long_the_comparison_takes_does_not_tell_how_much_was_right(
    with_token: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare_digest(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    with_token.get("/inspector/", params={"token": "one"})
    with_token.get("/inspector/", headers={"Authorization": "Bearer two"})
    with_token.get("/inspector/", headers={"Cookie": "databases_inspector=three"})
    assert {(b"one", TOKEN.encode()), (b"two", TOKEN.encode())} <= set(compared)
    # The cookie has something made of the token.
    (made,) = [b for a, b in compared if a == b"three"]
    assert TOKEN.encode() not in made


@pytest.mark.parametrize(
    "token", ["schlüssel", "ключ-от-дома", "鍵鍵鍵鍵鍵鍵鍵鍵", 'a"; path=/; b']
)
def test_a_token_in_any_script_opens_the_page(token: str) -> None:
    with client_of(create_app(token), ELSEWHERE) as client:
        answer = client.get("/inspector/", params={"token": token})
        assert answer.status_code == 303
        assert client.get("/inspector/").status_code == 200
        assert client.get("/inspector/page.js").status_code == 200


@pytest.mark.parametrize("token", ["schlüssel", "ключ-от-дома"])
def test_a_token_in_any_script_can_be_in_a_header(token: str) -> None:
    with client_of(create_app(token), ELSEWHERE) as client:
        header = {b"Authorization": b"Bearer " + token.encode()}
        assert client.get("/inspector/", headers=header).status_code == 200


def test_an_empty_token_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="token is empty"):
        Inspector(Database("sqlite://"), token="")


def test_nothing_tells_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database("sqlite://")
    inspector = Inspector(database, token=TOKEN)
    app = FastAPI(lifespan=database.lifespan)
    app.mount("/inspector", inspector)
    texts = [repr(inspector), str(inspector), repr(inspector._guard), repr(app.routes)]
    with client_of(app, ELSEWHERE) as client:
        texts.append(client.get("/inspector/", params={"token": "wrong"}).text)
        texts.append(client.get("/inspector/", params={"token": TOKEN}).text)
        assert len(client.cookies) == 1
        texts += [client.get(f"/inspector/{path}").text for path in [*READ, *MISSING]]
        texts += [client.post(f"/inspector/{path}", json={}, headers=ORIGIN).text for path in DO]
    # The client logs its own requests.
    texts += [str(each) for each in caplog.records if not each.name.startswith("http")]
    assert [text for text in texts if TOKEN in text] == []


# What makes something happen.


AS_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", DO)
@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "http://127.0.0.1:8001", "http://localhost:8000", "null", ""),
        *("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000", "file://", "http://[", None),
    ],
)
def test_a_post_needs_the_origin_of_the_page(
    client: TestClient, path: str, origin: str | None
) -> None:
    headers = AS_JSON if origin is None else {**AS_JSON, "Origin": origin}
    refused = client.post(f"/inspector/{path}", content=b"{}", headers=headers)
    assert refused.status_code == 403
    assert protects(refused)


@pytest.mark.parametrize("path", DO)
@pytest.mark.parametrize(
    "media_type",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("text/plain; application/json", "application/jsonx", "", None),
    ],
)
def test_a_post_needs_to_be_json(client: TestClient, path: str, media_type: str | None) -> None:
    headers = ORIGIN if media_type is None else {**ORIGIN, "Content-Type": media_type}
    refused = client.post(f"/inspector/{path}", content=b"{}", headers=headers)
    assert refused.status_code == 403
    assert protects(refused)


@pytest.mark.parametrize("path", DO)
@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8"])
def test_a_post_of_the_page_is_taken(client: TestClient, path: str, media_type: str) -> None:
    headers = {**ORIGIN, "Content-Type": media_type}
    taken = client.post(f"/inspector/{path}", content=b"{}", headers=headers)
    assert taken.status_code == (200 if path == "clear" else 404)
    assert protects(taken)


def test_a_token_does_not_make_up_for_the_origin(with_token: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}
    for path in DO:
        assert with_token.post(f"/inspector/{path}", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize("path", DO)
def test_what_makes_something_happen_cannot_be_got(client: TestClient, path: str) -> None:
    assert client.get(f"/inspector/{path}").status_code == 405
    assert client.head(f"/inspector/{path}").status_code == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
def test_other_methods_do_nothing(client: TestClient, method: str) -> None:
    for path in ("", "export", "events", "requests/0", "page.js"):
        assert client.request(method, f"/inspector/{path}").status_code in (403, 405)
        same = client.request(
            method, f"/inspector/{path}", content=b"{}", headers={**ORIGIN, **AS_JSON}
        )
        assert same.status_code == 405


NO_OBJECTS = [
    *(b"", b"{", b"[]", b"null", b"true", b"1", b'"x"', b"\xff\xfe", b'{"a"', b"NaN", b"\x00"),
    b'{"operation": ' + b"9" * 5_000 + b', "family": ' + b"9" * 5_000 + b"}",
    *(b"[" * 100_000, b'{"a":' * 100_000),
]
BODIES = [
    *(b'{"operation": 1e999}', b'{"operation": NaN}', b'{"operation": -1}', b'{"operation": []}'),
    *(b'{"operation": {}}', b'{"operation": "1"}', b'{"operation": true}', b'{"operation": null}'),
    *(b'{"family": []}', b'{"family": {}}', b'{"family": "\\ud800"}', b'{"family": null}'),
    *NO_OBJECTS,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
def test_a_body_that_makes_no_sense_is_the_clients_fault(client: TestClient, body: bytes) -> None:
    for path in DO:
        answer = client.post(f"/inspector/{path}", content=body, headers={**ORIGIN, **AS_JSON})
        assert answer.status_code < 500, path
        assert path == "clear" or answer.status_code >= 400, path


@pytest.mark.parametrize(
    "path",
    [
        *("requests/-1", "requests/1.5", "requests/%00", "requests/٣", "requests/" + "9" * 4_000),
        *("%00.js", "page.js%00", "con.js", ".js", "...js", "x" * 200 + ".js"),
        *("events?view=requests&request=٣", "events?view=requests&request=-1"),
        *("events?view=%00", "events?request=1&request=2", "events?view=requests&request="),
        "requests/" + "9" * 5_000,
        "events?view=requests&request=" + "9" * 5_000,
        "x" * 5_000 + ".js",
    ],
    ids=lambda path: f"{path[:40]} {len(path)}",
)
def test_an_address_that_makes_no_sense_is_the_clients_fault(client: TestClient, path: str) -> None:
    assert client.get(f"/inspector/{path}").status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        *("../app.py", "%2e%2e/app.py", "..%2fapp.py", "..%2f..%2finspector%2fweb%2fpage.js"),
        *("..%5capp.py", "%2fetc%2fpasswd", "%2e%2e%2fweb%2fpage.js", "web/page.js", "./page.js"),
        *("..", "%2e%2e", ".", "//page.js", "__init__.py", "page.js%2f..%2findex.html"),
    ],
)
async def test_no_name_of_a_file_leads_out_of_the_pages_own(app: FastAPI, path: str) -> None:
    """Asked without a client, which would tidy the path up first."""
    asked = f"/inspector/{path}"
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"},
        **{"scheme": "http", "path": unquote(asked), "raw_path": asked.encode()},
        **{"query_string": b"", "root_path": "", "headers": [(b"host", b"127.0.0.1")]},
        **{"client": HERE, "server": ("127.0.0.1", 80)},
    }
    answer: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        answer.append(message)

    await app(scope, receive, send)
    assert answer[0]["status"] in (307, 404)
    body = b"".join(message["body"] for message in answer[1:])
    assert body in (b"", b'{"detail":"There is no such file."}', b'{"detail":"Not Found"}')


# What every answer has.


@pytest.mark.parametrize("path", READ)
def test_what_is_answered_allows_nothing_inline_and_nothing_from_elsewhere(
    client: TestClient, path: str
) -> None:
    assert protects(client.get(f"/inspector/{path}"))


@pytest.mark.parametrize("path", MISSING)
def test_an_answer_that_there_is_no_such_thing_does_not_either(
    client: TestClient, path: str
) -> None:
    answer = client.get(f"/inspector/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"]
    assert protects(answer)


@pytest.mark.parametrize(
    "path",
    [
        *MISSING_TO_STARLETTE[:-1],
        MISSING_TO_STARLETTE[-1],
    ],
)
def test_nor_does_one_that_the_router_gives(client: TestClient, path: str) -> None:
    answer = client.get(f"/inspector/{path}")
    assert answer.status_code in (307, 404)
    assert protects(answer)


def test_nor_does_one_to_a_wrong_method(client: TestClient) -> None:
    assert protects(client.get("/inspector/cancel"))


def test_the_address_without_a_slash_leads_to_the_page(client: TestClient) -> None:
    """Files are found relative to the address, so it matters."""
    answer = client.get("/inspector")
    assert answer.status_code in (303, 307, 308)
    assert answer.headers["location"].endswith("/inspector/")


# What it tells of the database.


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@127.0.0.1:{port}/shop",
        "postgresql+psycopg://ada:hunter2@127.0.0.1:{port}/shop",
        "mysql://ada:hunter2@127.0.0.1:{port}/shop",
        "postgresql://ada:%68unter2@127.0.0.1:{port}/shop",
        "postgresql://ada@127.0.0.1:{port}/shop?password=hunter2",
    ],
)
async def test_the_password_of_the_database_is_nowhere(url: str) -> None:
    database = Database(url.format(port=free_port()))
    app = FastAPI()
    app.mount("/inspector", Inspector(database))
    with pytest.raises((DatabaseError, OSError)):
        await database.connect()
    transport = httpx2.ASGITransport(app, client=HERE)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        texts = [(await client.get(f"/inspector/{path}")).text for path in READ]
    assert "127.0.0.1" in json.loads(texts[READ.index("export")])["status"]["url"]
    assert [text for text in texts if "hunter2" in text or "%68unter2" in text] == []
