"""`forgehand token`: who may use the HTTP interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgehand.application.access import new_token
from forgehand.domain.access import AccessToken, Role
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import say, show, show_json, show_rows

if TYPE_CHECKING:
    from forgehand.container import Container


async def create_token(container: Container, name: str, role: Role, *, as_json: bool) -> ExitCode:
    """Print the token, this once. Raise TokenNameTaken."""
    text, token = new_token(name, role, container.clock()())
    await container.tokens().add(token)
    if as_json:
        show_json({"name": name, "role": role.value, "token": text})
    else:
        show(text)
    say(f"This is the {role} token {name!r}. It is not shown again: only its hash is kept.")
    return ExitCode.OK


async def list_tokens(container: Container, *, as_json: bool) -> ExitCode:
    tokens = await container.tokens().all()
    if as_json:
        show_json([_token_json(token) for token in tokens])
    else:
        show_rows(("name", "role", "created (UTC)", "revoked (UTC)"), [_row(token) for token in tokens])
    if not tokens:
        say("There are no tokens: make one with `forgehand token create NAME --role operator`.")
    return ExitCode.OK


async def revoke_token(container: Container, name: str) -> ExitCode:
    """Raise TokenNotFound."""
    token = await container.tokens().revoke(name)
    say(f"The {token.role} token {name!r} is revoked: no process accepts it any more.")
    return ExitCode.OK


def _row(token: AccessToken) -> tuple[str, ...]:
    revoked = f"{token.revoked_at:%Y-%m-%d %H:%M:%S}" if token.revoked_at else ""
    return token.name, token.role.value, f"{token.created_at:%Y-%m-%d %H:%M:%S}", revoked


def _token_json(token: AccessToken) -> dict[str, str | None]:
    return {
        "name": token.name,
        "role": token.role.value,
        "createdAt": token.created_at.isoformat(),
        "revokedAt": token.revoked_at.isoformat() if token.revoked_at else None,
    }
