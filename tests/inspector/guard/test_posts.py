"""Who may make the inspector do something."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.inspector.guard.conftest import (
    DO,
    ORIGIN,
    TOKEN,
    protects,
)

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
