"""Some hundred cancellations at any moment, on every backend: see ``scripts/faults cancel``."""

from __future__ import annotations

from faults.evidence.cancellation_storm import CancellationStorm
from tests.library.kinds import Kind
from tests.library.places import Place


async def test_whoever_is_cancelled_at_any_moment_leaves_nothing_behind(
    kind: Kind, place: Place, url: str
) -> None:
    counts = await CancellationStorm(kind, place, url).run(500)
    assert counts.cancellations >= 500
    assert counts.written > 0
