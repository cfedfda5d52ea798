"""Access tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from forgehand.application.clock import Clock
from forgehand.application.ports.tokens import TokenNameTaken, TokenNotFound
from forgehand.domain.access import AccessToken, Role
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import tokens


class SqlTokens:
    """Port Tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, token: AccessToken) -> None:
        row = {
            "id": token.id,
            "name": token.name,
            "role": token.role.value,
            "digest": token.digest,
            "created_at": token.created_at,
            "revoked_at": token.revoked_at,
        }
        try:
            async with self._database.statement() as connection:
                await connection.execute(insert(tokens).values(row))
        except IntegrityError as error:
            raise TokenNameTaken(
                f"a token named {token.name!r} is in use: revoke it first, or choose another name"
            ) from error

    async def by_digest(self, digest: str) -> AccessToken | None:
        query = select(tokens).where(tokens.c.digest == digest, tokens.c.revoked_at.is_(None))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _token(row)

    async def all(self) -> Sequence[AccessToken]:
        query = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        async with self._database.read() as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def revoke(self, name: str) -> AccessToken:
        statement = (
            update(tokens)
            .where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
            .values(revoked_at=self._clock())
            .returning(tokens)
        )
        async with self._database.statement() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise TokenNotFound(f"no token in use is named {name!r}")
        return _token(row)


def _token(row: Row[Any]) -> AccessToken:
    return AccessToken(row.id, row.name, Role(row.role), row.digest, row.created_at, row.revoked_at)
