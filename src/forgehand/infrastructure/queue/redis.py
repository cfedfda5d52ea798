"""Dramatiq's Redis broker, for rings: an outage loses hints, costs one line of log, and ends by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import DramatiqError
from redis.backoff import NoBackoff
from redis.retry import Retry

UNHEARD = 16
ANSWER_SECONDS = 1.0
RETRY_SECONDS = 0.5
CONNECTIONS = 16

_log = logging.getLogger(__name__)


def connect(url: str, namespace: str) -> PatientRedisBroker:
    """A broker on that Redis; it connects when first used. Raise ValueError for an invalid address."""
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
    return PatientRedisBroker(redis.Redis(connection_pool=pool), namespace)


class Outage:
    """Says once that Redis is away, and once that it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    @contextmanager
    def survived(self) -> Iterator[None]:
        """Swallow what a Redis that is down, slow or full raises."""
        try:
            yield
        except (redis.RedisError, DramatiqError) as error:
            with self._lock:
                if self._since is None:
                    self._since = time.monotonic()
                    _log.warning("Redis does not answer (%s); jobs are found by polling until it does", error)

    def over(self, asked: float) -> None:
        """Redis answered what it was asked then: news only if that was after it went away."""
        with self._lock:
            if self._since is not None and asked > self._since:
                self._since = None
                _log.info("Redis answers again")


class PatientRedisBroker(RedisBroker):
    """Drops rings that Redis does not take, and those that would wait behind many unheard ones."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # Dramatiq's has no annotations
            client=client, namespace=namespace, middleware=[]
        )
        self._outage = Outage()

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        asked = time.monotonic()
        with self._outage.survived():
            if self.client.llen(f"{self.namespace}:{message.queue_name}") < UNHEARD:
                message = super().enqueue(message, delay=delay)
            self._outage.over(asked)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        return PatientConsumer(super().consume(queue_name, prefetch, timeout), self._outage)

    def close(self) -> None:
        self.client.connection_pool.disconnect(inuse_connections=False)


class PatientConsumer(Consumer):
    """Never raises: Dramatiq would sleep three seconds, deaf to a stop, and log each time."""

    def __init__(self, inner: Consumer, outage: Outage) -> None:
        self._inner = inner
        self._outage = outage

    def __next__(self) -> MessageProxy | None:
        asked = time.monotonic()
        with self._outage.survived():
            message = next(self._inner)
            if message is None:  # an answer of now; a message may have been fetched before
                self._outage.over(asked)
            return message
        time.sleep(RETRY_SECONDS)
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
        self._inner.close()
