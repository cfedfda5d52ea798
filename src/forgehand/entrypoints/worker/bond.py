"""What ties worker processes to their supervisor: they end when it dies, however it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


class Bond:
    """The reading end of a pipe whose other end only the supervisor holds, and never writes to."""

    def __init__(self, end: int) -> None:
        """`end` is the file descriptor that the supervisor passed on.

        From now on Linux kills this process with its parent, be it stopped or stuck in foreign code.
        """
        self._end = end
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost` from a thread when the supervisor is gone."""
        threading.Thread(target=self._wait, args=(lost,), name="forgehand-bond", daemon=True).start()

    def _wait(self, lost: Callable[[], None]) -> None:
        while os.read(self._end, 1):
            pass
        lost()
