"""PgQueuer on PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import redis.asyncio as redis
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

from benchmarks.asked import Asked, answer, asked, timed


async def main(asked: Asked) -> None:
    connection = await asyncpg.connect(asked.database)
    queuer = PgQueuer(AsyncpgDriver(connection))
    queries = queuer.qm.queries
    await queries.install()
    client = redis.Redis.from_url(asked.redis)
    ran: list[int] = []

    @queuer.entrypoint("work")
    async def work(job: Job) -> None:
        if asked.handler == "incr":
            await client.incr(asked.counter)
        ran.append(job.id)

    async def one_by_one() -> None:
        for number in range(asked.n):
            await queries.enqueue("work", str(number).encode())

    async def in_bulk() -> None:
        numbers = [str(number).encode() for number in range(asked.n)]
        await queries.enqueue(["work"] * asked.n, numbers, [0] * asked.n)

    async def drain() -> None:
        await queuer.qm.run(batch_size=asked.slots, mode=QueueExecutionMode.drain)

    took = await timed(one_by_one if asked.action == "submit" else in_bulk)
    if asked.action == "drain":
        took = await timed(drain)
        stored = await connection.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")
        counts = {"ran": len(ran), "distinct": len(set(ran)), "stored": stored}
        if asked.handler == "incr":
            counts["counted"] = int(await client.get(asked.counter) or 0)
    else:
        counts = {"stored": await connection.fetchval("SELECT count(*) FROM pgqueuer")}
    await client.aclose()
    await connection.close()
    answer(asked, took, **counts)


if __name__ == "__main__":
    asyncio.run(main(asked()))
