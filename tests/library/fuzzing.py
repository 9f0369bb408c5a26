"""How long fuzzers look: some seconds in all, each time at the same.

With FUZZ=50 in the environment fifty times as long, each time at something else: that is how
``scripts/faults fuzz`` runs them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("FUZZ", "1"))

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Surrogates and NULs too."""

LONG = 200_000
"""Characters that have to be read in PATIENCE: what takes the square of their time takes hours."""

PATIENCE = 20.0


def examples(count: int) -> settings:
    """Look at so many examples."""
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
