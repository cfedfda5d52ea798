"""Choosing jobs, over SQLite in memory and in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.job_selection import JobSelectionContract
from tests.contracts.job_store import Store
from tests.stores import job_store, migrated


class TestSqliteSelection(JobSelectionContract):
    @pytest.fixture(params=["memory", "file"])
    async def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}"
        async with migrated(url) as database:
            yield job_store(database)
