"""The bell that tells workers of new work. It carries no data but a queue's name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

TOLD = "_told"
"""Rung when something was told of any job, for those who follow; no job type can have that name."""


class Bell(Protocol):
    """Rings are hints: they may be lost, late, doubled or merged, and nothing depends on them."""

    def ring(self, queue: str) -> None:
        """Return at once and never raise. Many rings in a short time may become one."""
        ...

    def listen(
        self, queues: Collection[str], heard: Callable[[str], None]
    ) -> AbstractAsyncContextManager[None]:
        """While the context is open, call `heard(queue)` on this event loop for rings of `queues`.

        An unreachable broker does not raise: it is tried again until the context ends.
        """
        ...
