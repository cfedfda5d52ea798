"""Whether this process is up, and whether it can do its work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from forgehand.application.jobs.submit import Fault
from forgehand.application.ports.jobs import StoreNewer, StoreOutdated
from forgehand.entrypoints.http.openapi import NO_TOKEN, problem_responses
from forgehand.entrypoints.http.problems import NotReady
from forgehand.entrypoints.http.views import HealthView

logger = logging.getLogger(__name__)

_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """`checks` return for what can be used, and raise otherwise; `redact` is for what they say."""

    checks: Mapping[str, Callable[[], Awaitable[None]]]
    redact: Callable[[str], str]

    async def require(self) -> None:
        """Raise NotReady, naming all that cannot be used."""
        found = await asyncio.gather(*(self._fault(name, check) for name, check in self.checks.items()))
        faults = tuple(fault for fault in found if fault is not None)
        if faults:
            raise NotReady(faults)

    async def _fault(self, name: str, check: Callable[[], Awaitable[None]]) -> Fault | None:
        try:
            await asyncio.wait_for(check(), _PATIENCE)
        except (StoreOutdated, StoreNewer) as error:
            return Fault(name, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            # Whoever asks here has shown no token: where it is and what it says stays in the log.
            logger.warning("%s is not ready: %s", name, self.redact(str(error) or type(error).__name__))
            return Fault(name, "it cannot be reached")
        return None


@get("/health", operation_id="health", security=NO_TOKEN)
async def health() -> HealthView:
    """Say that this process answers."""
    return HealthView(status="up")


@get(
    "/ready",
    operation_id="ready",
    security=NO_TOKEN,
    responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def ready(readiness: NamedDependency[SkipValidation[Readiness]]) -> HealthView:
    """Say whether the database, and Redis if there is one, can be used."""
    await readiness.require()
    return HealthView(status="ready")
