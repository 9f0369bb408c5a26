"""With a token the inspector answers whoever knows it, and nothing tells it."""

from __future__ import annotations

import hmac
import logging

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from databases import Database
from databases.inspector import Inspector
from tests.inspector.guard.conftest import (
    DO,
    ELSEWHERE,
    MISSING,
    ORIGIN,
    READ,
    TOKEN,
    answers_all_with,
    client_of,
    create_app,
    protects,
)


def test_with_a_token_nothing_is_answered_without_it_not_even_here() -> None:
    with client_of(create_app(TOKEN)) as client:
        answers_all_with(401, client)


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
