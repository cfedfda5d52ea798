"""Calling out rings by Redis pub/sub: whoever listens hears at once, whoever does not never will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import redis
from redis.asyncio import Redis

from forgehand.infrastructure.queue.outage import Outage

RETRY_SECONDS = 0.5
CONNECT_SECONDS = 1.0
AGAIN_SECONDS = 0.1


class Calls:
    """One channel for a namespace; a call carries the name of a queue."""

    def __init__(self, client: redis.Redis, url: str, namespace: str, outage: Outage) -> None:
        self._client = client
        self._url = url
        self._channel = f"{namespace}:rings"
        self._outage = outage

    def call(self, queue: str) -> None:
        """Block until Redis took it, or did not."""
        with self._outage.survived():
            self._client.publish(self._channel, queue)

    @asynccontextmanager
    async def heard(self, queues: Collection[str], hear: Callable[[str], None]) -> AsyncIterator[None]:
        """Call `hear(queue)` on this event loop for calls of `queues`, through whatever happens to Redis."""
        listening = asyncio.create_task(self._listen(queues, hear))
        try:
            yield
        finally:
            while not listening.done():  # redis-py swallows a cancellation that comes while it connects
                listening.cancel()
                await asyncio.wait({listening}, timeout=AGAIN_SECONDS)

    async def _listen(self, queues: Collection[str], hear: Callable[[str], None]) -> None:
        while True:
            with self._outage.survived():
                await self._listen_once(queues, hear)
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen_once(self, queues: Collection[str], hear: Callable[[str], None]) -> None:
        async with (
            Redis.from_url(
                self._url, socket_connect_timeout=CONNECT_SECONDS, socket_keepalive=True
            ) as client,
            client.pubsub(ignore_subscribe_messages=True) as subscription,
        ):
            await subscription.subscribe(self._channel)
            async for message in subscription.listen():
                queue = message["data"].decode()
                if queue in queues:
                    hear(queue)
