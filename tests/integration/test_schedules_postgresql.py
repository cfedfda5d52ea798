"""Schedules in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from forgehand.infrastructure.sql.schedules import SqlSchedules
from tests.contracts.schedules import SchedulesContract, ScheduleStore
from tests.stores import job_store, migrated


class TestPostgresqlSchedules(SchedulesContract):
    @pytest.fixture
    async def kept(self, postgres_url: str) -> AsyncIterator[ScheduleStore]:
        async with migrated(postgres_url) as database:
            schedules = SqlSchedules(database)
            yield ScheduleStore(schedules, schedules, job_store(database))
