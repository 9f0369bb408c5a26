"""What databases on servers can do to a service that a file cannot."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from databases import DatabaseURL
from tests.servers.server import Server
from tests.service.outside import connect, locked
from users_service import migrations, repository
from users_service.app import create_app
from users_service.settings import Settings

if TYPE_CHECKING:
    from tests.service.conftest import Start

Patience = Callable[[Callable[[], object]], None]

# "s:cr/@%t", as it is written in a URL.
PASSWORD = "s%3Acr%2F%40%25t"

DRIVERS = [
    pytest.param("postgresql", "postgresql", id="asyncpg"),
    pytest.param("postgresql", "postgresql+psycopg", id="psycopg"),
    pytest.param("mariadb", "mysql", id="asyncmy"),
    pytest.param("mariadb", "mysql+aiomysql", id="aiomysql"),
]

SESSIONS = {
    "postgresql": "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()",
    "mariadb": "SELECT count(*) - 1 FROM information_schema.processlist WHERE db = database()",
}


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(f"{kind}_server")
    return server


@pytest.fixture
def url(kind: str, scheme: str, database_url: str) -> str:
    """An empty database, by a driver, as a user with a password."""
    url = DatabaseURL(database_url).replace(scheme=scheme)
    if kind == "postgresql":
        # It asks for none, and so takes any.
        return str(url.replace(netloc=f"postgres:{PASSWORD}@127.0.0.1:{url.port}"))
    with closing(connect(database_url)) as connection:
        quoted = "IDENTIFIED BY 's:cr/@%t'"
        connection.cursor().execute(f"GRANT ALL ON `{url.database}`.* TO ada {quoted}")
    return str(url.replace(netloc=f"ada:{PASSWORD}@127.0.0.1:{url.port}"))


@pytest.mark.parametrize(("kind", "scheme"), DRIVERS)
def test_a_service_outlives_the_restart_of_its_database(
    server: Server, url: str, serve: "Start", patience: Patience
) -> None:
    migrations.upgrade(url)
    running = serve("--database-url", url)
    client = running.client()
    patience(lambda: client.get("/health/ready").status_code == 200)
    first, last = (client.post("/users", json={"name": name}).json() for name in ("Ada", "Grace"))
    assert client.delete(f"/users/{last['id']}").status_code == 204

    server.stop("immediate")
    try:
        for response in (
            client.get("/health/ready"),
            client.get("/users"),
            client.post("/users", json={"name": "Grace"}),
            client.patch(f"/users/{first['id']}", json={"name": "Countess"}),
        ):
            assert response.status_code == 503
            assert response.headers["content-type"] == "application/problem+json"
        ready = client.get("/health/ready").json()["detail"]
        assert ready == "The database cannot be reached."
        assert client.get("/health/live").status_code == 200
    finally:
        server.start()

    assert client.get("/users").json()["users"] == [first]
    assert client.get("/health/ready").status_code == 200
    assert client.post("/users", json={"name": "Grace"}).json()["id"] > last["id"]
    assert running.stop() == 0
    told = running.output.read_text() + running.errors.read_text()
    assert "Traceback" not in told
    assert PASSWORD not in told
    assert "s:cr/@%t" not in told


@pytest.mark.parametrize(("kind", "scheme"), DRIVERS)
def test_a_service_that_ends_leaves_no_session_behind(
    kind: str, database_url: str, url: str, patience: Patience
) -> None:
    migrations.upgrade(url)
    with closing(connect(database_url)) as connection:

        def sessions() -> int:
            with connection.cursor() as cursor:
                cursor.execute(SESSIONS[kind])
                ((count,),) = cursor.fetchall()
            return int(count)

        with TestClient(create_app(Settings(database_url=url))) as client:
            with ThreadPoolExecutor(8) as pool:
                answers = pool.map(client.get, ["/users"] * 50)
                assert {answer.status_code for answer in answers} == {200}
            assert sessions()
        # Their goodbyes are on their way.
        patience(lambda: sessions() == 0)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_service_whose_connections_are_all_in_use_says_so_and_recovers(
    migrated_url: str, patience: Patience
) -> None:
    settings = Settings(database_url=f"{migrated_url}?max_size=2&pool_timeout=0.3")
    answers: list[Any] = []
    with TestClient(create_app(settings)) as client:
        with locked(migrated_url):
            busy = [
                threading.Thread(
                    target=lambda name: answers.append(client.post("/users", json={"name": name})),
                    args=(name,),
                )
                for name in ("Ada", "Grace")
            ]
            for each in busy:
                each.start()
            patience(lambda: client.get("/users").status_code == 503)
            response = client.get("/health/ready")
            assert response.status_code == 503
            assert response.json()["detail"] == "The database does not answer in time."
            assert client.delete("/users/1").status_code == 503
        for each in busy:
            each.join()
        assert [answer.status_code for answer in answers] == [201, 201]
        assert client.get("/health/ready").status_code == 200
        assert len(client.get("/users").json()["users"]) == 2


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_service_with_more_to_do_than_may_wait_says_when_to_come_again(
    migrated_url: str, patience: Patience
) -> None:
    settings = Settings(database_url=f"{migrated_url}?max_size=1&max_waiting=1")
    app = create_app(settings)
    with TestClient(app) as client, ThreadPoolExecutor(2) as others:
        with locked(migrated_url):
            names = [{"name": "Ada"}, {"name": "Grace"}]
            answers = [others.submit(client.post, "/users", json=name) for name in names]
            # One has the connection, the other one waits for it.
            patience(lambda: app.state.users._database.statistics().waiting)
            response = client.get("/users")
            assert response.status_code == 503
            assert "more requests than can be served" in response.json()["detail"]
            assert response.headers["retry-after"] == "1"
        assert [answer.result().status_code for answer in answers] == [201, 201]
        assert len(client.get("/users").json()["users"]) == 2


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_service_whose_database_does_not_answer_says_so_in_time(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_SECONDS_TO_ANSWER", 0.3)
    with TestClient(create_app(Settings(database_url=migrated_url))) as client:
        ada = client.post("/users", json={"name": "Ada"}).json()
        at = f"/users/{ada['id']}"
        with locked(migrated_url, for_readers=True):
            for response in (
                client.get(at),
                client.get("/users"),
                client.post("/users", json={"name": "Grace"}),
                client.patch(at, json={"name": "Countess"}),
                client.delete(at),
            ):
                assert response.status_code == 503
                assert response.headers["retry-after"] == "1"
        assert client.get(at).json() == ada
