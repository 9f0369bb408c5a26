"""The history finds what a consistent database never shows."""

from __future__ import annotations

from faults.evidence.history import (
    LATEST,
    MONOTONIC,
    OWN_WRITES,
    Entry,
    History,
    Read,
    Shown,
    Transfer,
)

TRANSFERS = [
    Transfer(client=1, number=1, started=1.0, ended=2.0, versions={0: 1, 1: 1}),
    Transfer(client=2, number=2, started=3.0, ended=4.0, versions={0: 2, 1: 2}),
]
ENTRIES = [Entry(1, 0, 1, -5), Entry(1, 1, 1, 5), Entry(2, 0, 2, -7), Entry(2, 1, 2, 7)]
FIRST = {0: Shown(1, 95), 1: Shown(1, 105)}
FINAL = {0: Shown(2, 88), 1: Shown(2, 112)}


def history(*reads: Read) -> History:
    """Two transfers between two accounts, and some reads."""
    return History(2, 100, list(reads), list(TRANSFERS))


def broken(history: History) -> set[str]:
    """The promises that reads broke; none is broken that every database keeps."""
    assert history.broken(ENTRIES, FINAL) == []
    return {promise for promise, found in history.late().items() if found}


def test_a_consistent_history_is_found_to_be_one() -> None:
    reads = [
        Read(1, 2.1, 2.2, FIRST),
        Read(2, 3.5, 3.9, FIRST),  # while the second transfer went on
        Read(1, 3.5, 3.9, FINAL),
        Read(2, 4.1, 4.2, FINAL),
    ]
    assert not broken(history(*reads))


def test_a_transfer_of_unknown_fate_may_have_been_kept() -> None:
    entries = [*ENTRIES, Entry(3, 0, 3, -1), Entry(3, 1, 3, 1)]
    final = {0: Shown(3, 87), 1: Shown(3, 113)}
    assert history().broken(entries, final) == []


def test_a_torn_read_is_found() -> None:
    torn = Read(3, 3.5, 3.9, {0: FIRST[0], 1: FINAL[1]})
    (promise,) = history(torn).broken(ENTRIES, FINAL)
    assert promise == "read torn, 1 times: a sum of 207, not 200"


def test_a_lost_update_is_found() -> None:
    # Both of them read version 0, and made it version 1.
    entries = [Entry(1, 0, 1, -5), Entry(1, 1, 1, 5), Entry(2, 0, 1, -7), Entry(2, 1, 1, 7)]
    final = {0: Shown(1, 93), 1: Shown(1, 107)}
    transfers = [TRANSFERS[0], Transfer(2, 2, 1.5, 2.5, {0: 1, 1: 1})]
    (promise,) = History(2, 100, [], transfers).broken(entries, final)
    assert promise.startswith("update lost, 2 times: version 1 of account 0 was made 2 times")


def test_an_acknowledged_transfer_that_is_gone_is_found() -> None:
    final = {0: Shown(1, 95), 1: Shown(1, 105)}
    (promise,) = history().broken(ENTRIES[:2], final)
    assert "made by transfer 2, is gone" in promise


def test_half_a_transfer_is_found() -> None:
    final = {0: Shown(3, 87), 1: Shown(2, 112)}
    (promise,) = history(Read(3, 5.0, 5.1, final)).broken([*ENTRIES, Entry(3, 0, 3, -1)], final)
    assert promise.startswith("read torn")


def test_a_value_that_was_rolled_back_is_found() -> None:
    dirty = Read(3, 3.5, 3.9, {0: Shown(2, 50)})
    (promise,) = history(dirty).broken(ENTRIES, FINAL)
    assert promise == "seen and never written, 1 times: 50 in account 0 at version 2"


def test_a_client_that_does_not_see_its_own_write_is_found() -> None:
    assert broken(history(Read(2, 4.1, 4.2, FIRST))) == {OWN_WRITES, LATEST}


def test_a_read_that_is_not_of_the_latest_is_found() -> None:
    assert broken(history(Read(3, 4.1, 4.2, FIRST))) == {LATEST}


def test_going_back_in_time_is_found() -> None:
    reads = [Read(3, 3.5, 3.6, FINAL), Read(3, 3.7, 3.8, FIRST)]
    assert broken(history(*reads)) == {MONOTONIC}


def test_what_one_client_saw_another_one_need_not_see_before_it_is_acknowledged() -> None:
    reads = [Read(3, 3.5, 3.6, FINAL), Read(4, 3.7, 3.8, FIRST)]
    assert not broken(history(*reads))
