"""Forgehand as real processes, as an operator runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


def forgehand(
    *arguments: str, environment: Mapping[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "forgehand", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Running:
    """A command that runs until it is ended. Its output is in `log`."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        log: Path,
        module: str = "forgehand",
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self, text: str, within: float = 30) -> str:
        """Wait until a line of the output contains `text`, and return that line."""

        def look() -> str | None:
            lines = self.log.read_text(errors="replace").splitlines()
            return next((line for line in lines if text in line), None)

        return eventually(look, within, lambda: f"{text!r} in: {self.log.read_text(errors='replace')}")

    def end(self, how: signal.Signals = signal.SIGTERM, within: float = 30) -> int:
        """Signal it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def several(*running: Running) -> Iterator[None]:
    """End all of them at the end, whatever happens."""
    try:
        yield
    finally:
        for each in running:
            each.__exit__(None, None, None)


def eventually(look: Callable[[], T | None], within: float, what: Callable[[], str]) -> T:
    """The first thing that `look` finds; fails with `what` was awaited after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what()}")
        time.sleep(0.02)
