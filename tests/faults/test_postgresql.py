"""The primary of a PostgreSQL cluster dies under clients, and under the users service."""

from __future__ import annotations

import pytest

from faults import postgresql, service
from faults.evidence.report import Report
from tests.servers.replicated_postgresql import ReplicatedPostgreSQL

AT_EASE = 20.0
"""Seconds that clients may take here: how long they do take is for scripts/faults to tell."""


@pytest.mark.parametrize("driver", postgresql.DRIVERS)
async def test_when_the_primary_dies_no_acknowledged_write_is_lost_and_clients_come_back(
    replicated_postgresql: ReplicatedPostgreSQL, driver: str
) -> None:
    report = Report()
    await postgresql.kill_primaries(replicated_postgresql, driver, 1, 10, report, AT_EASE)
    assert not report.broken


async def test_when_the_primary_dies_two_services_answer_503_for_a_moment_and_lose_no_user(
    replicated_postgresql: ReplicatedPostgreSQL,
) -> None:
    replicated_postgresql.primary.create_database("users")
    report = Report()
    with service.instances(replicated_postgresql.url_of("users"), 2) as ports:
        await service.kill_primaries(replicated_postgresql, ports, 1, 16, report, AT_EASE)
    assert not report.broken
