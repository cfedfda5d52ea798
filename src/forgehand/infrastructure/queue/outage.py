"""Bearing with a Redis that is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from dramatiq.errors import DramatiqError

_log = logging.getLogger(__name__)


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
