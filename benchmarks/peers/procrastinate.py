"""Procrastinate on PostgreSQL through psycopg."""

from __future__ import annotations

import asyncio

import redis.asyncio as redis
from procrastinate import App, PsycopgConnector

from benchmarks.asked import Asked, answer, asked, timed


async def main(asked: Asked) -> None:
    app = App(connector=PsycopgConnector(conninfo=asked.database))
    client = redis.Redis.from_url(asked.redis)
    ran: list[int] = []

    @app.task(name="work")
    async def work(number: int) -> None:
        if asked.handler == "incr":
            await client.incr(asked.counter)
        ran.append(number)

    async def one_by_one() -> None:
        for number in range(asked.n):
            await work.defer_async(number=number)

    async def in_bulk() -> None:
        await work.batch_defer_async(*({"number": number} for number in range(asked.n)))

    async def drain() -> None:
        await app.run_worker_async(wait=False, concurrency=asked.slots, install_signal_handlers=False)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        took = await timed(one_by_one if asked.action == "submit" else in_bulk)
        status = "todo"
        counts = {}
        if asked.action == "drain":
            took = await timed(drain)
            status = "succeeded"
            counts = {"ran": len(ran), "distinct": len(set(ran))}
            if asked.handler == "incr":
                counts["counted"] = int(await client.get(asked.counter) or 0)
        jobs = list(await app.job_manager.list_jobs_async(status=status))
    await client.aclose()
    answer(asked, took, stored=len(jobs), **counts)


if __name__ == "__main__":
    asyncio.run(main(asked()))
