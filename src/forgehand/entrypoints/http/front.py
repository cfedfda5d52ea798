"""The outermost layer: one line of log a request, headers for every answer, and HEAD."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

ASKED_BY_HEAD = "forgehand.head"
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass(frozen=True, slots=True)
class Front:
    """`redact` keeps out of the log what somebody may have put into a path."""

    app: ASGIApp
    redact: Callable[[str], str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        method, path = scope["method"], self._path(scope)
        sending = _Sending(send, bodiless=method == HttpMethod.HEAD)
        if method == HttpMethod.HEAD:
            scope = scope.copy()
            scope["method"] = HttpMethod.GET
            scope[ASKED_BY_HEAD] = True  # type: ignore[literal-required]  # for answers that would not end
        try:
            await self.app(scope, receive, sending)
        finally:
            elapsed = (time.perf_counter() - began) * 1000
            logger.info("%s %s %s %.0f ms", method, path, sending.status or "-", elapsed)

    def _path(self, scope: HTTPScope) -> str:
        """As it was sent, so that no line break gets into the log."""
        raw = scope.get("raw_path") or scope["path"].encode()
        return self.redact(raw.decode("ascii", "backslashreplace"))


class _Sending:
    """Adds the headers; for HEAD it takes the body away."""

    def __init__(self, send: Send, *, bodiless: bool) -> None:
        self._send = send
        self._bodiless = bodiless
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message["headers"]}
            added = [header for header in _HEADERS if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        elif message["type"] == "http.response.body" and self._bodiless:
            message = {**message, "body": b""}
        await self._send(message)
