"""Without a token the inspector answers this machine alone, and its own page."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.inspector.conftest import HERE
from tests.inspector.guard.conftest import (
    READ,
    answers_all_with,
    client_of,
)


def test_an_application_without_it_has_none() -> None:
    with TestClient(FastAPI(), client=HERE, base_url="http://127.0.0.1") as client:
        assert client.get("/inspector/").status_code == 404


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
        answers_all_with(403, stranger)


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
