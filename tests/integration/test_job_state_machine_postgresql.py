"""The walks of tests/unit/test_job_state_machine.py, fewer of them, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.infrastructure.sql.tables import metadata
from tests.contracts.job_machine import JobMachine, explore
from tests.contracts.job_store import Store
from tests.stores import job_store

_EMPTY = text("TRUNCATE " + ", ".join(table.name for table in metadata.sorted_tables))


def test_postgresql_does_as_the_model_whatever_is_done(postgres_url: str) -> None:
    @asynccontextmanager
    async def emptied() -> AsyncIterator[Store]:
        database = Database(postgres_url)
        try:
            async with database.write() as connection:
                await connection.execute(_EMPTY)
            yield job_store(database)
        finally:
            await database.close()

    class PostgresMachine(JobMachine):
        opens = staticmethod(emptied)

    asyncio.run(_migrate(postgres_url))
    explore(PostgresMachine, examples=8, steps=30)


async def _migrate(url: str) -> None:
    database = Database(url)
    await upgrade(database)
    await database.close()
