"""Idempotency keys when many use one at the same moment, on a store with many writers."""

from __future__ import annotations

import asyncio

from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.settings import load
from tests.http_api import opened_api


async def test_twenty_submissions_at_once_with_one_key_are_one_job_on_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url)
    await upgrade(database)
    await database.close()

    async with opened_api(load({"database_url": postgres_url})) as api:
        made = await asyncio.gather(*(api.submit_with_key("one", 1) for _ in range(20)))
        listed = (await api.viewer.get("/api/jobs")).json()["items"]

    assert len(set(made)) == 1
    assert [job["id"] for job in listed] == [str(made[0])]
