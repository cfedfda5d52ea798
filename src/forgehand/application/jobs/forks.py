"""A job that forks: its copy of the worker must never get at the worker's loop and connections."""

from __future__ import annotations

import os
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

STRAYED = 70
"""The exit code of a forked copy that would have gone on as a second worker."""


@types.coroutine
def in_this_process(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await `work`. A process that it forks ends where it would come back to the event loop."""
    home = os.getpid()
    step = partial(work.send, None)
    while True:
        try:
            awaited = step()
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            if os.getpid() != home:
                os._exit(STRAYED)
        try:
            step = partial(work.send, (yield awaited))
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - cancellation and all else is the work's to hear
            step = partial(work.throw, error)
