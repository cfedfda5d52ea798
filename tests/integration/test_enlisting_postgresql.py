"""Submitting in a caller's transaction, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from forgehand import Forgehand
from tests.contracts.enlisting import EnlistingContract, House
from tests.stores import job_store, migrated


class TestPostgresql(EnlistingContract):
    @pytest.fixture
    async def house(self, postgres_url: str) -> AsyncIterator[House]:
        engine = create_async_engine(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
        async with migrated(postgres_url) as database:
            async with Forgehand(database_url=postgres_url) as hand:
                yield House(engine, hand, job_store(database))
        await engine.dispose()
