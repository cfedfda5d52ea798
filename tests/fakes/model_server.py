"""A small HTTP server for what a well-behaved test server does not do: cut, hang, answer word for word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self


class Misbehaviour(Enum):
    """HANG: take the call and say nothing. CUT: close the connection in the middle of the answer."""

    HANG = "hang"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes over the wire. A `body` that is not a string is sent as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        plain = isinstance(self.body, str)
        content = (self.body if plain else json.dumps(self.body)).encode()
        headers = {
            "content-type": "text/html" if plain else "application/json",
            "content-length": str(len(content)),
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived; header names are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: Any


class ModelServer:
    """Gives its answers in order, whatever it is asked; with none left, a 500. Runs on the caller's loop."""

    def __init__(self) -> None:
        self.journal: list[Call] = []
        self.called = asyncio.Event()
        self.dropped = asyncio.Event()
        self._answers: list[Answer | Misbehaviour] = []
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def will(self, *answers: Answer | Misbehaviour) -> None:
        """Add to what is answered next."""
        self._answers.extend(answers)

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the server is not running")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            open_now = dict(self._open)
            for writer in open_now:
                writer.close()
            await asyncio.gather(*open_now.values())
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            self.dropped.set()
        finally:
            writer.close()
            self._open.pop(writer, None)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; say whether the connection stays open."""
        self.journal.append(await _read(reader))
        self.called.set()
        match self._answers.pop(0) if self._answers else Answer({"error": "no answer is left"}, 500):
            case Misbehaviour.HANG:
                await reader.readexactly(1)  # nothing more comes: this ends when the client hangs up
                return False
            case Misbehaviour.CUT:
                writer.write(
                    b'HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"a'
                )
                await writer.drain()
                return False
            case answer:
                writer.write(answer.encoded())
                await writer.drain()
                return True


async def _read(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(request.split(" ")[1], headers, json.loads(content) if content else None)
