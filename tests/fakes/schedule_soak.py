"""Schedules of every second under three processes, of which one is killed; then the account.

By hand: `python -m tests.fakes.schedule_soak --seconds 120` (on SQLite with `--sqlite`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forgehand.application.clock import utc_now
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.heart import Watch
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.jobs.pump import Pump
from forgehand.application.jobs.running import RunJob
from forgehand.application.jobs.scheduling import Definition, KeepSchedules, Scheduler
from forgehand.application.jobs.submit import SubmitJob
from forgehand.application.ports.jobs import JobFilter
from forgehand.application.redaction import Redactor
from forgehand.domain.jobs import Job
from forgehand.domain.schedules import CatchUp, Overlap, Schedule
from forgehand.infrastructure.cron import read_timing
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.queue.bell import DramatiqBell
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.leases import SqlLeases
from forgehand.infrastructure.sql.schedules import SqlSchedules
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.job_types import Brush, Paint, paint_type
from tests.services import Postgres

SECOND = timedelta(seconds=1)
LONG = 2
"""So many walls take a second and a half, so that schedules with overlap `skip` have times to miss."""

TYPES = JobTypes([paint_type(rate=None)])


@dataclass(frozen=True)
class Account:
    """What became of each due time of one schedule."""

    name: str
    due: int
    fired: int
    missed: int
    jobs: int
    doubled: int
    astray: int
    latest: timedelta

    @property
    def lost(self) -> int:
        """Due times that were neither fired nor stated as missed."""
        return self.due - self.fired - self.missed

    @property
    def holds(self) -> bool:
        return self.lost == self.doubled == self.astray == 0 and self.jobs == self.fired

    def __str__(self) -> str:
        return (
            f"{self.name}: due {self.due}, fired {self.fired}, missed {self.missed}, jobs {self.jobs},"
            f" doubled {self.doubled}, lost {self.lost}, astray {self.astray},"
            f" latest {self.latest.total_seconds() * 1000:.0f} ms: {'holds' if self.holds else 'BROKEN'}"
        )


async def soak(url: str, seconds: float, processes: int = 3) -> list[Account]:
    """Run them against a migrated database, kill one a third of the way, end the others."""
    async with _opened(url) as (database, bell):
        keep = KeepSchedules(
            SqlSchedules(database),
            SubmitJob(TYPES, SqlJobs(database, utc_now), bell, utc_now),
            read_timing,
            utc_now,
        )
        children = [await _child(url) for _ in range(processes)]
        try:
            started = [
                await keep.define(
                    Definition(name, "paint", {"walls": walls}, "every 1s", "UTC", overlap, CatchUp.ALL),
                    by="soak",
                )
                for name, overlap, walls in (("allow", Overlap.ALLOW, 1), ("skip", Overlap.SKIP, LONG))
            ]
            await asyncio.sleep(seconds / 3)
            children[0].kill()
            await asyncio.sleep(seconds * 2 / 3)
            for child in children[1:]:
                child.send_signal(signal.SIGTERM)
            codes = await asyncio.gather(*(child.wait() for child in children))
            assert codes == [-signal.SIGKILL, *[0] * (processes - 1)], codes
        finally:
            await _end(children)
        return [await _account(keep.schedules, SqlJobs(database, utc_now), it) for it in started]


async def _child(url: str) -> Process:
    """One process that fires and runs; it has said that it is there."""
    command = [sys.executable, "-m", "tests.fakes.schedule_soak", "--as-worker"]
    environment = {**os.environ, "SOAK_DATABASE": url}
    child = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, env=environment, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 30) == b"ready\n"
    return child


async def _end(children: Sequence[Process]) -> None:
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _account(schedules: object, jobs: SqlJobs, first: Schedule) -> Account:
    assert isinstance(schedules, SqlSchedules)
    last = await schedules.get(first.name)
    assert first.next_at is not None
    assert last.next_at is not None
    made = await _all(jobs, first.tag)
    times = [_due(job) for job in made]
    within = [at for at in times if first.next_at <= at < last.next_at and at.microsecond == 0]
    return Account(
        name=first.name,
        due=(last.next_at - first.next_at) // SECOND,
        fired=last.fired,
        missed=last.missed,
        jobs=len(made),
        doubled=len(times) - len(set(times)),
        astray=len(times) - len(within),
        latest=max((job.created_at - _due(job) for job in made), default=timedelta()),
    )


def _due(job: Job) -> datetime:
    """As its id has it: `run_at` moves when the job is rescued."""
    return datetime.fromtimestamp((job.id.int >> 80) / 1000, UTC)


async def _all(jobs: SqlJobs, tag: str) -> list[Job]:
    found: list[Job] = []
    cursor = None
    while True:
        page = await jobs.page(JobFilter(tag=tag), limit=200, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[Database, DramatiqBell]]:
    database, bell = Database(url), embedded_bell()
    try:
        yield database, bell
    finally:
        bell.close()
        await database.close()


async def work(url: str) -> None:
    """A worker process as ours are: a scheduler beside a pump, until SIGTERM."""
    async with _opened(url) as (database, bell):
        leases = SqlLeases(database)
        brush = Brush([_paint])
        pump = Pump(
            run_job=RunJob(TYPES, lambda _: Paint(brush), leases, utc_now, Redactor([]), random.random),
            leases=leases,
            upkeep=SqlUpkeep(database),
            bell=bell,
            clock=utc_now,
            worker_label=f"soak:{os.getpid()}",
            queues={it.name: it.policy for it in TYPES},
            watch=Watch(lease=3.0),
        )
        submit_job = SubmitJob(TYPES, SqlJobs(database, utc_now), bell, utc_now)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pump.stop)
        async with Scheduler(SqlSchedules(database), submit_job, read_timing, utc_now).running():
            print("ready", flush=True)
            await pump.run()


async def _paint(job: JobContext, walls: int) -> int:
    await asyncio.sleep(1.5 if walls == LONG else 0)
    return walls


async def _by_hand(url: str, seconds: float) -> bool:
    database = Database(url)
    await upgrade(database)
    await database.close()
    print(
        f"{datetime.now().astimezone():%H:%M:%S} for {seconds:g} s, three processes, one killed", flush=True
    )
    accounts = await soak(url, seconds)
    for account in accounts:
        print(account, flush=True)
    return all(account.holds for account in accounts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.as_worker:
        asyncio.run(work(os.environ["SOAK_DATABASE"]))
        return 0
    if asked.sqlite:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if asyncio.run(_by_hand(f"sqlite:///{folder}/soak.db", asked.seconds)) else 1
    with Postgres() as postgres:
        return 0 if asyncio.run(_by_hand(postgres.create_database(), asked.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
