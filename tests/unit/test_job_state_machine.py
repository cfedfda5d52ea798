"""Whatever is done to jobs in whatever order, the store does as its model (SQLite in memory).

Longer, with other walks each time: HYPOTHESIS_PROFILE=soak pytest --timeout=0 -k state_machine
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import prepare
from tests.contracts.job_machine import JobMachine, explore
from tests.contracts.job_store import Store
from tests.stores import job_store


@asynccontextmanager
async def in_memory() -> AsyncIterator[Store]:
    database = Database("sqlite://")
    try:
        await prepare(database)
        yield job_store(database)
    finally:
        await database.close()


class SqliteMachine(JobMachine):
    opens = staticmethod(in_memory)


def test_sqlite_does_as_the_model_whatever_is_done() -> None:
    explore(SqliteMachine, examples=18, steps=30)
