"""The options of the pool: what they are by default, as words in a URL, and under old names."""

from __future__ import annotations

import math
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.pool_options import PoolOptions


def test_by_default_one_to_ten_connections_and_half_a_minute() -> None:
    assert PoolOptions.take({}) == PoolOptions(
        min_size=1,
        max_size=10,
        pool_timeout=30.0,
        max_waiting=0,
        max_lifetime=3600.0,
        max_idle=300.0,
    )


def test_what_is_the_pools_is_taken_and_the_rest_is_left() -> None:
    given: dict[str, Any] = {
        "min_size": 2,
        "max_size": "4",
        "pool_timeout": "0.5",
        "max_waiting": "100",
        "max_lifetime": 60,
        "max_idle": 5,
        "ssl": "require",
    }
    assert PoolOptions.take(given) == PoolOptions(2, 4, 0.5, 100, 60.0, 5.0)
    assert given == {"ssl": "require"}


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"max_size": 1}, (1, 1)),
        ({"max_size": 5}, (1, 5)),
        ({"min_size": 20}, (20, 20)),
        ({"min_size": 3}, (3, 10)),
        ({"min_size": 0}, (0, 10)),
        ({"min_size": "3", "max_size": "3"}, (3, 3)),
    ],
)
def test_one_end_of_the_size_moves_the_other(given: dict[str, Any], sizes: tuple[int, int]) -> None:
    options = PoolOptions.take(given)
    assert (options.min_size, options.max_size) == sizes
    assert type(options.min_size) is type(options.max_size) is int


@pytest.mark.parametrize("value", [0, -1, "0", "-1"], ids=repr)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("max_inactive_connection_lifetime", "max_idle"), ("pool_recycle", "max_lifetime")],
)
def test_old_names_are_understood_and_their_nought_means_never(
    theirs: str, ours: str, value: object
) -> None:
    assert getattr(PoolOptions.take({theirs: "7.5"}), ours) == 7.5
    assert getattr(PoolOptions.take({theirs: value}), ours) == math.inf
    assert getattr(PoolOptions.take({theirs: 7, ours: 8}), ours) == 8


def test_max_queries_of_databases_0_9_is_taken_and_does_nothing() -> None:
    given = {"max_queries": 50_000}
    assert PoolOptions.take(given) == PoolOptions()
    assert given == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_size": "many"}, "The option max_size is a number from 0 on, not 'many'"),
        ({"max_size": None}, "The option max_size is a number from 0 on, not None"),
        ({"pool_timeout": -1}, "The option pool_timeout is a number from 0 on, not -1"),
        ({"pool_timeout": "nan"}, "The option pool_timeout is a number from 0 on"),
        ({"max_waiting": []}, "The option max_waiting is a number from 0 on"),
        ({"max_lifetime": "an hour"}, "The option max_lifetime is a number from 0 on"),
        ({"pool_recycle": -2}, "The option pool_recycle is a number from -1 on, not -2"),
        ({"min_size": 1.5}, "The option min_size is a whole number, not 1.5"),
        ({"max_size": "inf"}, "The option max_size is a whole number"),
        ({"max_size": 0}, "min_size=0 and max_size=0 do not fit together"),
        ({"min_size": 6, "max_size": 5}, "min_size=6 and max_size=5 do not fit together"),
    ],
)
def test_what_cannot_be_is_told_with_the_option_and_the_value(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(exceptions.UnknownOptionError) as caught:
        PoolOptions.take(given)
    assert said in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgresql+psycopg", "mysql+asyncmy", "mysql+aiomysql"]
)
async def test_they_are_read_from_the_url_and_keywords_win(scheme: str) -> None:
    url = f"{scheme}://somebody@127.0.0.1:1/nothing?min_size=2&max_size=nonsense&max_waiting=7"
    with pytest.raises(exceptions.UnknownOptionError, match="max_size is a number"):
        await Database(url).connect()
    database = Database(url, max_size=3)
    with pytest.raises(exceptions.OperationalError):
        await database.connect()
    options = database._engine._backend._options  # type: ignore[union-attr]
    assert (options.min_size, options.max_size, options.max_waiting) == (2, 3, 7)
