"""The bell, by Dramatiq: within one process, or through Redis. Importing this package loads neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forgehand.infrastructure.queue.bell import DramatiqBell


def embedded_bell() -> DramatiqBell:
    """A bell that is heard within this process alone. It needs no server."""
    from forgehand.infrastructure.queue.bell import DramatiqBell
    from forgehand.infrastructure.queue.embedded import EmbeddedBroker

    return DramatiqBell(EmbeddedBroker())


def redis_bell(url: str, namespace: str) -> DramatiqBell:
    """A bell that every process with this Redis and namespace hears. Connects when first used.

    Raise ValueError for an address that cannot be one; the message never shows it.
    """
    from forgehand.infrastructure.queue.bell import DramatiqBell
    from forgehand.infrastructure.queue.redis import connect

    return DramatiqBell(*connect(url, namespace))


__all__ = ["embedded_bell", "redis_bell"]
