"""Time and ids, as arguments."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """The time as aware UTC."""
    return datetime.now(UTC)


def new_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): the milliseconds of `now`, then 74 random bits."""
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    noise = secrets.randbits(74)
    value = milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)
