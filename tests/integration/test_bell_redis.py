"""The bell through a real Redis, and through its deaths."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis as redis_py

from forgehand.infrastructure.queue import redis_bell
from forgehand.infrastructure.queue.bell import THROTTLE_SECONDS, DramatiqBell
from forgehand.infrastructure.queue.redis import CONNECTIONS, POLL_SECONDS, UNHEARD, connect
from tests.contracts.bell import BellContract, Ear, until
from tests.services import Redis


@pytest.fixture
def bell(redis_url: str) -> Iterator[DramatiqBell]:
    bell = redis_bell(redis_url, "test")
    yield bell
    bell.close()


class TestRedisBell(BellContract):
    """The contract, with this module's bell."""


@pytest.fixture
def other(redis_url: str) -> Iterator[DramatiqBell]:
    """As another process would have it."""
    bell = redis_bell(redis_url, "test")
    yield bell
    bell.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    with redis_py.Redis.from_url(redis_url) as client:
        yield client


def called(bell: DramatiqBell) -> int:
    """How many listen for calls."""
    assert bell._calls is not None
    [(_, listeners)] = bell._calls._client.pubsub_numsub(bell._calls._channel)
    return int(listeners)


def our_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("forgehand")]


async def test_a_short_lived_process_rings_before_it_ends(bell: DramatiqBell, redis_url: str) -> None:
    code = (
        "import sys; from forgehand.infrastructure.queue import redis_bell\n"
        "bell = redis_bell(sys.argv[1], 'test'); bell.ring('docs'); bell.ring('evidence'); bell.close()"
    )
    ear = Ear()
    async with bell.listen(["docs", "evidence"], ear):
        ringing = await asyncio.create_subprocess_exec(sys.executable, "-c", code, redis_url)
        assert await ringing.wait() == 0
        await until(lambda: set(ear.heard) == {"docs", "evidence"})


async def test_every_listening_process_hears_a_ring(bell: DramatiqBell, other: DramatiqBell) -> None:
    here, there = Ear(), Ear()
    async with bell.listen(["docs"], here), other.listen(["docs"], there):
        await until(lambda: called(bell) == 2)
        for _ in range(5):
            both = asyncio.gather(here.hears("docs"), there.hears("docs"))
            await asyncio.sleep(0)
            bell.ring("docs")
            await both


@pytest.mark.parametrize("steps", range(12))
async def test_a_listener_may_be_cancelled_while_it_connects(bell: DramatiqBell, steps: int) -> None:
    async def listen() -> None:
        async with bell.listen(["docs"], Ear()):
            await asyncio.Event().wait()

    listener = asyncio.create_task(listen())
    for _ in range(steps):
        await asyncio.sleep(0)
    listener.cancel()
    done, _ = await asyncio.wait({listener}, timeout=5)
    assert done


async def test_a_ring_is_heard_long_before_the_next_poll(bell: DramatiqBell) -> None:
    ear = Ear()
    async with bell.listen(["docs"], ear):
        await until(lambda: called(bell) == 1)
        waits = []
        for _ in range(20):
            await asyncio.sleep(1.5 * THROTTLE_SECONDS)
            began = time.monotonic()
            bell.ring("docs")
            await ear.hears("docs")
            waits.append(time.monotonic() - began)
    assert statistics.median(waits) < POLL_SECONDS / 5


async def test_a_listener_whose_connections_are_cut_hears_again(
    bell: DramatiqBell, client: redis_py.Redis
) -> None:
    ear = Ear()
    async with bell.listen(["docs"], ear):
        await until(lambda: called(bell) == 1)
        client.client_kill_filter(_type="pubsub")
        client.client_kill_filter(_type="normal", skipme=True)
        bell.ring("docs")
        await ear.hears("docs")
        await until(lambda: called(bell) == 1)


async def test_namespaces_do_not_hear_each_other(bell: DramatiqBell, redis_url: str) -> None:
    stranger, ear = redis_bell(redis_url, "stranger"), Ear()
    async with bell.listen(["docs", "evidence"], ear):
        stranger.ring("docs")
        stranger.close()
        bell.ring("evidence")
        await ear.hears("evidence")
    assert set(ear.heard) == {"evidence"}


def test_a_message_carries_a_queue_and_no_data(bell: DramatiqBell, client: redis_py.Redis) -> None:
    bell.ring("docs")
    bell.close()
    [raw] = client.hvals("test:docs.msgs")
    message = json.loads(raw)
    assert message["queue_name"] == message["actor_name"] == "docs"
    assert (message["args"], message["kwargs"], list(message["options"])) == ([], {}, ["redis_message_id"])


