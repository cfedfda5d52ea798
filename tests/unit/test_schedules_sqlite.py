"""Schedules in SQLite, in memory and in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forgehand.infrastructure.sql.schedules import SqlSchedules
from tests.contracts.schedules import SchedulesContract, ScheduleStore
from tests.stores import job_store, migrated


class TestSqliteSchedules(SchedulesContract):
    @pytest.fixture(params=["memory", "file"])
    async def kept(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ScheduleStore]:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'forgehand.db'}"
        async with migrated(url) as database:
            schedules = SqlSchedules(database)
            yield ScheduleStore(schedules, schedules, job_store(database))
