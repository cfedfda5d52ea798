"""Redis and PostgreSQL fail under jobs at work: all complete soon after, each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import pytest

from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.domain.jobs import JobState
from tests.chaos.account import table
from tests.chaos.cuts import endure, plain
from tests.chaos.stage import Crew, Servers, Stage, staged
from tests.services import Postgres, Redis

CREW = Crew(workers=2, slots=4, lease=6)
RECOVERY = 15


@pytest.fixture
def standing(postgres: Postgres, redis: Redis, postgres_url: str, redis_url: str) -> Servers:
    return Servers(postgres_url, postgres, redis)


async def running(stage: Stage) -> int:
    counts = await stage.container.control().counts()
    return sum(count.jobs for count in counts if count.state is JobState.RUNNING)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.02)


async def through(outage: Callable[[], Awaitable[object]], standing: Servers, folder: Path) -> None:
    """108 jobs, 8 of them running as it strikes; all complete within 15 s of its end, each once."""

    async def full() -> bool:
        return await running(stage) == 8

    async with staged(CREW, standing, folder) as stage:
        await stage.submit(plain(108, milliseconds=300))
        await until(full)
        await outage()
        assert await stage.ended(RECOVERY) < RECOVERY
        account = await stage.account()
    assert account.balanced, table(account)
    assert account.states == {"completed": 108}
    assert account.executions == 108, table(account)


async def test_redis_flushed_with_100_jobs_pending_and_8_running(standing: Servers, tmp_path: Path) -> None:
    await through(standing.flush_redis, standing, tmp_path)


async def test_redis_killed_with_100_jobs_pending_and_8_running(standing: Servers, tmp_path: Path) -> None:
    await through(lambda: standing.kill_redis(away=1), standing, tmp_path)


@pytest.mark.parametrize("how", ["fast", "immediate", "killed"])
async def test_postgresql_restarted_with_100_jobs_pending_and_8_running(
    standing: Servers, tmp_path: Path, how: str
) -> None:
    await through(lambda: standing.restart_postgres(how, away=0.5), standing, tmp_path)


async def test_5000_jobs_through_30_cuts_of_all_connections_are_exact(
    standing: Servers, tmp_path: Path
) -> None:
    crew = Crew(workers=2, slots=20, lease=6)
    outcome = await endure(5000, 30, crew, standing, tmp_path)
    assert outcome.account.balanced, table(outcome.account)
    assert outcome.account.states == {"completed": 5000}
    assert outcome.account.executions == 5000, table(outcome.account)
    assert outcome.done["connections cut"] >= 30


def administrated(standing: Servers) -> str:
    """The server's own database."""
    assert standing.postgres is not None
    return standing.postgres.url


@asynccontextmanager
async def administering(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_while_the_database_is_read_only_jobs_wait_and_then_go_on(
    standing: Servers, tmp_path: Path
) -> None:
    server = administrated(standing)
    name = standing.url.rpartition("/")[2]

    async def read_only() -> None:
        async with administering(server) as connection:
            await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            await standing.cut_connections()
            await asyncio.sleep(2)
            await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await standing.cut_connections()

    await through(read_only, standing, tmp_path)


async def test_a_submission_to_a_read_only_database_says_that_it_is_not_usable_now(
    standing: Servers, tmp_path: Path
) -> None:
    server = administrated(standing)
    name = standing.url.rpartition("/")[2]
    async with staged(Crew(workers=0), standing, tmp_path) as stage:
        [planned] = plain(1)
        async with administering(server) as connection:
            await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            await standing.cut_connections()
            for _ in range(2):  # the first may only find its connection cut
                with pytest.raises(StoreUnavailable):
                    await stage.container.submit_job().submit_many([planned.order], by="tests")


async def test_while_there_are_no_connections_left_jobs_wait_and_then_go_on(
    standing: Servers, tmp_path: Path
) -> None:
    server = administrated(standing)
    name = standing.url.rpartition("/")[2]
    role = f"app_{name}"
    async with administering(server) as connection:
        await connection.execute(f'CREATE ROLE "{role}" LOGIN')
        await connection.execute(f'ALTER DATABASE "{name}" OWNER TO "{role}"')
    ours = Servers(standing.url.replace("postgres@", f"{role}@"), standing.postgres, standing.redis)

    async def exhausted() -> None:
        async with administering(server) as connection:
            await connection.execute(f'ALTER ROLE "{role}" CONNECTION LIMIT 0')
            await standing.cut_connections()
            await asyncio.sleep(2)
            await connection.execute(f'ALTER ROLE "{role}" CONNECTION LIMIT -1')

    await through(exhausted, ours, tmp_path)


class Wire:
    """A TCP proxy whose connections can fall silent, as when a firewall forgets them: nobody is told."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._carrying: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Its own port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        try:
            yield port
        finally:
            server.close()
            self.silence()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*(it.wait_closed() for it in self._writers), return_exceptions=True)

    def silence(self) -> int:
        """Carry no more bytes on the connections that there are, and say how many. New ones work."""
        for task in self._carrying:
            task.cancel()
        return len(self._carrying) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(_carry(source, sink))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def test_connections_that_fall_silent_are_given_up(standing: Servers, tmp_path: Path) -> None:
    assert standing.postgres is not None
    wire = Wire(standing.postgres.port)

    async def full() -> bool:
        return await running(stage) == 8

    async with wire.open() as port:
        through_it = standing.url.replace(f":{standing.postgres.port}/", f":{port}/")
        crew = Crew(workers=2, slots=4, lease=2)
        async with staged(crew, standing, tmp_path, workers_url=through_it) as stage:
            await stage.submit(plain(60, milliseconds=300))
            await until(full)
            assert wire.silence() >= 2
            assert await stage.ended(RECOVERY) < RECOVERY
            account = await stage.account()
    assert account.balanced, table(account)
    assert account.states == {"completed": 60}
