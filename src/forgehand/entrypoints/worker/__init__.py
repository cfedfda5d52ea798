"""The worker: a pump that runs until it is asked to end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgehand.entrypoints.worker.signals import on_signal

if TYPE_CHECKING:
    from forgehand.container import Container

_log = logging.getLogger(__name__)


def queues(container: Container, types: Sequence[str] = ()) -> tuple[str, ...]:
    """The queues to work on: `types`, else WORKER_TYPE, else all. Raise UnknownJobType."""
    known = container.job_types()
    wanted = tuple(types) or container.settings().worker_type
    return tuple(known.named(name).name for name in dict.fromkeys(wanted)) or known.names


async def work(container: Container, types: Sequence[str] = ()) -> None:
    """Run jobs until SIGTERM or SIGINT, then give them FORGEHAND_GRACE_SECONDS and hand the rest back.

    A second signal ends the process at once. Raise UnknownJobType.
    """
    names = queues(container, types)
    pump = container.pump(queues=names)
    with on_signal(lambda _: pump.stop()):
        _log.info("working on %s as %s", ", ".join(names), pump.worker.label)
        async with container.scheduler().running():
            await pump.run(container.settings().grace_seconds)
        _log.info("ended: nothing is left claimed")
