"""Time and ids, as arguments."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """The time as aware UTC."""
    return datetime.now(UTC)


def new_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): the milliseconds of `now`, then 74 bits that rise within a millisecond.

    So jobs that one process submits at once keep their order.
    """
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    noise = _newest.after(milliseconds)
    value = milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)


class _Newest:
    """The newest id's random part, to go on from while the millisecond is the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._noise = 0

    def after(self, milliseconds: int) -> int:
        with self._lock:
            if milliseconds == self._milliseconds:
                # Only the first of a millisecond need be beyond guessing: the system's noise costs 5 µs.
                self._noise += 1 + random.getrandbits(32)
            else:
                # The highest bit is left free: there is room for 2^41 more.
                self._milliseconds, self._noise = milliseconds, secrets.randbits(73)
            return self._noise


_newest = _Newest()
