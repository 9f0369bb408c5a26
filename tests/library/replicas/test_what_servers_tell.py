"""What a server is by what it answers: without any server."""

from __future__ import annotations

from typing import Any

import pytest

from databases.backends.mysql import replication as mysql
from databases.backends.postgres import replication as postgres
from databases.backends.replication import Sight
from databases.records import Result, Shape
from databases.statements import Bound


class Answering:
    """A connection to a server that answers one question after the other."""

    def __init__(self, *answers: Result) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def fetch(self, bound: Bound, limit: int | None) -> Result:
        self.asked.append(bound.statement.sql)
        return self._answers.pop(0)


def variables(values: dict[str, str]) -> Result:
    return Result(Shape(("Variable_name", "Value")), [*values.items()], False)


NO_CLUSTER = variables({})


async def seen_alone(**settings: str) -> Sight:
    link: Any = Answering(NO_CLUSTER, variables(settings))
    return await mysql.look(link)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0-1-100", {"0": 100}),
        ("0-1-100,1-2-5", {"0": 100, "1": 5}),
        ("0-1-100,\n1-2-5", {"0": 100, "1": 5}),
        ("0-1-100, 1-2-5,", {"0": 100, "1": 5}),
        ("", None),
        ("\n", None),
        (" ", None),
    ],
)
async def test_a_server_s_position_is_the_last_number_of_each_domain(
    text: str, position: dict[str, int] | None
) -> None:
    assert await seen_alone(read_only="OFF", gtid_binlog_pos=text, gtid_slave_pos="0-9-9") == (
        Sight(False, position, position)
    )


@pytest.mark.parametrize("read_only", ["ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"])
async def test_one_that_takes_no_writes_is_where_its_source_has_led_it(read_only: str) -> None:
    seen = await seen_alone(read_only=read_only, gtid_binlog_pos="0-9-9", gtid_slave_pos="0-1-7")
    assert seen == Sight(True, {"0": 7}, {"0": 7})


@pytest.mark.parametrize("read_only", ["ON", "OFF"])
async def test_one_that_has_no_numbers_for_changes_does_not_know_where_it_is(
    read_only: str,
) -> None:
    # As MySQL, which has other variables for them.
    assert await seen_alone(read_only=read_only) == Sight(read_only == "ON", None, None)


NODE = {
    "wsrep_cluster_state_uuid": "cluster",
    "wsrep_last_committed": "7",
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state": "4",
    "wsrep_ready": "ON",
    "wsrep_gcomm_uuid": "node",
}


@pytest.mark.parametrize(
    ("said", "is_replica"),
    [
        ({}, True),
        ({"wsrep_local_state": "2"}, False),  # it gives its state to another one
        ({"wsrep_cluster_status": "non-Primary"}, False),
    ],
)
async def test_a_node_stands_in_for_others_while_it_keeps_up_with_the_majority(
    said: dict[str, str], is_replica: bool
) -> None:
    link: Any = Answering(variables({**NODE, **said}))
    assert await mysql.look(link) == Sight(is_replica, {"cluster": 7}, {"cluster": 7}, "node")
    assert len(link.asked) == 1
    assert "wsrep_sync_wait" not in link.asked[0]


async def test_a_node_is_asked_again_for_what_it_has_once_it_has_caught_up() -> None:
    link: Any = Answering(
        variables(NODE), variables({**NODE, "wsrep_last_committed": "8", "wsrep_local_state": "2"})
    )
    seen = await mysql.look(link, caught_up=True)
    assert seen == Sight(False, {"cluster": 8}, {"cluster": 8}, "node")
    assert "wsrep_sync_wait = 15" in link.asked[1]


async def test_a_node_that_is_not_ready_is_asked_as_one_alone() -> None:
    settings = {"read_only": "OFF", "gtid_binlog_pos": "0-1-7"}
    for caught_up in (False, True):
        link: Any = Answering(variables({**NODE, "wsrep_ready": "OFF"}), variables(settings))
        seen = await mysql.look(link, caught_up=caught_up)
        assert seen == Sight(False, {"0": 7}, {"0": 7})


@pytest.mark.parametrize(
    ("row", "sight"),
    [
        ((False, 5, 6), Sight(False, {"": 5}, {"": 6})),
        ((True, 5, 5), Sight(True, {"": 5}, {"": 5})),
        # A place in the log that is 0 is one too.
        ((True, 0, 0), Sight(True, {"": 0}, {"": 0})),
        # It has replayed nothing yet.
        ((True, None, None), Sight(False, None, None)),
    ],
)
async def test_postgresql_tells_what_it_shows_and_what_was_written(
    row: tuple[object, ...], sight: Sight
) -> None:
    link: Any = Answering(Result(Shape(("is_replica", "shown", "written")), [row], False))
    assert await postgres.look(link) == sight
