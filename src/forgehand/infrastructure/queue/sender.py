"""The thread that sends rings, so that whoever rings waits for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from forgehand.infrastructure.queue.throttle import Throttle


class Sender:
    """Calls `send(queue)` for rings, throttled, from a daemon thread that starts with the first one."""

    def __init__(self, send: Callable[[str], None], *, interval: float) -> None:
        self._send = send
        self._throttle = Throttle(interval)
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def ring(self, queue: str) -> None:
        """Return at once. Closed, or without a thread to be had, the ring is lost."""
        with self._changed:
            if self._closed or not self._throttle.ring(queue):
                return
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="forgehand-bell", daemon=True)
                with suppress(RuntimeError):  # no more threads, or the interpreter is ending
                    thread.start()
                    self._thread = thread
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Send what waits, for `timeout` seconds at most."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while queues := self._next():
            for queue in queues:
                self._send(queue)

    def _next(self) -> list[str]:
        """Wait for queues to ring. None left means closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if due := self._throttle.take(now):
                    return due
                due_at = self._throttle.due_at()
                self._changed.wait(None if due_at is None else due_at - now)
            return self._throttle.take_all()
