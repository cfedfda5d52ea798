"""The worker: a pump that runs until it is asked to end."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgehand.application.jobs.pump import LAST_WORDS
from forgehand.entrypoints.worker.bond import Bond
from forgehand.entrypoints.worker.signals import end_after, ending_in_time

if TYPE_CHECKING:
    from forgehand.container import Container

_log = logging.getLogger(__name__)

ORPHANED = 71
FORCED = LAST_WORDS + 0.3
"""Seconds beyond the grace after which a worker that was asked to end is ended by force."""


def queues(container: Container, types: Sequence[str] = ()) -> tuple[str, ...]:
    """The queues to work on: `types`, else WORKER_TYPE, else all. Raise UnknownJobType."""
    known = container.job_types()
    wanted = tuple(types) or container.settings().worker_type
    return tuple(known.named(name).name for name in dict.fromkeys(wanted)) or known.names


async def work(container: Container, types: Sequence[str] = (), bond: Bond | None = None) -> None:
    """Run jobs until SIGTERM or SIGINT, then give them FORGEHAND_GRACE_SECONDS and hand the rest back.

    A second signal ends the process at once; a supervisor that dies does so by `bond`, without a
    grace. Raise UnknownJobType.
    """
    names = queues(container, types)
    pump = container.pump(queues=names)
    gc.freeze()  # what is loaded by now stays: looking through it again and again takes half of the time
    grace = container.settings().grace_seconds
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        end_after(FORCED, ORPHANED)
        loop.call_soon_threadsafe(pumping.cancel)

    pumping = asyncio.create_task(pump.run(grace))
    with ending_in_time(pump.stop, within=grace + FORCED):
        if bond is not None:
            bond.watch(orphaned)
        _log.info("working on %s as %s", ", ".join(names), pump.worker.label)
        async with container.scheduler().running(), container.keeper().running():
            await pumping
    _log.info("ended: %s", f"{pump.at_work} jobs would not" if pump.at_work else "nothing is left claimed")
