"""`forgehand worker --processes N`: the supervisor, which imports little and touches no database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.redaction import Redactor
from forgehand.application.registry import JOB_TYPES
from forgehand.entrypoints.cli.debugging import debugging
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.logs import log_to_stderr
from forgehand.entrypoints.worker import FORCED
from forgehand.entrypoints.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from forgehand.settings import Settings

HOPELESS = (ExitCode.USAGE, ExitCode.CONFIGURATION)


def supervise(settings: Settings, types: Sequence[str]) -> int:
    """Run the worker processes until asked to end; return the exit code. Raise UnknownJobType."""
    log_to_stderr(Redactor(settings.secrets), long_running=True, debug=debugging.get())
    known = JobTypes(JOB_TYPES)
    for name in types or settings.worker_type:
        known.named(name)
    debug = ["--debug"] if debugging.get() else []
    worker = [sys.executable, "-m", "forgehand", *debug, "worker", *types]
    options = ["--concurrency", str(settings.concurrency), "--supervised"]
    supervisor = Supervisor(
        lambda bond: [*worker, *options, str(bond)],
        settings.processes,
        within=settings.grace_seconds + FORCED + 0.2,
        hopeless=HOPELESS,
    )
    return asyncio.run(supervisor.run())
