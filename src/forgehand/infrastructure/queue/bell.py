"""The bell by Dramatiq: one queue and one actor per job type, and messages that carry nothing.

Between processes each ring is also called out, so that a listener need not ask often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import dramatiq
from dramatiq import Broker, Message, Worker
from dramatiq.worker import ConsumerThread, WorkerThread

from forgehand.infrastructure.queue.calls import Calls
from forgehand.infrastructure.queue.sender import Sender

THROTTLE_SECONDS = 0.02
POLL_SECONDS = 0.1
FLUSH_SECONDS = 1.0
STOP_SECONDS = 1.5

_log = logging.getLogger(__name__)


class DramatiqBell:
    """Rings and hears through `broker`, which has no middleware: Dramatiq only delivers.

    With `calls` all who listen hear a ring at once, and its message is for those who were not there.
    `poll` is how long Dramatiq's threads wait before they look about them, in seconds.
    """

    def __init__(self, broker: Broker, calls: Calls | None = None, *, poll: float = POLL_SECONDS) -> None:
        self._broker = broker
        self._calls = calls
        self._poll = poll
        self._ears: defaultdict[str, list[Callable[[], object]]] = defaultdict(list)
        self._sender = Sender(self._send, interval=THROTTLE_SECONDS)

    def ring(self, queue: str) -> None:
        """Return at once and never raise. Rings of one queue within 20 ms become one."""
        self._sender.ring(queue)

    @asynccontextmanager
    async def listen(self, queues: Collection[str], heard: Callable[[str], None]) -> AsyncIterator[None]:
        """Call `heard(queue)` on this event loop; leaving takes two seconds at most and no thread stays."""
        loop = asyncio.get_running_loop()
        ears = {queue: partial(loop.call_soon_threadsafe, heard, queue) for queue in queues}
        if not ears:
            yield
            return
        for queue, ear in ears.items():
            self._declare(queue)
            self._ears[queue].append(ear)
        worker = self._start(set(ears))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave, worker, ears)
            if self._calls is not None:
                await stack.enter_async_context(self._calls.heard(ears.keys(), heard))
            yield

    def close(self) -> None:
        """Send the rings that wait, within a second, then ring no more."""
        self._sender.close(FLUSH_SECONDS)
        self._broker.close()

    async def _leave(self, worker: Worker, ears: Mapping[str, Callable[[], object]]) -> None:
        for queue, ear in ears.items():
            self._ears[queue].remove(ear)
        stopping = ThreadPoolExecutor(1)  # the loop's own threads may all be busy with jobs
        stopped = asyncio.get_running_loop().run_in_executor(stopping, self._stop, worker)
        stopping.shutdown(wait=False)
        await stopped

    def _send(self, queue: str) -> None:
        message: Message[None] = Message(queue_name=queue, actor_name=queue, args=(), kwargs={}, options={})
        try:
            if self._calls is not None:
                self._calls.call(queue)
            self._broker.enqueue(message)
        except Exception as error:  # noqa: BLE001 - a hint may be lost, its thread may not
            _log.warning("A ring of %s was lost (%s); polling finds its jobs", queue, type(error).__name__)

    def _declare(self, queue: str) -> None:
        if queue in self._broker.actors:
            return

        @dramatiq.actor(actor_name=queue, queue_name=queue, broker=self._broker)
        def sound() -> None:
            for ear in tuple(self._ears[queue]):
                ear()

    def _start(self, queues: set[str]) -> Worker:
        self._broker.delay_queues.clear()  # never used, and each would be polled like a queue
        worker = Worker(
            self._broker, queues=queues, worker_threads=1, worker_timeout=round(self._poll * 1000)
        )
        worker.start()
        # Its middleware would add consumers of later queues: there are none, and a second one is warned of.
        left = [each for each in self._broker.middleware if getattr(each, "worker", None) is not worker]
        self._broker.middleware[:] = left
        return worker

    def _stop(self, worker: Worker) -> None:
        threads: list[WorkerThread | ConsumerThread] = [*worker.workers, *worker.consumers.values()]
        for thread in threads:
            while not thread.running:  # a thread says so as it starts, and would overrule the stop
                time.sleep(0.001)
            thread.stop()
        for consumer in worker.consumers.values():
            consumer.close()  # it may be waiting
        worker.stop(timeout=round(STOP_SECONDS * 1000))
