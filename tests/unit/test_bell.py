"""The bell within one process, and the parts that need no broker."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq import Message

from forgehand.application.ports.bell import Bell
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.queue.bell import DramatiqBell
from forgehand.infrastructure.queue.embedded import UNHEARD, EmbeddedBroker
from forgehand.infrastructure.queue.sender import Sender
from forgehand.infrastructure.queue.throttle import Throttle
from tests.contracts.bell import BellContract, Ear, until


class TestEmbeddedBell(BellContract):
    @pytest.fixture
    def bell(self) -> Iterator[Bell]:
        bell = DramatiqBell(EmbeddedBroker(), poll=0.01)  # the embedded bell, but quicker to stop
        yield bell
        bell.close()


class TestThrottle:
    def test_the_first_ring_is_due_at_once(self) -> None:
        throttle = Throttle(0.02)
        throttle.ring("docs")
        assert throttle.take(now=5.0) == ["docs"]

    def test_rings_within_the_interval_become_one_at_its_end(self) -> None:
        throttle = Throttle(0.02)
        throttle.ring("docs")
        throttle.take(now=5.0)
        assert [throttle.ring("docs") for _ in range(3)] == [True, False, False]
        assert throttle.take(now=5.019) == []
        assert throttle.due_at() == 5.02
        assert throttle.take(now=5.02) == ["docs"]
        assert throttle.due_at() is None

    def test_queues_do_not_wait_for_one_another(self) -> None:
        throttle = Throttle(0.02)
        throttle.ring("docs")
        throttle.take(now=5.0)
        throttle.ring("docs")
        throttle.ring("evidence")
        assert throttle.take(now=5.001) == ["evidence"]

    def test_what_waits_can_be_taken_early(self) -> None:
        throttle = Throttle(0.02)
        throttle.ring("docs")
        throttle.take(now=5.0)
        throttle.ring("docs")
        assert throttle.take_all() == ["docs"]
        assert throttle.take_all() == []


class Stuck:
    """Sends nothing until released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, queue: str) -> None:
        self.released.wait(5)


class TestSender:
    def test_closing_sends_what_waits(self) -> None:
        sent: list[str] = []
        first = threading.Event()

        def send(queue: str) -> None:
            sent.append(queue)
            first.set()

        sender = Sender(send, interval=3600)
        sender.ring("docs")
        assert first.wait(5)
        sender.ring("docs")
        sender.close(timeout=5)
        assert sent == ["docs", "docs"]

    def test_closing_waits_no_longer_than_told(self) -> None:
        stuck = Stuck()
        sender = Sender(stuck, interval=0.02)
        sender.ring("docs")
        began = time.monotonic()
        sender.close(timeout=0.05)
        assert time.monotonic() - began < 2
        stuck.released.set()

    def test_after_closing_rings_are_lost_in_silence(self) -> None:
        sent: list[str] = []
        sender = Sender(sent.append, interval=0.02)
        sender.close(timeout=1)
        sender.ring("docs")
        assert sent == []

    def test_ringing_does_not_wait_for_a_slow_send(self) -> None:
        stuck = Stuck()
        sender = Sender(stuck, interval=0.0)
        began = time.monotonic()
        for _ in range(1000):
            sender.ring("docs")
        assert time.monotonic() - began < 2
        stuck.released.set()
        sender.close(timeout=5)


class BrokenBroker(EmbeddedBroker):
    """Takes every second message."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def enqueue(self, message: Message[None], *, delay: int | None = None) -> Message[None]:
        if self.refused:
            return super().enqueue(message, delay=delay)
        self.refused += 1
        raise OSError("postgres://ada:hunter2@example.com is full")


async def test_a_broker_that_fails_costs_one_ring_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    broker, ear = BrokenBroker(), Ear()
    bell = DramatiqBell(broker)
    with caplog.at_level(logging.WARNING, "forgehand"):
        bell.ring("docs")
        await until(lambda: broker.refused == 1)
        async with bell.listen(["docs"], ear):
            bell.ring("docs")
            await ear.hears("docs")
    bell.close()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("forgehand")] == [
        "A ring of docs was lost (OSError); polling finds its jobs"
    ]


async def test_rings_that_nobody_hears_do_not_pile_up() -> None:
    broker = EmbeddedBroker()
    bell = DramatiqBell(broker)
    for _ in range(3 * UNHEARD):
        broker.enqueue(Message("docs", "docs", (), {}, {}))
    bell.close()
    assert broker.queues["docs"].qsize() == UNHEARD


async def test_a_closed_bell_rings_in_silence() -> None:
    bell = embedded_bell()
    bell.close()
    bell.ring("docs")
    bell.close()


async def test_bells_of_one_process_are_apart_and_the_global_broker_is_left_alone() -> None:
    one, other, ear = embedded_bell(), embedded_bell(), Ear()
    before = dramatiq.broker.global_broker
    async with one.listen(["docs"], ear):
        other.ring("docs")
        one.ring("docs")
        await ear.hears("docs")
    assert ear.heard == ["docs"]
    assert dramatiq.broker.global_broker is before
    one.close()
    other.close()


def test_dramatiq_only_delivers() -> None:
    broker = EmbeddedBroker()
    assert broker.middleware == []
    assert broker.actor_options == set()


def test_importing_the_queue_loads_neither_dramatiq_nor_redis() -> None:
    code = "import sys, forgehand.infrastructure.queue; print({'dramatiq', 'redis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
