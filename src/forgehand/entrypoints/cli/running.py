"""Running one command: settings, container, event loop, and how it ended."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from forgehand.application.redaction import Redactor
from forgehand.client import JobFailed
from forgehand.entrypoints.cli.debugging import debugging
from forgehand.entrypoints.cli.exits import ExitCode, is_ours, of_error
from forgehand.entrypoints.cli.logs import log_to_stderr
from forgehand.entrypoints.cli.places import place
from forgehand.entrypoints.worker.signals import on_signal

if TYPE_CHECKING:
    from forgehand.container import Container
    from forgehand.settings import Settings

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """One event loop for the whole command. Raise KeyboardInterrupt where a signal cancelled it."""
    try:
        with asyncio.Runner() as runner:
            return runner.run(_cancelled_by_signal(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _cancelled_by_signal(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    with on_signal(lambda _: task and task.cancel()):
        return await work


def with_container(
    work: Callable[[Container], Awaitable[T]], settings: Settings, *, long_running: bool = False
) -> T:
    """Run `work` with a container that is closed behind it."""
    from forgehand.container import opened

    log_to_stderr(Redactor(settings.secrets), long_running=long_running, debug=debugging.get())

    async def inside() -> T:
        async with opened(settings) as container:
            return await work(container)

    return run(inside())


def settings_now(**flags: Any) -> Settings:
    """Flags over the environment. Raise InvalidSettings."""
    from forgehand.settings import load

    return load(flags)


def locally(repo: str) -> tuple[str, Settings]:
    """The location that `--repo` means, and settings with which this process may read it.

    Whoever types the command may read what the command may read, wherever a clone keeps its objects.
    """
    found, settings = place(repo), settings_now()
    if found.local:
        settings = settings.model_copy(update={"local_roots": (*settings.local_roots, Path("/"))})
    return found.location, settings


def failed(error: Exception, *, debug: bool) -> ExitCode:
    """Say in one line on stderr what went wrong; with --debug, how. Return the exit code."""
    redactor = Redactor(_secrets())
    message = " ".join(str(error).split()) or type(error).__name__
    if not is_ours(error):
        message = f"unexpected {type(error).__name__}: {message}"
        message += "" if debug else " (run it again with --debug for more)"
    if debug:
        trace = "".join(traceback.format_exception(error))
        trace += f"\n{error.detail}\n" if isinstance(error, JobFailed) and error.detail else ""
        print(redactor.text(trace), file=sys.stderr, end="")
    print(f"forgehand: {redactor.text(message)}", file=sys.stderr)
    return of_error(error)


def _secrets() -> tuple[str, ...]:
    from forgehand.settings import InvalidSettings, load

    try:
        return load().secrets
    except InvalidSettings:
        return ()
