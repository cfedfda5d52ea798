"""Whether Redis answers."""

from __future__ import annotations

from forgehand.application.ports.failures import Transient

_PATIENCE = 2.0


class RedisUnavailable(Transient):
    """Redis does not answer; jobs are found by polling until it does."""


async def require_redis(url: str) -> None:
    """Raise RedisUnavailable."""
    from redis.asyncio import Redis  # a process without Redis need not load it
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
    try:
        await client.ping()
    except (RedisError, OSError, ValueError) as error:
        raise RedisUnavailable(f"Redis does not answer ({type(error).__name__})") from error
    finally:
        await client.aclose()
