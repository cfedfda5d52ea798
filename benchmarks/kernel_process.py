"""Our own side: `forgehand worker` and `submit` as they are, with the measured job types."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from dependency_injector import providers
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import func, select

from benchmarks.asked import Asked, Took, answer, asked, timed
from benchmarks.job_types import JOB_TYPES, Seen
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.jobs.submit import Order
from forgehand.application.ports.leases import Exchange, Leases, Wanted, Worker
from forgehand.container import Container
from forgehand.domain.jobs import JobState, Settlement
from forgehand.entrypoints.worker import work
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.infrastructure.sql.tables import attempts, events, jobs
from forgehand.settings import Settings


@asynccontextmanager
async def container(asked: Asked) -> AsyncIterator[tuple[Container, Seen]]:
    """A container over `asked.database` (SQLite in a file where there is none), and what its jobs did."""
    with tempfile.TemporaryDirectory(prefix="forgehand-bench-") as home:
        settings = Settings(
            home=Path(home),
            database_url=SecretStr(asked.database) if asked.database else None,
            redis_url=SecretStr(asked.redis) if asked.redis else None,
            redis_namespace=asked.namespace,
            grace_seconds=0,
        ).model_copy(update={"concurrency": asked.slots})
        made = Container(settings=settings)
        made.job_types.override(providers.Object(JobTypes(JOB_TYPES)))
        seen = Seen([], [], Redis.from_url(asked.redis or "redis://"), asked.counter)
        made.ports.add_kwargs({Seen: providers.Object(seen).provider})
        try:
            await upgrade(made.database())
            yield made, seen
        finally:
            await seen.client.aclose()
            await made.closing().close()


class Counting:
    """Leases that say when `n` settlements are written."""

    def __init__(self, leases: Leases, n: int) -> None:
        self._leases = leases
        self._left = n
        self.all = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        exchange = await self._leases.exchange(worker, settlements, wanted, now)
        self._left -= len(settlements) - len(exchange.lost)
        if not self._left:
            self.all.set()
        return exchange


async def main(asked: Asked) -> None:
    async with container(asked) as (made, seen):
        if asked.action == "serve":
            await _serve(made, seen)
            return
        submit_job = made.submit_job()

        async def one_by_one() -> None:
            for number in range(asked.n):
                await submit_job.submit(asked.handler, {"number": number}, by="bench")

        async def in_bulk() -> None:
            orders = [Order(asked.handler, {"number": number}) for number in range(asked.n)]
            await submit_job.submit_many(orders, by="bench")

        took = await timed(one_by_one if asked.action == "submit" else in_bulk)
        counts = {}
        if asked.action == "drain":
            took = await _drain(made, asked)
            counts = {"ran": len(seen.ran), "distinct": len(set(seen.ran))}
            if asked.handler == "incr":
                counts["counted"] = int(await seen.client.get(asked.counter) or 0)
        counts |= await _stored(made, drained=asked.action == "drain")
    answer(asked, took, **counts)


async def _drain(made: Container, asked: Asked) -> Took:
    counting = Counting(made.leases(), asked.n)
    made.leases.override(providers.Object(counting))
    took = Took()
    working = asyncio.create_task(work(made, [asked.handler]))
    await counting.all.wait()
    took.stop()
    os.kill(os.getpid(), signal.SIGTERM)
    await working
    return took


async def _stored(made: Container, *, drained: bool) -> dict[str, int]:
    """How many jobs, attempts and events there are; events are divided by how many each job leaves."""
    state = JobState.COMPLETED if drained else JobState.PENDING
    async with made.database().read() as connection:

        async def count(query: Any) -> int:
            return int(await connection.scalar(query) or 0)

        found = {"stored": await count(select(func.count()).where(jobs.c.state == state.value))}
        told = await count(select(func.count()).select_from(events))
        if not drained:
            return {**found, "events": told}
        ended = select(func.count()).where(attempts.c.outcome == "completed")
        return {**found, "attempts": await count(ended), "events": told // 3 if told % 3 == 0 else -told}


async def _serve(made: Container, seen: Seen) -> None:
    """Work on all types; to each line on stdin answer with what was used so far. Its end ends the worker."""
    working = asyncio.create_task(work(made))
    while await asyncio.to_thread(sys.stdin.readline):
        used = psutil.Process().cpu_times()
        said = {
            "cpu": used.user + used.system,
            "rss": psutil.Process().memory_info().rss,
            "at": {str(job): at for job, at in zip(seen.ran, seen.at, strict=True)},
        }
        print(json.dumps(said), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    await working


if __name__ == "__main__":
    asyncio.run(main(asked()))
