"""SQL stores, ready to use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forgehand.infrastructure.sql.control import SqlJobControl
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.documentations import SqlDocumentations, SqlPullRequestRecords
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.leases import SqlLeases
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.infrastructure.sql.tokens import SqlTokens
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.clocks import HandClock
from tests.contracts.documents import Documents
from tests.contracts.job_store import Store


@asynccontextmanager
async def migrated(url: str) -> AsyncIterator[Database]:
    """A database at the newest revision, closed at the end."""
    database = Database(url)
    try:
        await upgrade(database)
        yield database
    finally:
        await database.close()


def job_store(database: Database) -> Store:
    clock = HandClock()
    return Store(
        SqlJobs(database, clock), SqlJobControl(database), SqlLeases(database), SqlUpkeep(database), clock
    )


def document_store(database: Database) -> Documents:
    clock = HandClock()
    return Documents(
        SqlDocumentations(database), SqlPullRequestRecords(database), SqlTokens(database, clock), clock
    )
