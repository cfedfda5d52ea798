"""The supervisor: keeps worker processes running, and ends with them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

_log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STEADY = 30.0
"""Seconds after which a process that dies did not die at once: the next pause is the first again."""

_ASKING = (signal.SIGINT, signal.SIGTERM)


class Supervisor:
    """Runs `processes` copies of a command and replaces those that die.

    `command` makes the command line from the descriptor of a pipe: a `Bond` on it tells the process
    that the supervisor is gone. A process that ends with one of `hopeless` would do so again: it ends
    them all. Asked to end, they have `within` seconds.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        processes: int,
        *,
        within: float,
        hopeless: Sequence[int] = (),
    ) -> None:
        self._command = command
        self._processes = processes
        self._within = within
        self._hopeless = hopeless
        self._children: set[asyncio.subprocess.Process] = set()
        self._ending = asyncio.Event()
        self._asked = 0
        self._code = 0

    async def run(self) -> int:
        """Until SIGTERM or SIGINT, which is passed on; the second one kills. Return the exit code.

        0 where all ended by themselves when asked, 128 + the signal where one had to be killed, or
        the hopeless one's code.
        """
        bond, held = os.pipe()
        try:
            with self._listening():
                await asyncio.gather(*(self._keep(bond) for _ in range(self._processes)))
        finally:
            self._signal(signal.SIGKILL)
            os.close(bond)
            os.close(held)
        return self._code

    @contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for each in _ASKING:
            loop.add_signal_handler(each, self._hear, each)
        try:
            yield
        finally:
            for each in _ASKING:
                loop.remove_signal_handler(each)

    def _hear(self, received: signal.Signals) -> None:
        self._asked += 1
        if self._asked > 1:
            self._kill(128 + received)
        else:
            self._end(received)

    def _end(self, how: signal.Signals) -> None:
        """Ask all to end, and kill those that do not."""
        self._ending.set()
        self._signal(how)
        asyncio.get_running_loop().call_later(self._within, self._kill, 128 + how)

    def _kill(self, code: int) -> None:
        if self._children:
            _log.warning("%d worker processes did not end in time and are killed", len(self._children))
            self._code = self._code or code
            self._signal(signal.SIGKILL)

    def _signal(self, how: signal.Signals) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                child.send_signal(how)

    async def _keep(self, bond: int) -> None:
        """One process after the other, until the end."""
        pause = FIRST_PAUSE
        while not self._ending.is_set():
            started = time.monotonic()
            code = await self._live(bond)
            if self._ending.is_set():
                return
            if code in self._hopeless:
                self._code = code
                self._end(signal.SIGTERM)
                return
            pause = FIRST_PAUSE if time.monotonic() - started > STEADY else pause
            _log.warning("a worker process ended (%s); another one starts in %.1f s", _ending(code), pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _live(self, bond: int) -> int:
        # Not of our process group: a terminal's Ctrl-C reaches us alone, and we pass it on once.
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command(bond), stdin=subprocess.DEVNULL, pass_fds=(bond,), process_group=0
            )
        except OSError as error:
            _log.error("no worker process could be started: %s", error)
            return os.EX_OSERR
        self._children.add(child)
        _log.info("worker process %d started", child.pid)
        try:
            if self._ending.is_set():
                child.terminate()
            return await child.wait()
        finally:
            self._children.discard(child)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
