"""Who may do what over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """Each role may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token as it is kept: its hash (SHA-256, hex), never its text."""

    id: UUID
    name: str
    role: Role
    digest: str
    created_at: datetime
    revoked_at: datetime | None = None
