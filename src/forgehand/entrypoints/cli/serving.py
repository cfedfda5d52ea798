"""`forgehand up`, `serve` and `worker`: what runs until it is asked to end."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgehand.application.access import new_token
from forgehand.application.ports.tokens import TokenNotFound
from forgehand.domain.access import Role
from forgehand.entrypoints.cli.exits import DataFolderInUse, ExitCode
from forgehand.entrypoints.cli.printing import say, show, show_json
from forgehand.entrypoints.worker import queues, work
from forgehand.entrypoints.worker.bond import Bond
from forgehand.entrypoints.worker.signals import on_signal

if TYPE_CHECKING:
    from forgehand.container import Container


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the data folder's lock, which ends with the process. Raise DataFolderInUse."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (home / "up.lock").open("a")
    except OSError as error:
        raise DataFolderInUse(
            f"the data folder {home} cannot be used ({error.strerror}): set FORGEHAND_HOME to another"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderInUse(
                f"another Forgehand runs on {home}: use it, end it, or set FORGEHAND_HOME to another folder"
            ) from error
        yield


@asynccontextmanager
async def own_token(container: Container, name: str, role: Role) -> AsyncIterator[str]:
    """The text of a token that is revoked in the end; one that a killed process left is revoked first."""
    tokens = container.tokens()
    with suppress(TokenNotFound):
        await tokens.revoke(name)
    text, token = new_token(name, role, container.clock()())
    await tokens.add(token)
    try:
        yield text
    finally:
        with suppress(TokenNotFound):
            await tokens.revoke(name)


async def http_and_pump(container: Container, host: str, port: int, listening: Callable[[str], None]) -> None:
    """HTTP and the pump on this event loop, until one of them ends. Raise CannotListen."""
    from forgehand.entrypoints.http.server import serve

    pump = container.pump(queues=queues(container))
    serving = asyncio.create_task(serve(container, host, port, listening=listening))
    pumping = asyncio.create_task(pump.run(container.settings().grace_seconds))
    try:
        async with container.scheduler().running(), container.keeper().running():
            done, _ = await asyncio.wait({serving, pumping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        pump.stop()
        serving.cancel()
        await asyncio.gather(serving, pumping, return_exceptions=True)
    for task in done:
        task.result()


async def up(container: Container) -> ExitCode:
    """HTTP and workers in this process, with a token of its own. Raise CannotListen."""
    settings = container.settings()
    async with own_token(container, f"up {socket.gethostname()}:{settings.home}", Role.ADMIN) as token:
        with on_signal(_left_to_the_server):
            await http_and_pump(container, settings.host, settings.port, partial(_announce, container, token))
    return ExitCode.OK


def _left_to_the_server(_: signal.Signals) -> None:
    """The server hears the signal too, and its end ends the rest: nothing is to be cancelled."""


def _announce(container: Container, token: str, url: str) -> None:
    show(f"url: {url}")
    show(f"token: {token}")
    say(f"Data is kept in {container.database().location}. The token is valid until this process ends.")
    say(f'Try: curl -H "Authorization: Bearer $TOKEN" {url}/api/jobs')
    say("Ctrl-C ends it.")


async def serve_http(container: Container) -> ExitCode:
    """HTTP alone; `worker` processes run the jobs. Raise CannotListen."""
    from forgehand.entrypoints.http.server import serve

    settings = container.settings()
    with on_signal(_left_to_the_server):
        await serve(container, settings.host, settings.port, listening=lambda url: show(f"url: {url}"))
    return ExitCode.OK


async def work_on(container: Container, types: Sequence[str], bond: Bond | None = None) -> ExitCode:
    """The pump alone; `bond` where a supervisor started it. Raise UnknownJobType."""
    await work(container, types, bond)
    return ExitCode.OK


async def describe(container: Container) -> ExitCode:
    """Print the description of the HTTP interface, as the server itself gives it."""
    import httpx

    from forgehand.entrypoints.http.app import create_app
    from forgehand.entrypoints.http.openapi import PATH

    app: Any = create_app(container)  # ASGI, in types that httpx writes otherwise
    transport = httpx.ASGITransport(app)
    async with own_token(container, "openapi", Role.VIEWER) as token:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            answer = await client.get(PATH)
    answer.raise_for_status()
    show_json(answer.json())
    return ExitCode.OK
