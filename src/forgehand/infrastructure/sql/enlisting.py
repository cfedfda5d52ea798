"""Submitting jobs in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.clock import Clock, utc_now
from forgehand.application.ports.jobs import NewJob, Submission
from forgehand.infrastructure.sql.jobs import submit_within


@dataclass(frozen=True, slots=True)
class EnlistedJobs:
    """Jobs.submit, in a transaction that somebody else commits."""

    connection: AsyncConnection
    clock: Clock

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[Submission]:
        """Raise as Jobs.submit; errors of the connection are SQLAlchemy's own, as it is the caller's."""
        if not jobs:
            return []
        sqlite = self.connection.dialect.name == "sqlite"
        return await submit_within(self.connection, jobs, self.clock(), sqlite_=sqlite)


def enlist(connection: AsyncConnection, clock: Clock = utc_now) -> EnlistedJobs:
    """Submit over `connection`, which is to the database that holds the jobs.

    The jobs are there when the caller commits, and never were when the caller rolls back. No bell
    rings: a free worker finds them when it next looks, within 2 s, and sweeps tell of them.
    """
    return EnlistedJobs(connection, clock)
