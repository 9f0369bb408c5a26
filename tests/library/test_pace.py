"""The pace of a queue, by a clock of the imagination."""

from __future__ import annotations

import random

import pytest

from databases.backends.pace import Pace


class Rush:
    """A queue that is never empty, and the pace that somebody who comes at a moment reads."""

    def __init__(self, at_once: int = 10, limit: float = 3.0) -> None:
        self.now = 1000.0
        self.pace = Pace(at_once, limit)
        self.pace.begin(self.now)

    def passes(self, seconds: float, handed: int = 0) -> float:
        self.now += seconds
        self.pace.handed += handed
        return self.pace.seconds(self.now)

    def flows(self, seconds: float, times: int, handed: int = 1) -> list[float]:
        return [self.passes(seconds, handed) for _ in range(times)]


@pytest.mark.parametrize("at_once", [1, 10, 100])
def test_it_is_the_time_from_one_hand_over_to_the_next(at_once: int) -> None:
    assert Rush(at_once, limit=50).flows(0.01, 1000)[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(("limit", "known"), [(3.0, 80), (60.0, 400)])
def test_it_is_not_known_before_there_were_two_spans(limit: float, known: int) -> None:
    # Each of four rounds of ten, and no less than a thirtieth of what somebody may wait.
    paces = Rush(limit=limit).flows(0.01, 2 * known)
    assert paces[known + 1] == pytest.approx(0.01)
    assert set(paces[: known - 2]) == {0.0}


def test_connections_that_come_back_in_bunches_are_no_slower_than_one_by_one() -> None:
    rush = Rush(limit=10)
    # Somebody comes just before each bunch, and somebody just after it.
    paces = [rush.passes(0.0999) + rush.passes(0.0001, 10) for _ in range(100)][20:]
    assert max(paces) / 2 < 0.013
    assert min(paces) / 2 > 0.0075


@pytest.mark.parametrize("seconds", [0.3, 30.0])
def test_one_halt_however_long_is_not_held_against_anybody(seconds: float) -> None:
    rush = Rush()
    rush.flows(0.01, 200)
    paces = [rush.passes(seconds), *rush.flows(0.01, 200)]
    assert max(paces) == pytest.approx(0.01)


def test_those_who_come_by_the_thousand_in_one_turn_of_the_event_loop_slow_nothing_down() -> None:
    rush = Rush(limit=30)
    # Nothing can be handed over as long as they are let in, which takes a while.
    assert set(rush.flows(0.0001, 30_000, handed=0)) == {0.0}
    assert max(rush.flows(0.0001, 30_000)) == pytest.approx(0.0001, rel=0.1)


def test_of_a_server_that_answers_nothing_it_is_known_within_half_the_limit() -> None:
    rush = Rush(limit=4)
    rush.flows(0.001, 1000)
    paces = rush.flows(0.1, 20, handed=0)
    assert paces[0] == pytest.approx(0.001, rel=0.1)
    assert paces[-1] >= 0.5


def test_nor_need_it_ever_have_answered_for_that() -> None:
    assert Rush(limit=4).flows(0.1, 20, handed=0)[-1] >= 0.5


def test_it_follows_work_that_gets_slower_or_faster() -> None:
    rush = Rush()
    for seconds in (0.001, 0.1, 0.002):
        assert rush.flows(seconds, 300)[-1] == pytest.approx(seconds, rel=0.1)


def test_of_another_rush_nothing_is_believed() -> None:
    rush = Rush()
    assert rush.flows(1.0, 100)[-1] == 1.0
    rush.pace.begin(rush.now)
    assert set(rush.flows(0.001, 79)) == {0.0}


@pytest.mark.parametrize("looked_at", [1, 7, 500])
def test_how_often_it_is_looked_at_makes_no_difference(looked_at: int) -> None:
    dice = random.Random(5)
    rush = Rush(limit=10)
    for _ in range(5000 // looked_at):
        pace = rush.passes(sum(dice.expovariate(100) for _ in range(looked_at)), looked_at)
    assert pace == pytest.approx(0.01, rel=0.4)


def test_where_one_may_wait_for_ever_it_is_never_known() -> None:
    assert set(Rush(limit=float("inf")).flows(10.0, 100)) == {0.0}
