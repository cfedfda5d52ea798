"""What every Bell promises."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from forgehand.application.ports.bell import Bell

PATIENCE_SECONDS = 10


class Ear:
    """Keeps what it heard, and where."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.threads: set[int] = set()
        self._news = asyncio.Event()

    def __call__(self, queue: str) -> None:
        self.heard.append(queue)
        self.threads.add(threading.get_ident())
        self._news.set()

    async def hears(self, queue: str) -> None:
        """Wait for the next ring of `queue`; what was heard before does not count."""
        before = self.heard.count(queue)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.heard.count(queue) == before:
                self._news.clear()
                await self._news.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another thread or process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


class BellContract:
    """Subclasses give `bell`, one that nobody else rings."""

    @pytest.fixture
    def ear(self) -> Ear:
        return Ear()

    async def test_a_ring_is_heard_with_its_queue(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            bell.ring("docs")
            await ear.hears("docs")
        assert set(ear.heard) == {"docs"}

    async def test_it_is_heard_on_the_event_loop_of_the_listener(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            bell.ring("docs")
            await ear.hears("docs")
        assert ear.threads == {threading.get_ident()}

    async def test_any_thread_may_ring(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            threading.Thread(target=bell.ring, args=["docs"]).start()
            await ear.hears("docs")

    async def test_a_listener_hears_all_its_queues_and_no_other(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs", "evidence"], ear):
            for queue in ("strangers", "evidence", "docs"):
                bell.ring(queue)
            await until(lambda: {"docs", "evidence"} <= set(ear.heard))
        assert "strangers" not in ear.heard

    async def test_every_ring_after_a_heard_one_is_heard(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            for _ in range(5):
                bell.ring("docs")
                await ear.hears("docs")

    async def test_many_rings_return_at_once_and_become_few(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            began = time.monotonic()
            for _ in range(10_000):
                bell.ring("docs")
            assert time.monotonic() - began < 2
            await ear.hears("docs")
        assert len(ear.heard) < 200

    async def test_of_two_listeners_one_at_least_hears(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear), bell.listen(["docs"], ear):
            for _ in range(5):
                bell.ring("docs")
                await ear.hears("docs")

    async def test_two_listeners_are_nothing_to_be_warned_of(
        self, bell: Bell, ear: Ear, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with bell.listen(["docs"], ear), bell.listen(["evidence"], ear):
            bell.ring("docs")
            await ear.hears("docs")
        assert [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING] == []

    async def test_when_one_of_two_listeners_leaves_the_other_hears(self, bell: Bell, ear: Ear) -> None:
        gone = Ear()
        async with bell.listen(["docs"], ear):
            async with bell.listen(["docs"], gone):
                pass
            for _ in range(5):
                bell.ring("docs")
                await ear.hears("docs")
        assert gone.heard == []

    async def test_after_the_context_nothing_is_heard(self, bell: Bell, ear: Ear) -> None:
        async with bell.listen(["docs"], ear):
            pass
        later = Ear()
        bell.ring("docs")
        async with bell.listen(["docs"], later):
            bell.ring("docs")
            await later.hears("docs")
        assert ear.heard == []

    async def test_leaving_is_prompt_and_leaves_no_thread(self, bell: Bell, ear: Ear) -> None:
        bell.ring("docs")
        async with bell.listen(["docs"], ear):
            await ear.hears("docs")
        before = threading.active_count()
        for _ in range(5):
            async with bell.listen(["docs", "evidence"], ear):
                began = time.monotonic()
            assert time.monotonic() - began < 2
        await until(lambda: threading.active_count() <= before)

    async def test_an_error_in_the_context_ends_the_listening(self, bell: Bell, ear: Ear) -> None:
        with pytest.raises(ZeroDivisionError):
            async with bell.listen(["docs"], ear):
                raise ZeroDivisionError
        await self.test_after_the_context_nothing_is_heard(bell, ear)

    async def test_cancelling_the_listener_ends_it(self, bell: Bell, ear: Ear) -> None:
        async def listen() -> None:
            async with bell.listen(["docs"], ear):
                await asyncio.Event().wait()

        listener = asyncio.create_task(listen())
        bell.ring("docs")
        await ear.hears("docs")
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener

    async def test_listening_to_no_queue_is_silence(self, bell: Bell, ear: Ear) -> None:
        bell.ring("docs")
        async with bell.listen([], ear):
            bell.ring("docs")
            await asyncio.sleep(0.05)
        assert ear.heard == []
