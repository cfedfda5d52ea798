"""SQLite, in memory and in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forgehand.infrastructure.sql.database import Database
from tests.contracts.documents import Documents, DocumentsContract
from tests.contracts.job_store import JobStoreContract, Store
from tests.stores import document_store, job_store, migrated


@pytest.fixture(params=["memory", "file"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'forgehand.db'}"
    async with migrated(url) as database:
        yield database


class TestSqliteJobs(JobStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> Store:
        return job_store(database)


class TestSqliteDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self, database: Database) -> Documents:
        return document_store(database)
