"""`forgehand worker` with jobs that behave badly: `python -m tests.fakes.worker_main [--processes N]`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dependency_injector import providers

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, JobTypes, Policy
from forgehand.container import Container
from forgehand.domain.jobs import RetryPolicy
from forgehand.entrypoints.cli.running import settings_now, with_container
from forgehand.entrypoints.worker import FORCED, work
from forgehand.entrypoints.worker.bond import Bond
from forgehand.entrypoints.worker.supervisor import Supervisor

MODULE = "tests.fakes.worker_main"


class OrdealRequest(JobRequest):
    """How the job behaves, for how long, and the file where it says what it did."""

    way: str
    ledger: str
    seconds: float = 60
    clean_up: float = 0


class OrdealResult(JobResult):
    """The process that did it."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ordeal:
    """Behave as told."""

    async def execute(self, request: OrdealRequest, job: JobContext) -> OrdealResult:
        note(request, f"start {job.attempt}")
        await WAYS[request.way](request)
        note(request, f"end {job.attempt}")
        return OrdealResult(pid=os.getpid())


def note(request: OrdealRequest, what: str) -> None:
    """A line in the ledger: what, and by which process."""
    with Path(request.ledger).open("a") as ledger:
        ledger.write(f"{what} by {os.getpid()}\n")


def lines(ledger: str | Path, beginning: str) -> int:
    """How many lines of the ledger begin so."""
    path = Path(ledger)
    return sum(line.startswith(beginning) for line in path.read_text().splitlines()) if path.exists() else 0


async def wait(request: OrdealRequest) -> None:
    try:
        await asyncio.sleep(request.seconds)
    finally:
        await asyncio.sleep(request.clean_up)
        note(request, "clean")


async def swallow(request: OrdealRequest) -> None:
    """Deaf to every cancellation, for ever."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(request.seconds)


async def swallow_once(request: OrdealRequest) -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(request.seconds)
    note(request, "swallowed")
    await asyncio.sleep(request.seconds)


async def turn(request: OrdealRequest) -> None:
    """Make an error of one's own of a cancellation."""
    try:
        await asyncio.sleep(request.seconds)
    except asyncio.CancelledError:
        raise RuntimeError("was disturbed") from None


async def block(request: OrdealRequest) -> None:
    time.sleep(request.seconds)  # noqa: ASYNC251 - the very thing that no job should do


async def block_once(request: OrdealRequest) -> None:
    """Block on the first run alone."""
    if lines(request.ledger, "start") == 1:
        time.sleep(request.seconds)  # noqa: ASYNC251


async def thread(request: OrdealRequest) -> None:
    await asyncio.to_thread(time.sleep, request.seconds)


async def fork(request: OrdealRequest) -> None:
    """Leave a copy of the worker behind that goes on as if it were the worker."""
    os.fork()
    await asyncio.sleep(request.seconds)


async def fork_below(request: OrdealRequest) -> None:
    """The same, from tasks that the job started."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fork(request))


async def leave(request: OrdealRequest) -> None:
    sys.exit(3)


async def cancel_itself(request: OrdealRequest) -> None:
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


async def die(request: OrdealRequest) -> None:
    os.kill(os.getpid(), 9)


WAYS: dict[str, Callable[[OrdealRequest], Awaitable[None]]] = {
    ordeal.__name__: ordeal
    for ordeal in (
        wait,
        swallow,
        swallow_once,
        turn,
        block,
        block_once,
        thread,
        fork,
        fork_below,
        leave,
        cancel_itself,
        die,
    )
}
ORDEAL = JobType(
    "ordeal",
    OrdealRequest,
    OrdealResult,
    Policy(RetryPolicy(3, timedelta(milliseconds=10)), concurrency=100, rate=None),
    Ordeal,
)


def with_ordeals(container: Container) -> Container:
    """The container with that job type and no other."""
    container.job_types.override(providers.Object(JobTypes([ORDEAL])))
    return container


def main(arguments: list[str]) -> int:
    """Work, or supervise others that do, as the real command does."""
    settings = settings_now()
    if arguments[:1] == ["--processes"]:
        command = [sys.executable, "-m", MODULE, "--supervised"]
        within = settings.grace_seconds + FORCED + 0.2
        supervisor = Supervisor(lambda bond: [*command, str(bond)], int(arguments[1]), within=within)
        return asyncio.run(supervisor.run())
    bond = Bond(int(arguments[1])) if arguments else None
    with_container(lambda container: work(with_ordeals(container), (), bond), settings, long_running=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
