"""What every proof here stands on: servers, a migrated database with its witness, a fleet at work."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
from dependency_injector import providers

from forgehand.application.clock import utc_now
from forgehand.application.ports.jobs import JobFilter, StoreUnavailable
from forgehand.container import Container, opened
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.settings import load
from tests.chaos import ledger, witness
from tests.chaos.account import Account, draw_up
from tests.chaos.bells import UnreliableBell
from tests.chaos.fleet import Fleet, clean_environment
from tests.chaos.ledger import Ledger
from tests.chaos.ordeals import refit
from tests.chaos.plan import Planned
from tests.services import Postgres, Redis


@dataclass(slots=True)
class Servers:
    """What the jobs stand on. `redis` and `postgres` only where the store is PostgreSQL.

    They are started by this thread: a server ends with the thread that started it.
    """

    url: str
    postgres: Postgres | None = None
    redis: Redis | None = None
    done: Counter[str] = field(default_factory=Counter)

    async def flush_redis(self) -> None:
        await asyncio.to_thread(self._redis().flush)
        self.done["Redis flushed"] += 1

    async def kill_redis(self, away: float) -> None:
        self._redis().kill()
        await asyncio.sleep(away)
        self._redis().start()
        self.done["Redis killed and restarted"] += 1

    async def restart_postgres(self, how: str, away: float) -> None:
        """`how`: fast, immediate, or killed."""
        server = self._postgres()
        if how == "immediate" and server.pid is not None:
            os.kill(server.pid, signal.SIGQUIT)
        await asyncio.to_thread(server.kill if how == "killed" else server.stop)
        await asyncio.sleep(away)
        server.start()
        self.done[f"PostgreSQL restarted ({how})"] += 1

    async def cut_connections(self) -> int:
        """End every connection to the database, whatever it was doing; how many there were."""
        connection = await asyncpg.connect(self.url, timeout=10)
        try:
            cut: int = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()
        self.done["all connections cut"] += 1
        self.done["connections cut"] += cut
        return cut

    def _postgres(self) -> Postgres:
        if self.postgres is None:
            raise AssertionError("there is no PostgreSQL here")
        return self.postgres

    def _redis(self) -> Redis:
        if self.redis is None:
            raise AssertionError("there is no Redis here")
        return self.redis


@contextmanager
def servers(store: str, folder: Path) -> Iterator[Servers]:
    """Real servers for PostgreSQL; a file for SQLite."""
    if store == "sqlite":
        yield Servers(f"sqlite:///{folder / 'jobs.db'}")
        return
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(Postgres()), stack.enter_context(Redis())
        try:
            yield Servers(postgres.create_database(), postgres, redis)
        finally:
            shutil.copy(postgres.folder / "log", folder / "postgresql.log")


@dataclass(frozen=True, slots=True)
class Crew:
    """How many worker processes, and how they work. Times in seconds."""

    workers: int = 4
    slots: int = 3
    lease: float = 2.5
    grace: float = 0.5
    break_fence: bool = False


@dataclass(slots=True)
class Stage:
    """Jobs are submitted in this process and run by the fleet."""

    crew: Crew
    folder: Path
    url: str
    fleet: Fleet
    container: Container
    _book: Ledger

    async def submit(self, planned: Sequence[Planned]) -> None:
        """All at once, tried until it is acknowledged."""
        orders = [it.order for it in planned]
        await _insist(lambda: self.container.submit_job().submit_many(orders, by="chaos"))
        for job in planned:
            self._book.submitted(job.id, job.ends)

    async def cancel(self, job: Planned) -> None:
        """Tried until it is acknowledged."""
        await _insist(lambda: self.container.control().cancel(JobFilter(ids=[job.id]), utc_now()))

    async def ended(self, patience: float) -> float:
        """Wait until no job is left, or until none has ended for `patience` seconds; how long it took."""
        began = moved = time.monotonic()
        left = await witness.unfinished(self.url)
        while left and time.monotonic() < moved + patience:
            await asyncio.sleep(0.2)
            now_left = await witness.unfinished(self.url)
            if now_left != left:
                left, moved = now_left, time.monotonic()
        return time.monotonic() - began

    async def account(self) -> Account:
        """Dismiss the fleet, so that nothing more happens, and count."""
        await self.fleet.dismiss(within=30)
        evidence = await witness.hear(self.url)
        account = draw_up(ledger.read(self.folder), evidence, self.fleet.fates, self.crew.lease)
        account.faults["worker died by itself"] = self.fleet.faults
        return account


@asynccontextmanager
async def staged(
    crew: Crew,
    standing: Servers,
    folder: Path,
    chance: random.Random | None = None,
    workers_url: str | None = None,
) -> AsyncIterator[Stage]:
    """On leaving, no worker is left. `workers_url` is the database's, where workers go another way to it."""
    database = Database(standing.url)
    await upgrade(database)
    await database.close()
    await witness.install(standing.url)
    environment = _environment(crew, standing, folder)
    if workers_url is not None:
        environment["DATABASE_URL"] = workers_url
    fleet = Fleet(crew.workers, folder, environment, chance or random.Random())
    redis_url = environment.get("REDIS_URL")
    flags = {"database_url": standing.url, "redis_url": redis_url, "home": folder / "home"}
    fleet.start()
    try:
        async with opened(load(flags)) as container:
            refit(container, Ledger(folder, "harness"))
            container.bell.override(providers.Object(UnreliableBell(container.bell())))
            yield Stage(crew, folder, standing.url, fleet, container, Ledger(folder, "submitter"))
    finally:
        await fleet.dismiss(within=30)


def _environment(crew: Crew, standing: Servers, folder: Path) -> dict[str, str]:
    given = {
        **clean_environment(),
        "DATABASE_URL": standing.url,
        "FORGEHAND_HOME": str(folder / "home"),
        "FORGEHAND_CONCURRENCY": str(crew.slots),
        "FORGEHAND_LEASE_SECONDS": str(crew.lease),
        "FORGEHAND_GRACE_SECONDS": str(crew.grace),
    }
    if standing.redis is not None:
        given["REDIS_URL"] = standing.redis.url
    if crew.break_fence:
        given["CHAOS_BREAK_FENCE"] = "1"
    return given


async def _insist(deed: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await deed()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            return
