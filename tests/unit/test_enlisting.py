"""Submitting in a caller's transaction, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from forgehand import Forgehand
from tests.contracts.enlisting import EnlistingContract, House
from tests.stores import job_store, migrated


class TestSqlite(EnlistingContract):
    @pytest.fixture
    async def house(self, tmp_path: Path) -> AsyncIterator[House]:
        file = tmp_path / "shared.db"
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
        async with migrated(f"sqlite:///{file}") as database:
            async with Forgehand(database_url=f"sqlite:///{file}") as hand:
                yield House(engine, hand, job_store(database))
        await engine.dispose()
