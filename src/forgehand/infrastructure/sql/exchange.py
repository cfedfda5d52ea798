"""What both ways to settle and claim have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from forgehand.application.ports.leases import Share
from forgehand.infrastructure.sql.rows import Columns
from forgehand.infrastructure.sql.tables import to_micros


@dataclass(slots=True)
class Answer:
    """What an exchange came to, in rows."""

    claimed: list[Columns] = field(default_factory=list)
    settled: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    has_children: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `most` of what the query `count` counts. Exact only while other claimers wait."""

    most: int
    count: str
    parameters: dict[str, Any]


_RUNNING = "SELECT count(*) FROM forgehand_jobs WHERE type = :queue AND state = 'running'"
# Starts from far ahead were stamped before the clock was put back: they hold up nothing.
_STARTED = """
SELECT count(*) FROM forgehand_attempts WHERE type = :queue AND started_at > :since AND started_at <= :until
"""


def bounds(share: Share, now: datetime) -> Iterator[Bound]:
    """What a limited queue is limited by."""
    if share.running is not None:
        yield Bound(share.running, _RUNNING, {"queue": share.queue})
    if share.rate is not None:
        window = {"since": to_micros(now - share.rate.per), "until": to_micros(now + share.rate.per)}
        yield Bound(share.rate.starts, _STARTED, {"queue": share.queue, **window})
