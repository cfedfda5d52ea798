"""What both ways to settle and claim have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.leases import Share
from forgehand.infrastructure.sql.rows import Columns
from forgehand.infrastructure.sql.tables import attempts, jobs


@dataclass(slots=True)
class Answer:
    """What an exchange came to, in rows."""

    claimed: list[Columns] = field(default_factory=list)
    settled: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    has_children: bool = False


async def room_for(connection: AsyncConnection, share: Share, now: datetime) -> int:
    """How many jobs of a limited queue may start now. Exact only while its other claimers wait."""
    room = share.slots
    if share.running is not None:
        running = select(func.count()).where(jobs.c.type == share.queue, text("state = 'running'"))
        room = min(room, share.running - (await connection.scalar(running) or 0))
    if share.rate is not None:
        # Starts from far ahead were stamped before the clock was put back: they hold up nothing.
        started = select(func.count()).where(
            attempts.c.type == share.queue,
            attempts.c.started_at > now - share.rate.per,
            attempts.c.started_at <= now + share.rate.per,
        )
        room = min(room, share.rate.starts - (await connection.scalar(started) or 0))
    return room
