"""Submitting in a transaction of the caller's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from forgehand import Forgehand, Order, Terms
from forgehand.application.jobs.submit import InvalidRequest
from forgehand.application.ports.jobs import JobFilter
from forgehand.infrastructure.sql.enlisting import enlist
from tests.contracts.job_store import LEASE, Store

DOCS = {"repo": "octo/sample", "number": 2}


@dataclass
class House:
    """A caller's own engine, a Forgehand over the same database, and a look at its jobs."""

    engine: AsyncEngine
    hand: Forgehand
    store: Store

    async def orders(self) -> int:
        async with self.engine.connect() as connection:
            return await connection.scalar(text("SELECT count(*) FROM orders")) or 0

    async def jobs(self) -> int:
        return len((await self.store.jobs.page(JobFilter())).items)


class EnlistingContract:
    """Subclass with a fixture `house`, whose engine's database has a table `orders (id)`."""

    @pytest.fixture
    async def empty(self, house: House) -> House:
        async with house.engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (id integer)"))
        return house

    async def test_a_job_is_there_with_the_callers_rows_when_they_commit(self, empty: House) -> None:
        async with empty.engine.begin() as connection:
            await connection.execute(text("INSERT INTO orders VALUES (7)"))
            job_id = await empty.hand.enlist(connection).submit("generate-docs", **DOCS)
            assert await empty.jobs() == 0
        assert await empty.orders() == 1
        assert (await empty.hand.job(job_id)).state == "pending"

    async def test_nothing_remains_when_the_caller_rolls_back(self, empty: House) -> None:
        async with empty.engine.connect() as connection:
            await connection.execute(text("INSERT INTO orders VALUES (7)"))
            terms = Terms(unique_key="7")
            first = await empty.hand.enlist(connection).submit("generate-docs", terms, **DOCS)
            again = await empty.hand.enlist(connection).submit("generate-docs", terms, **DOCS)
            assert first == again
            await connection.rollback()
        assert (await empty.orders(), await empty.jobs()) == (0, 0)
        events = await empty.store.jobs.stream()
        assert not events

    async def test_a_sweep_finds_what_nobody_rang_for(self, empty: House) -> None:
        async with empty.engine.begin() as connection:
            orders = [Order("generate-docs", DOCS), Order("generate-docs", DOCS)]
            assert len(await empty.hand.enlist(connection).submit_many(orders)) == 2
        now = (await empty.store.jobs.page(JobFilter())).items[0].run_at
        assert (await empty.store.upkeep.sweep(now, LEASE)).due == {"generate-docs"}
        assert len(await empty.store.claim(await empty.store.worker(), 9, "generate-docs")) == 0
        empty.store.clock.now = now
        assert len(await empty.store.claim(await empty.store.worker(), 9, "generate-docs")) == 2

    async def test_a_refused_request_leaves_the_callers_transaction_usable(self, empty: House) -> None:
        async with empty.engine.begin() as connection:
            await connection.execute(text("INSERT INTO orders VALUES (7)"))
            with pytest.raises(InvalidRequest):
                await empty.hand.enlist(connection).submit("generate-docs", repo="octo/sample", number=0)
        assert (await empty.orders(), await empty.jobs()) == (1, 0)

    async def test_jobs_that_are_accepted_already_need_no_forgehand(self, empty: House) -> None:
        async with empty.engine.begin() as connection:
            [submission] = await enlist(connection).submit([empty.store.new()])
            assert await enlist(connection).submit([]) == []
        assert (await empty.store.jobs.get(submission.job.id)).type == "paint"
