"""SQLite, in memory and in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.infrastructure.sql.database import Database, UnusableDatabase
from forgehand.infrastructure.sql.schema import HEAD, current_revision, prepare
from tests.contracts.documents import Documents, DocumentsContract
from tests.contracts.job_store import JobStoreContract, Store
from tests.contracts.schema import SchemaContract, differences
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


class TestSqliteSchema(SchemaContract):
    @pytest.fixture
    async def empty(self, tmp_path: Path) -> AsyncIterator[Database]:
        database = Database(f"sqlite:///{tmp_path / 'new' / 'forgehand.db'}")
        yield database
        await database.close()

    async def test_the_embedded_database_upgrades_itself(self, empty: Database) -> None:
        await prepare(empty)
        assert await current_revision(empty) == HEAD


async def test_a_database_in_memory_has_the_same_tables_as_a_migrated_one() -> None:
    database = Database("sqlite://")
    await prepare(database)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://u:secret@host/db", "postgresql://u:secret@host:port/x"]
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UnusableDatabase) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database at all" * 100)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(UnusableDatabase):
        await prepare(database)
    await database.close()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(f"sqlite:///{tmp_path / 'file' / 'forgehand.db'}")
    with pytest.raises(UnusableDatabase, match="folder"):
        await prepare(database)


async def test_a_locked_database_is_unavailable_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forgehand.infrastructure.sql.database._BUSY_MS", 50)
    async with migrated(f"sqlite:///{tmp_path / 'forgehand.db'}") as database:
        holder = sqlite3.connect(tmp_path / "forgehand.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        store = job_store(database)
        with pytest.raises(StoreUnavailable):
            await store.submit(store.new())
        holder.execute("ROLLBACK")
        holder.close()
        assert len(await store.submit(store.new())) == 1
