"""One worker process of the chaos: the product's own worker, with other job types and a bad bell."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from dependency_injector import providers

from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.container import opened
from forgehand.entrypoints.worker import work
from forgehand.settings import load
from tests.chaos.bells import UnreliableBell
from tests.chaos.broken import break_fence
from tests.chaos.ledger import Ledger
from tests.chaos.ordeals import refit

NO_STORE = 75
"""The exit code of a worker that found no database as it started."""


async def main() -> int:
    """Work until asked to end. The environment says where, and who we are."""
    ledger = Ledger(Path(os.environ["CHAOS_LEDGER"]), os.environ["CHAOS_PROCESS"])
    if os.environ.get("CHAOS_BREAK_FENCE"):
        break_fence()
    try:
        async with opened(load()) as container:
            refit(container, ledger)
            bell = UnreliableBell(container.bell())
            container.bell.override(providers.Object(bell))
            await work(container)
    except StoreUnavailable:
        return NO_STORE
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(asyncio.run(main()))
