"""Ending in good order: the first SIGINT or SIGTERM asks, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
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


@contextmanager
def ending_in_time(ask: Callable[[], object], *, within: float) -> Iterator[None]:
    """For a process that is nothing but a worker: `ask` for the first signal, on this event loop.

    The process then ends `within` seconds, also where a job blocks the loop or a thread never returns,
    and at the second signal at once. A process that a job forked ends as by any signal.
    """
    loop = asyncio.get_running_loop()
    home = os.getpid()
    asked = False

    def hear(received: int, _frame: object) -> None:
        nonlocal asked
        if os.getpid() != home:
            signal.signal(received, signal.SIG_DFL)
            os.kill(os.getpid(), received)
        elif asked:
            os._exit(128 + received)
        else:
            asked = True
            end_after(within, 128 + received)
            loop.call_soon_threadsafe(ask)

    for each in _ASKING:
        loop.remove_signal_handler(each)
        # Not the loop's own way to hear signals: a blocked loop would hear none.
        signal.signal(each, hear)
    yield


def end_after(seconds: float, code: int) -> None:
    """End this process then, unless it has ended by itself."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