def test_rings_that_nobody_hears_do_not_pile_up(redis_url: str, client: redis_py.Redis) -> None:
    for _ in range(2 * UNHEARD):
        bell = redis_bell(redis_url, "test")
        bell.ring("docs")
        bell.close()
    assert client.llen("test:docs") == UNHEARD == client.hlen("test:docs.msgs")


async def test_heard_rings_leave_nothing_behind(bell: DramatiqBell, client: redis_py.Redis) -> None:
    ear = Ear()
    async with bell.listen(["docs"], ear):
        bell.ring("docs")
        await ear.hears("docs")
        await until(lambda: not client.exists("test:docs.msgs"))
    assert client.keys("test:*") == [b"test:__heartbeats__"]


async def test_a_listener_outlives_a_killed_redis(
    bell: DramatiqBell, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    with caplog.at_level(logging.INFO, "forgehand"):
        async with bell.listen(["docs", "evidence"], ear):
            bell.ring("docs")
            await ear.hears("docs")
            redis.kill()
            await until(lambda: len(our_lines(caplog)) == 1)
            for _ in range(20):
                bell.ring("docs")
            redis.start()
            await until(lambda: len(our_lines(caplog)) == 2)
            bell.ring("docs")
            await ear.hears("docs")
    away, back = our_lines(caplog)
    assert away.startswith("Redis does not answer (")
    assert back == "Redis answers again"


async def test_a_listener_outlives_flushall(bell: DramatiqBell, redis: Redis) -> None:
    ear = Ear()
    async with bell.listen(["docs"], ear):
        bell.ring("docs")
        await ear.hears("docs")
        redis.flush()
        bell.ring("docs")
        await ear.hears("docs")


async def test_one_may_listen_before_redis_is_there(
    bell: DramatiqBell, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis.stop()
    ear = Ear()
    async with bell.listen(["docs"], ear):
        await until(lambda: len(our_lines(caplog)) == 1)
        redis.start()
        bell.ring("docs")
        await ear.hears("docs")


async def test_without_redis_ringing_and_leaving_are_prompt(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis.stop()
    ear = Ear()
    bell = redis_bell(redis_url.replace("redis://", "redis://ada:hunter2@"), "test")
    async with bell.listen(["docs", "evidence"], ear):
        began = time.monotonic()
        for _ in range(1000):
            bell.ring("docs")
        assert time.monotonic() - began < 1
        await until(lambda: bool(our_lines(caplog)))
        left = time.monotonic()
    assert time.monotonic() - left < 2
    bell.close()
    assert len(our_lines(caplog)) == 1
    assert "hunter2" not in caplog.text


async def test_a_redis_that_hangs_delays_nobody(redis: Redis, redis_url: str) -> None:
    bell, ear = redis_bell(redis_url, "test"), Ear()
    assert redis.pid is not None
    try:
        async with bell.listen(["docs", "evidence"], ear):
            bell.ring("docs")
            await ear.hears("docs")
            os.kill(redis.pid, signal.SIGSTOP)
            began = time.monotonic()
            bell.ring("docs")
            assert time.monotonic() - began < 0.5
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 2
        closing = time.monotonic()
        bell.close()
        assert time.monotonic() - closing < 1.5
    finally:
        os.kill(redis.pid, signal.SIGCONT)


async def test_with_its_connections_exhausted_a_ring_returns_at_once(redis_url: str) -> None:
    broker, calls = connect(redis_url, "test")
    bell = DramatiqBell(broker, calls)
    pool = broker.client.connection_pool
    with ExitStack() as taken:
        for _ in range(CONNECTIONS):
            taken.callback(pool.release, pool.get_connection())
        began = time.monotonic()
        bell.ring("docs")
        assert time.monotonic() - began < 0.5
        closing = time.monotonic()
        bell.close()
        # The ring itself may still be sent once a connection is free: late rings do no harm.
        assert time.monotonic() - closing < 1.5


def test_dramatiq_only_delivers(redis_url: str) -> None:
    broker, _ = connect(redis_url, "test")
    assert broker.middleware == []
    assert broker.actor_options == set()


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://ada:hunter2@localhost", "redis://:hunter2/1@localhost", "redis://h:port"]
)
def test_an_invalid_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="the Redis address is not valid") as refused:
        redis_bell(url, "test")
    assert "hunter2" not in str(refused.value)
