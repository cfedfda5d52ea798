"""What is measured, and the bars."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from benchmarks.asked import Asked
from benchmarks.kernel_process import container
from benchmarks.serving import Serving, serving
from benchmarks.systems import BULLMQ, DRAMATIQ, FORGEHAND, ON_SQLITE, PGQUEUER, PROCRASTINATE, Bench, System
from benchmarks.table import Line, at_most, rate, ratio
from forgehand.application.clock import new_id, utc_now
from forgehand.application.jobs.submit import Order
from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.container import Container
from forgehand.domain.jobs import Settlement
from forgehand.infrastructure.sql.tables import to_micros

Bars = Sequence[tuple[System, float | None]]


def drain(bench: Bench) -> Iterator[Line]:
    """No-op jobs that are waiting, from the worker's start to the last settlement; 100 at once."""
    bars = ((BULLMQ, 1.5), (DRAMATIQ, 5.0), (PROCRASTINATE, 20.0), (PGQUEUER, None))
    yield from _compared(bench, "drain, no-op", bars, "drain")


def incr(bench: Bench) -> Iterator[Line]:
    """The same with a handler of one Redis INCR. PgQueuer's drain ends too early where handlers wait."""
    bars = ((DRAMATIQ, 2.0), (PROCRASTINATE, 10.0), (BULLMQ, None))
    yield from _compared(bench, "drain, one INCR", bars, "drain", "--handler", "incr")


def sqlite(bench: Bench) -> Iterator[Line]:
    """The first again, on SQLite in a file, in one process without Redis."""
    [runs] = bench.rounds([ON_SQLITE], "drain")
    yield rate("drain, no-op, SQLite", runs, 5_000)


def submit(bench: Bench) -> Iterator[Line]:
    """One by one, each committed and rung before the next."""
    bars = ((PROCRASTINATE, 1.5), (BULLMQ, None), (PGQUEUER, None), (DRAMATIQ, None))
    yield from _compared(bench, "submit one by one", bars, "submit", n=2_000)


def bulk(bench: Bench) -> Iterator[Line]:
    """Ten thousand in one call."""
    bars = ((BULLMQ, 2.0), (PGQUEUER, None), (PROCRASTINATE, None))
    yield from _compared(bench, "submit in bulk", bars, "bulk", n=10_000)


def _compared(
    bench: Bench, what: str, bars: Bars, action: str, *options: str, n: int | None = None
) -> Iterator[Line]:
    ours, *theirs = bench.rounds([FORGEHAND, *(peer for peer, _ in bars)], action, *options, n=n)
    yield rate(f"{what}: Forgehand", ours)
    for (peer, bar), runs in zip(bars, theirs, strict=True):
        yield rate(f"{what}: {peer.name}", runs)
        if bar is not None:
            yield ratio(peer, ours, runs, bar)


def start(bench: Bench) -> Iterator[Line]:
    """A worker of a dozen types: what it uses while idle, and how soon it starts a job that is submitted."""
    database = bench.database()
    bench.postgres.log_statements()
    with serving(bench, database, slots=20) as worker:
        yield from _idle(bench, worker, bench.few(60))
        yield from asyncio.run(_starts(bench, worker, database, bench.few(600)))
    bench.drop(database)


def _idle(bench: Bench, worker: Serving, seconds: int) -> Iterator[Line]:
    commands, statements, before = bench.redis_commands(), bench.postgres.statements(), worker.used()
    time.sleep(seconds)
    after, commands = worker.used(), bench.redis_commands() - commands
    statements = bench.postgres.statements() - statements
    yield at_most("idle worker of 12 types: CPU", (after.cpu - before.cpu) / seconds, 0.03, "core", 4)
    yield at_most("— Redis", commands / seconds, 100, "commands/s")
    yield at_most("— PostgreSQL", statements / seconds, 2, "statements/s", 2)


async def _starts(bench: Bench, worker: Serving, database: str, samples: int) -> list[Line]:
    submitted: dict[UUID, tuple[float, float]] = {}
    async with container(Asked("submit", 0, "noop", database, bench.redis_url, 1)) as (made, _):
        submit_job = made.submit_job()
        for number in range(samples):
            await asyncio.sleep(random.uniform(0.03, 0.09))  # no rhythm may meet a poll's
            asked = time.time()
            submission = await submit_job.submit("noop", {"number": number}, by="bench")
            submitted[submission.job.id] = (asked, time.time())
    began = {UUID(job): at for job, at in worker.at_work(samples).at.items()}
    if began.keys() != submitted.keys():
        raise ValueError(f"not exact: {len(submitted)} submitted, {len(began)} begun")
    stored = [max(0.0, began[job] - returned) * 1000 for job, (_, returned) in submitted.items()]
    whole = [(began[job] - asked) * 1000 for job, (asked, _) in submitted.items()]
    return [
        at_most(f"stored to start, {samples} samples: p50", statistics.median(stored), 15, "ms"),
        at_most("— p99", _p99(stored), 60, "ms"),
        at_most("asked to start (with the submission itself): p50", statistics.median(whole), 15, "ms"),
        at_most("— p99", _p99(whole), 60, "ms"),
    ]


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[max(0, round(len(values) * 0.99) - 1)]


