"""Who may come in. It stands before the routes, so that what does not exist is not told either."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from forgehand.application.access import digest
from forgehand.application.ports.tokens import Tokens
from forgehand.domain.access import AccessToken, Role
from forgehand.entrypoints.http.problems import Problems

OPEN_PATHS = frozenset({"/health", "/ready"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets a request through that carries a bearer token whose role covers its method.

    The token is put into the scope as `user`.
    """

    app: ASGIApp
    tokens: Tokens
    problems: Problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "no websockets here"})
            return
        try:
            if scope["path"] not in OPEN_PATHS:
                scope["user"] = scope["auth"] = await self._admitted(scope)
        except Exception as error:  # noqa: BLE001 - Litestar's own handlers stand behind this gate
            request = Request[AccessToken, AccessToken, Any](scope, receive, send)
            answer = self.problems.answer(request, error).to_asgi_response(app=None, request=request)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _admitted(self, scope: HTTPScope) -> AccessToken:
        wanted = digest(_bearer(scope))
        token = await self.tokens.by_digest(wanted)
        if token is None or not hmac.compare_digest(token.digest, wanted):
            raise _refused("the token is not known or was revoked: make one with `forgehand token create`")
        needed = Role.VIEWER if scope["method"] in _READING else Role.OPERATOR
        if not token.role.covers(needed):
            raise PermissionDeniedException(
                f"this needs a token with the role {needed}; yours is {token.role}"
            )
        return token


def _bearer(scope: HTTPScope) -> str:
    headers = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    scheme, _, text = (headers[0] if len(headers) == 1 else b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise _refused("send a token: `Authorization: Bearer …`")
    return text.strip()


def _refused(detail: str) -> NotAuthorizedException:
    return NotAuthorizedException(detail, headers={"WWW-Authenticate": 'Bearer realm="forgehand"'})
