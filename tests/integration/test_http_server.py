"""A real server on loopback: how it starts, answers and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from forgehand.container import Container
from forgehand.domain.access import Role
from forgehand.domain.jobs import AttemptOutcome, JobState
from forgehand.entrypoints.http.server import CannotListen, serve
from tests.http_api import Wait, make_token, opened_container


@asynccontextmanager
async def serving(
    container: Container, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(container, host, 0, listening=url.set_result))
    try:
        yield await asyncio.wait_for(url, 20), task
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def container() -> AsyncIterator[Container]:
    async with opened_container() as container:
        yield container


@pytest.fixture
async def token(container: Container) -> str:
    text, _ = await make_token(container, "op", Role.OPERATOR)
    return text


async def test_it_answers_on_a_free_port_and_says_which(container: Container, token: str) -> None:
    async with serving(container) as (url, _), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/api/jobs")).status_code == 401
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=20"}
        answer = await client.post("/api/jobs/add-numbers", json={"firstNumber": 2}, headers=headers)

    assert (answer.status_code, answer.json()["result"]["totalSum"]) == (200, 2)
    assert "server" not in answer.headers


async def test_head_has_no_body_on_the_wire(container: Container) -> None:
    async with serving(container) as (url, _), httpx.AsyncClient(base_url=url) as client:
        head = await client.head("/health")
        again = await client.get("/health")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == again.headers["content-length"]


async def test_a_port_in_use_is_said_in_one_line(container: Container) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refused:
            await serve(container, "127.0.0.1", port)

    assert str(refused.value) == f"port {port} is in use; choose another with --port"


async def test_an_unknown_host_is_said_in_one_line(container: Container) -> None:
    with pytest.raises(CannotListen, match="--host"):
        await serve(container, "no.such.host.invalid", 0)


async def test_an_address_of_another_machine_is_said_in_one_line(container: Container) -> None:
    with pytest.raises(CannotListen, match="--host"):
        await serve(container, "192.0.2.1", 0)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(container: Container, sent: signal.Signals) -> None:
    before = {it: signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)}
    async with serving(container) as (url, task):
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health")).status_code == 200
            os.kill(os.getpid(), sent)
            began = time.monotonic()
            await asyncio.wait_for(task, 20)

    assert time.monotonic() - began < 5
    assert {it: signal.getsignal(it) for it in before} == before


async def test_at_the_end_whoever_waits_is_answered_and_the_job_is_handed_back(
    container: Container, token: str
) -> None:
    async with serving(container) as (url, task), httpx.AsyncClient(base_url=url) as client:
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=60"}
        asking = asyncio.create_task(
            client.post("/api/jobs/wait-for-it", json={}, headers=headers, timeout=60)
        )
        await asyncio.wait_for(Wait.started.wait(), 20)
        os.kill(os.getpid(), signal.SIGTERM)
        answer = await asyncio.wait_for(asking, 20)
        await asyncio.wait_for(task, 20)

    assert answer.status_code == 202
    job = await container.jobs().get(UUID(answer.json()["id"]))
    assert (job.state, job.attempts) == (JobState.PENDING, 0)
    [attempt] = await container.jobs().attempts(job.id)
    assert attempt.outcome is AttemptOutcome.RETURNED


async def test_a_connection_that_says_nothing_does_not_hold_up_the_end(container: Container) -> None:
    async with serving(container) as (url, task):
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /api/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n")
        await writer.drain()
        os.kill(os.getpid(), signal.SIGTERM)
        began = time.monotonic()
        await asyncio.wait_for(task, 20)
        writer.close()

    assert time.monotonic() - began < 6


async def test_cancelling_it_ends_it_in_good_order(container: Container) -> None:
    async with serving(container) as (url, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