def waiting(bench: Bench) -> Iterator[Line]:
    """Jobs that wait for I/O, all in one process."""
    for count, bars in ((200, (0.03, 60.0)), (2_000, None)):
        database = bench.database()
        with serving(bench, database, slots=count) as worker:
            idle = worker.used()
            asyncio.run(_submit_waiting(bench, database, count))
            worker.at_work(count)
            time.sleep(3)
            seconds = bench.few(20)
            before = worker.used()
            time.sleep(seconds)
            after = worker.used()
        bench.drop(database)
        cpu, memory = (after.cpu - before.cpu) / seconds, (after.rss - idle.rss) / 2**20
        if bars is None:
            yield Line(f"{count} jobs waiting on I/O: CPU", f"{cpu:.4f} core")
            yield Line("— memory above idle", f"{memory:.1f} MiB")
        else:
            yield at_most(f"{count} jobs waiting on I/O: CPU", cpu, bars[0], "core", 4)
            yield at_most("— memory above idle", memory, bars[1], "MiB")


async def _submit_waiting(bench: Bench, database: str, count: int) -> None:
    async with container(Asked("submit", 0, "wait", database, bench.redis_url, 1)) as (made, _):
        orders = [Order("wait", {"number": number}) for number in range(count)]
        await made.submit_job().submit_many(orders, by="bench")


def claim(bench: Bench) -> Iterator[Line]:
    """Settling 64 jobs and claiming 64, beside few and beside many finished ones."""
    few, many = 1_000, bench.few(1_000_000)
    took = [asyncio.run(_claims(bench, finished)) for finished in (few, many)]
    for finished, milliseconds in zip((few, many), took, strict=True):
        yield Line(f"claim of 64 beside {finished:,} finished jobs", f"{milliseconds:.2f} ms (median of 100)")
    found = took[1] / took[0]
    yield Line("— to each other", f"{found:.2f}×", "≤ 1.5×", found <= 1.5)


_FINISHED = (
    """INSERT INTO forgehand_jobs (id, type, state, priority, run_at, created_at, started_at, finished_at,
         attempts, max_attempts, submitted_by, tags, blockers, progress, schema_version, request, result)
       SELECT gen_random_uuid(), 'noop', 'completed', 20, ended.at, ended.at, ended.at, ended.at,
         1, 3, 'bench', '', 0, 100, 1, '{"number": 1}', '{}'
       FROM (SELECT CAST(:now AS bigint) - n AS at FROM generate_series(1, :count) AS n) AS ended""",
    """INSERT INTO forgehand_attempts (lease_id, job_id, type, number, worker, started_at, ended_at, outcome)
       SELECT gen_random_uuid(), id, type, 1, 'bench', started_at, finished_at, 'completed'
       FROM forgehand_jobs""",
    """INSERT INTO forgehand_events (job_id, at, kind, data)
       SELECT id, finished_at, 'completed', '{"attempt": 1}' FROM forgehand_jobs""",
)


async def _claims(bench: Bench, finished: int) -> float:
    database, size = bench.database(), 64
    async with container(Asked("drain", 0, "noop", database, bench.redis_url, size)) as (made, _):
        now = to_micros(utc_now() - timedelta(days=1))
        async with made.database().write() as connection:
            for statement in _FINISHED:
                await connection.execute(
                    text(statement), {"now": now, "count": finished} if ":count" in statement else {}
                )
        async with made.database().statement() as connection:
            await connection.execute(text("VACUUM ANALYZE"))
        orders = [Order("noop", {"number": number}) for number in range(110 * size)]
        await made.submit_job().submit_many(orders, by="bench")
        took = await _exchanges(made, size)
    bench.drop(database)
    return statistics.median(took) * 1000


async def _exchanges(made: Container, size: int) -> list[float]:
    worker, leases = Worker(new_id(utc_now()), "bench"), made.leases()
    await made.upkeep().beat(worker, utc_now())
    done: list[Settlement] = []
    took = []
    for number in range(105):
        wanted = Wanted([Share("noop", size)], [new_id(utc_now()) for _ in range(size)])
        began = time.perf_counter()
        exchange = await leases.exchange(worker, done, wanted, utc_now())
        if number >= 5:  # the first ones prepare their statements
            took.append(time.perf_counter() - began)
        done = [claimed.complete({}, utc_now()) for claimed in exchange.claimed]
        if len(done) != size:
            raise ValueError(f"claimed {len(done)} of {size}")
    return took


ROWS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    row.__name__: row for row in (drain, incr, sqlite, submit, bulk, start, waiting, claim)
}
