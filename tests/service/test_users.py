"""The users' part of the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from users_service import names
from users_service.app import create_app
from users_service.settings import Settings

# So one kind of them is enough.
NO_DATABASE_IS_ASKED = pytest.mark.parametrize("kind", ["sqlite"])


def add(client: TestClient, *given_names: str) -> list[int]:
    """Add users; their ids."""
    ids = []
    for name in given_names:
        response = client.post("/users", json={"name": name})
        assert response.status_code == 201, response.text
        ids.append(response.json()["id"])
    return ids


def listed(client: TestClient, **query: Any) -> list[str]:
    """The names on the first page."""
    response = client.get("/users", params=query)
    assert response.status_code == 200, response.text
    return [user["name"] for user in response.json()["users"]]


def test_a_new_user_is_answered_with_201_and_their_address(client: TestClient) -> None:
    response = client.post("/users", json={"name": "Ada Lovelace"})
    assert response.status_code == 201
    user = response.json()
    assert response.headers["location"] == f"/users/{user['id']}"
    assert user["name"] == "Ada Lovelace"
    assert client.get(response.headers["location"]).json() == user


def test_a_new_user_was_created_now_and_in_utc(client: TestClient) -> None:
    text = client.post("/users", json={"name": "Ada"}).json()["created_at"]
    assert text.endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(minutes=1)


def test_a_name_is_stored_trimmed_and_composed(client: TestClient) -> None:
    assert client.post("/users", json={"name": " Ame\u0301lie "}).json()["name"] == "Am\u00e9lie"


@hypothesis_settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(min_size=1, max_size=names.MAX_LENGTH))
def test_what_is_stored_comes_back_and_is_found(client: TestClient, name: str) -> None:
    # As JSON in ASCII, which can carry even what is no text at all.
    response = client.post(
        "/users", content=json.dumps({"name": name}), headers={"Content-Type": "application/json"}
    )
    try:
        stored = names.clean(name)
    except ValueError:
        assert response.status_code == 422
        return
    assert response.status_code == 201
    address = response.headers["location"]
    assert client.get(address).json()["name"] == stored
    assert listed(client) == [stored]
    assert listed(client, q=stored) == [stored]
    assert client.delete(address).status_code == 204


@pytest.mark.parametrize(
    "name",
    [
        "Robert'); DROP TABLE users;--",
        "<script>alert(1)</script>",
        "%s %(name)s {name} :name ?",
        "علي",
        "👩\u200d👩\u200d👧\u200d👦",
        "\\",
    ],
)
def test_a_hostile_or_foreign_name_is_only_a_name(client: TestClient, name: str) -> None:
    add(client, name)
    assert listed(client) == [name]
    assert listed(client, q=name) == [name]


@pytest.mark.parametrize("taken", ["Ada", "ADA", " ada ", "Ａda", "A\u200bda"])
def test_a_taken_name_is_answered_with_409(client: TestClient, taken: str) -> None:
    add(client, "Ada")
    response = client.post("/users", json={"name": taken})
    assert response.status_code == 409
    assert taken.strip() in response.json()["detail"]
    assert listed(client) == ["Ada"]


@NO_DATABASE_IS_ASKED
@pytest.mark.parametrize(
    "name",
    ["", "   ", "x" * 201, "a\nb", "a\x00b", "\u202ea", "a\u2028b", "\u200b", None, 1, ["a"]],
)
def test_what_is_no_name_is_answered_with_422(client: TestClient, name: object) -> None:
    add(client, "Ada")
    for response in (
        client.post("/users", json={"name": name}),
        client.patch("/users/1", json={"name": name}),
    ):
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == "name"
    assert listed(client) == ["Ada"]


@NO_DATABASE_IS_ASKED
def test_fields_that_nobody_asked_for_are_answered_with_422(client: TestClient) -> None:
    response = client.post("/users", json={"name": "Ada", "admin": True})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "admin"


def test_a_user_can_be_renamed(client: TestClient) -> None:
    (ada,) = add(client, "Ada")
    before = client.get(f"/users/{ada}").json()
    response = client.patch(f"/users/{ada}", json={"name": "Countess Lovelace"})
    assert response.status_code == 200
    assert response.json() == {**before, "name": "Countess Lovelace"}
    assert client.get(f"/users/{ada}").json() == response.json()
    assert listed(client, q="ada") == []
    add(client, "Ada")


def test_a_user_can_be_renamed_to_another_spelling_of_the_same_name(client: TestClient) -> None:
    (ada,) = add(client, "ada")
    assert client.patch(f"/users/{ada}", json={"name": "Ada"}).json()["name"] == "Ada"


def test_renaming_to_the_name_of_another_user_is_answered_with_409(client: TestClient) -> None:
    _, grace = add(client, "Ada", "Grace")
    response = client.patch(f"/users/{grace}", json={"name": "ADA"})
    assert response.status_code == 409
    assert listed(client) == ["Ada", "Grace"]


def test_what_many_want_at_once_only_one_gets(client: TestClient) -> None:
    def at_once(requests: list[tuple[str, str]], **rest: Any) -> list[int]:
        with ThreadPoolExecutor(len(requests)) as pool:
            return sorted(
                pool.map(lambda each: client.request(*each, **rest).status_code, requests)
            )

    assert at_once([("POST", "/users")] * 6, json={"name": "Ada"}) == [201] + [409] * 5
    others = [f"/users/{user_id}" for user_id in add(client, "b", "c", "d", "e", "f", "g")]
    renaming = [("PATCH", address) for address in others]
    assert at_once(renaming, json={"name": "Grace"}) == [200] + [409] * 5
    assert at_once([("DELETE", others[0])] * 6) == [204] + [404] * 5
    assert len(listed(client)) == 6


def test_a_deleted_user_is_gone(client: TestClient) -> None:
    (ada,) = add(client, "Ada")
    response = client.delete(f"/users/{ada}")
    assert response.status_code == 204
    assert response.content == b""
    assert client.get(f"/users/{ada}").status_code == 404
    assert listed(client) == []


def test_the_id_of_a_deleted_user_is_never_given_again(client: TestClient) -> None:
    _, grace = add(client, "Ada", "Grace")
    client.delete(f"/users/{grace}")
    assert add(client, "Grace") == [grace + 1]


@pytest.mark.parametrize("user_id", [1, 2**63 - 1])
def test_an_unknown_user_is_answered_with_404(client: TestClient, user_id: int) -> None:
    address = f"/users/{user_id}"
    for response in (
        client.get(address),
        client.patch(address, json={"name": "Ada"}),
        client.delete(address),
    ):
        assert response.status_code == 404
        assert response.json()["detail"] == f"There is no user {user_id}."


@NO_DATABASE_IS_ASKED
@pytest.mark.parametrize("user_id", ["0", "-1", str(2**63), "9" * 5000, "ada", "1.5"])
def test_what_is_no_id_is_answered_with_422(client: TestClient, user_id: str) -> None:
    address = f"/users/{user_id}"
    for response in (
        client.get(address),
        client.patch(address, json={"name": "Ada"}),
        client.delete(address),
    ):
        assert response.status_code == 422
        assert response.json()["errors"][0]["in"] == "path"


def test_the_newest_user_is_listed_last(client: TestClient) -> None:
    add(client, "Zoe", "Ada", "Mia")
    assert listed(client) == ["Zoe", "Ada", "Mia"]


def test_pages_hold_every_user_once(client: TestClient) -> None:
    everybody = [f"user {number}" for number in range(7)]
    add(client, *everybody)
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = client.get("/users", params={"after": after, "limit": 3}).json()
        assert 1 <= len(page["users"]) <= 3
        seen += [user["name"] for user in page["users"]]
        after = page["next_after"]
    assert seen == everybody


def test_a_full_last_page_names_no_next_one(client: TestClient) -> None:
    add(client, "Ada", "Grace")
    assert client.get("/users", params={"limit": 2}).json()["next_after"] is None


def test_pages_stay_in_step_while_users_come_and_go(client: TestClient) -> None:
    ids = add(client, "a", "b", "c", "d")
    page = client.get("/users", params={"limit": 2}).json()
    client.delete(f"/users/{ids[0]}")
    client.delete(f"/users/{ids[1]}")
    add(client, "e")
    assert listed(client, after=page["next_after"]) == ["c", "d", "e"]


def test_a_page_is_as_long_as_the_settings_say(migrated_url: str) -> None:
    with TestClient(create_app(Settings(database_url=migrated_url, page_size=2))) as client:
        add(client, "a", "b", "c")
        assert listed(client) == ["a", "b"]
        assert listed(client, limit=3) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("ada", ["Ada Lovelace"]),
        ("LOVE", ["Ada Lovelace"]),
        ("софья", ["СОФЬЯ Ковалевская"]),
        ("strasse", ["Straße"]),
        ("STRAẞE", ["Straße"]),
        ("%", ["100%"]),
        ("_", ["snake_case"]),
        ("/", ["a/b"]),
        ("\\", []),
        ("nobody", []),
    ],
)
def test_search_is_literal_and_blind_to_case(
    client: TestClient, sought: str, found: list[str]
) -> None:
    add(client, "Ada Lovelace", "СОФЬЯ Ковалевская", "Straße", "snake_case", "a/b", "100%")
    assert listed(client, q=sought) == found


def test_a_search_has_pages_too(client: TestClient) -> None:
    add(client, "ann", "bob", "anna", "hannah")
    page = client.get("/users", params={"q": "ann", "limit": 2}).json()
    assert [user["name"] for user in page["users"]] == ["ann", "anna"]
    assert listed(client, q="ann", after=page["next_after"]) == ["hannah"]


@NO_DATABASE_IS_ASKED
@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=9223372036854775808",
        "limit=0",
        "limit=201",
        "limit=x",
        "q=%00",
        "q=" + "x" * 201,
    ],
)
def test_a_query_out_of_bounds_is_answered_with_422(client: TestClient, query: str) -> None:
    response = client.get(f"/users?{query}")
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert (error["in"], error["field"]) == ("query", query.split("=")[0])
