"""A real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from forgehand.infrastructure.sql.database import Database
from tests.contracts.documents import Documents, DocumentsContract
from tests.contracts.job_store import JobStoreContract, Store
from tests.stores import document_store, job_store, migrated


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with migrated(postgres_url) as database:
        yield database


class TestPostgresqlJobs(JobStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> Store:
        return job_store(database)


class TestPostgresqlDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self, database: Database) -> Documents:
        return document_store(database)
