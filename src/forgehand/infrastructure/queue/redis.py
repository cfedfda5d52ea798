"""Dramatiq's Redis broker, for rings: an outage loses hints, costs one line of log, and ends by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

from forgehand.infrastructure.queue.calls import Calls
from forgehand.infrastructure.queue.outage import Outage

UNHEARD = 16
ANSWER_SECONDS = 1.0
RETRY_SECONDS = 0.5
CONNECTIONS = 16
POLL_SECONDS = 1.0  # calls tell of new work much sooner


def connect(url: str, namespace: str) -> tuple[PatientRedisBroker, Calls]:
    """A broker and its calls on that Redis; connected when used. Raise ValueError for an invalid address."""
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),  # a stale connection
        )
    except ValueError:
        raise ValueError(
            "the Redis address is not valid: write redis://, rediss:// or unix://, "
            "and percent-encode what is special in the password"
        ) from None
    client, outage = redis.Redis(connection_pool=pool), Outage()
    return PatientRedisBroker(client, namespace, outage), Calls(client, url, namespace, outage)


class PatientRedisBroker(RedisBroker):
    """Drops rings that Redis does not take, and those that would wait behind many unheard ones."""

    def __init__(self, client: redis.Redis, namespace: str, outage: Outage) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # Dramatiq's has no annotations
            client=client, namespace=namespace, middleware=[]
        )
        self._outage = outage

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        asked = time.monotonic()
        with self._outage.survived():
            if self.client.llen(f"{self.namespace}:{message.queue_name}") < UNHEARD:
                message = super().enqueue(message, delay=delay)
            self._outage.over(asked)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        return PatientConsumer(super().consume(queue_name, prefetch, timeout=1), self._outage)

    def close(self) -> None:
        self.client.connection_pool.disconnect(inuse_connections=False)


class PatientConsumer(Consumer):
    """Asks now and then, until closed, and never raises.

    To an error Dramatiq would sleep three seconds, deaf to a stop, and log each time.
    """

    def __init__(self, inner: Consumer, outage: Outage) -> None:
        self._inner = inner
        self._outage = outage
        self._closed = threading.Event()

    def __next__(self) -> MessageProxy | None:
        asked = time.monotonic()
        with self._outage.survived():
            message = next(self._inner)
            if message is None:  # an answer of now; a message may have been fetched before
                self._outage.over(asked)
                self._closed.wait(POLL_SECONDS)
            return message
        self._closed.wait(RETRY_SECONDS)
        return None

    def ack(self, message: MessageProxy) -> None:
        with self._outage.survived():
            self._inner.ack(message)

    def nack(self, message: MessageProxy) -> None:
        with self._outage.survived():
            self._inner.nack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        with self._outage.survived():
            self._inner.requeue(messages)

    def close(self) -> None:
        self._closed.set()
        self._inner.close()
