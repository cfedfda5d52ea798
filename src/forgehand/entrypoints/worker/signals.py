"""Ending in good order: the first SIGINT or SIGTERM asks, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ASKING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signal(ask: Callable[[signal.Signals], object]) -> Iterator[None]:
    """While the context is open, call `ask` on this event loop for the first signal."""
    loop = asyncio.get_running_loop()
    asked = False

    def hear(received: signal.Signals) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + received)
        asked = True
        ask(received)

    for each in _ASKING:
        loop.add_signal_handler(each, hear, each)
    try:
        yield
    finally:
        for each in _ASKING:
            loop.remove_signal_handler(each)
