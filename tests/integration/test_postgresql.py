"""A real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event

from forgehand.application.ports.jobs import StoreOutdated, StoreUnavailable
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import HEAD, prepare, upgrade
from tests.contracts.documents import Documents, DocumentsContract
from tests.contracts.job_store import JobStoreContract, Store
from tests.contracts.schema import SchemaContract
from tests.services import Postgres
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


class TestPostgresqlSchema(SchemaContract):
    @pytest.fixture
    async def empty(self, postgres_url: str) -> AsyncIterator[Database]:
        database = Database(postgres_url)
        yield database
        await database.close()

    async def test_somebodys_server_is_not_upgraded_unasked(self, empty: Database) -> None:
        with pytest.raises(StoreOutdated, match="forgehand db upgrade"):
            await prepare(empty)

    async def test_processes_that_upgrade_at_once_do_it_once(self, postgres_url: str) -> None:
        databases = [Database(postgres_url) for _ in range(4)]
        before = await asyncio.gather(*(upgrade(database) for database in databases))
        assert sorted(before, key=str) == sorted([None, HEAD, HEAD, HEAD], key=str)
        for database in databases:
            await database.close()


async def test_many_plain_jobs_are_stored_by_one_statement(database: Database) -> None:
    store, sent = job_store(database), []

    def told(connection: Any, _record: Any) -> None:
        connection.driver_connection.add_query_logger(lambda it: sent.append(it.query))

    await database.close()
    event.listen(database.engine.sync_engine, "connect", told)
    await store.submit(store.new())  # on a new connection asyncpg asks about types first
    sent.clear()
    ids = await store.submit(*(store.new() for _ in range(500)))
    assert (len(ids), len(sent)) == (500, 1), sent
    assert await store.jobs.events(ids[0]) != []


async def test_a_server_that_went_away_is_unavailable_and_found_again(
    postgres: Postgres, postgres_url: str
) -> None:
    async with migrated(postgres_url) as database:
        store = job_store(database)
        await store.submit(store.new())
        postgres.stop()
        with pytest.raises(StoreUnavailable):
            await store.submit(store.new())
        postgres.start()
        assert len(await store.submit(store.new())) == 1
