"""The ledger finds what a database must not do."""

from __future__ import annotations

import asyncio

import pytest

from databases import exceptions
from faults.evidence.ledger import Ledger


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def raises(error: Exception) -> None:
    raise error


async def never_ends(number: int) -> None:
    await asyncio.Event().wait()


async def filled() -> Ledger:
    """1 was acknowledged, 2 failed for certain, of 3 nobody knows."""
    ledger = Ledger()
    assert await ledger.write(0, lambda number: asyncio.sleep(0))
    assert not await ledger.write(
        0, lambda number: raises(exceptions.TransactionConflictError("in the way"))
    )
    assert not await ledger.write(0, lambda number: raises(exceptions.CommitUnknown("cut")))
    return ledger


@pytest.mark.parametrize("kept", [[1], [1, 3]])
async def test_what_was_acknowledged_is_there_and_the_unknown_may_be(kept: list[int]) -> None:
    assert (await filled()).broken(kept) == []


@pytest.mark.parametrize(
    ("kept", "promise"),
    [
        ([3], "acknowledged and lost: 1"),
        ([1, 1], "there twice: 1"),
        ([1, 3, 3], "there twice: 3"),
        ([1, 2], "failed for certain and there: 2"),
        ([1, 4], "there and never written: 4"),
    ],
)
async def test_a_broken_promise_is_found(kept: list[int], promise: str) -> None:
    assert (await filled()).broken(kept) == [promise]


async def test_a_write_that_hangs_is_counted_and_its_fate_unknown() -> None:
    ledger = Ledger(patience=0.01)
    assert not await ledger.write(0, never_ends)
    assert ledger.hung == 1
    assert ledger.unknown == {1}
    assert len(ledger.broken([])) == 1


async def test_an_error_of_no_class_of_ours_is_a_broken_promise() -> None:
    ledger = Ledger()
    await ledger.write(0, lambda number: raises(OSError("cut")))
    assert "OSError" in ledger.broken([])[0]


async def test_clients_are_back_when_the_last_of_them_is() -> None:
    ledger = Ledger()
    loop = asyncio.get_running_loop()
    for client in (0, 1):
        await ledger.write(client, lambda number: asyncio.sleep(0))
    fault = loop.time()
    await ledger.write(0, lambda number: asyncio.sleep(0))
    assert ledger.resumed(fault) is None
    await ledger.write(1, lambda number: asyncio.sleep(0.01))
    seconds = ledger.resumed(fault)
    assert seconds is not None
    assert seconds >= 0.01
    assert ledger.longest_pause(fault) >= seconds
