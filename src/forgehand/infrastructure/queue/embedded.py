"""Dramatiq's in-process broker, for rings."""

from __future__ import annotations

import threading
from typing import Any

from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

UNHEARD = 16


class EmbeddedBroker(StubBroker):
    """Queues come into being when first rung, and hold few rings while nobody listens."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self._declaring = threading.RLock()

    def declare_queue(self, queue_name: str) -> None:
        with self._declaring:  # or two threads make two queues of one name
            super().declare_queue(queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        self.declare_queue(message.queue_name)
        if self.queues[message.queue_name].qsize() >= UNHEARD:
            return message
        return super().enqueue(message, delay=delay)
