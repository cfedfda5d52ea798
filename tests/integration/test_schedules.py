"""Schedules of every second under real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.schedule_soak import soak
from tests.stores import migrated


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'forgehand.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with migrated(url):
        pass
    return url


async def test_each_due_second_is_fired_once_or_stated_as_missed_while_a_process_is_killed(url: str) -> None:
    accounts = await soak(url, seconds=8)
    told = "\n".join(map(str, accounts))
    assert all(account.holds for account in accounts), told
    for account in accounts:
        assert account.due >= 6, told
        assert account.fired >= 1, told
    allowed = next(it for it in accounts if it.name == "overlap-allow")
    assert allowed.missed == 0, told
