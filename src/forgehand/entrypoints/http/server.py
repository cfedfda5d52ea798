"""Serving the API on the current event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import uvicorn

from forgehand.container import Container
from forgehand.entrypoints.http.app import create_app, in_process, watching

_GRACE_SECONDS = 2
_BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be listened on; the message says what to do."""


async def serve(
    container: Container, host: str, port: int, *, listening: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or cancellation; then end within about two seconds, jobs handed back.

    Port 0 takes a free one; `listening` is told the URL once requests are answered. Raise CannotListen.
    """
    app = create_app(container)
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    announce = None if listening is None else lambda: listening(_url(host, listener))

    async def hand_back() -> None:
        watching(app).close()  # a stream would hold up the end
        await in_process(app).close()

    server = _Server(config, announce, hand_back)
    try:
        await _serve(server, listener)
    finally:
        listener.close()


async def _serve(server: _Server, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raise CannotListen."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise CannotListen(f"the host {host!r} is not known: choose another with --host") from error
    except OSError as error:
        raise CannotListen(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is in use; choose another with --port"
        case errno.EACCES:
            return f"port {port} needs more rights than this user has; choose another with --port"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; choose another with --host"
        case code:
            return f"{host}:{port} cannot be listened on: {os.strerror(code or 0)}"


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Returns after a signal instead of raising it again, and first answers those who wait for jobs."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], None] | None,
        hand_back: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._hand_back = hand_back

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._announce is not None:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._hand_back()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {it: signal.signal(it, self.handle_exit) for it in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for it, handler in before.items():
                signal.signal(it, handler)
