"""What a job writes about itself, kept within bounds."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from forgehand.application.redaction import Redactor
from forgehand.domain.jobs import JsonObject

logger = logging.getLogger(__name__)

MOST_LOG_LINES = 10_000
DROPPED = "further log lines were dropped"
LARGEST_MESSAGE = 4 * 1024
LARGEST_FIELDS = 16 * 1024
_LONGEST_NOTE = 500
_LAST_WORDS = 5.0


class Pace:
    """Writes the newest value at most once every `seconds`; the last one is never lost."""

    def __init__(self, write: Callable[[JsonObject], Awaitable[None]], seconds: float = 0.25) -> None:
        self._write = write
        self._seconds = seconds
        self._next = -math.inf
        self._newest: JsonObject | None = None
        self._later: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def tell(self, value: JsonObject) -> None:
        """Write `value` now, or a moment later unless a newer one comes. Raise what the last write raised."""
        if (error := self._error) is not None:
            self._error = None
            raise error
        wait = self._next - asyncio.get_running_loop().time()
        if self._later is None and wait <= 0:
            self._next = asyncio.get_running_loop().time() + self._seconds
            await self._write(value)
            return
        self._newest = value
        if self._later is None:
            self._later = asyncio.create_task(self._write_after(wait))

    async def close(self) -> None:
        """Write what was not written yet. A failure is logged: the work itself is done."""
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
            await asyncio.wait({later})
        value, self._newest = self._newest, None
        if value is not None:
            try:
                async with asyncio.timeout(_LAST_WORDS):
                    await self._write(value)
            except Exception as error:  # noqa: BLE001 - whatever the store does
                logger.warning("the last progress of a job was not written: %s", type(error).__name__)

    async def _write_after(self, wait: float) -> None:
        await asyncio.sleep(wait)
        value, self._newest = self._newest, None
        self._later = None
        self._next = asyncio.get_running_loop().time() + self._seconds
        if value is not None:
            try:
                await self._write(value)
            except Exception as error:  # noqa: BLE001 - told to whoever writes next
                self._error = error


class LogLines:
    """Counts the lines of a job's log, of all its attempts. `before` tells how many there are already."""

    def __init__(self, before: Callable[[], Awaitable[int]], most: int = MOST_LOG_LINES) -> None:
        self._before = before
        self._most = most
        self._lines: int | None = None

    async def next(self, line: JsonObject) -> JsonObject | None:
        """The line to write: `line`, once a word on those that are dropped, then None."""
        if self._lines is None:
            self._lines = await self._before()
        if self._lines > self._most:
            return None
        self._lines += 1
        return line if self._lines <= self._most else {"level": "warning", "message": DROPPED}


def log_line(redact: Redactor, level: str, message: str, fields: dict[str, Any]) -> JsonObject:
    """A line as it is stored: without secrets, storable by every database, within bounds.

    Fields may be anything that a use case has at hand; what is not JSON is written as its text.
    """
    said = redact.text(_storable(message))
    kept = redact.value(_plain(fields))
    text = json.dumps(kept, ensure_ascii=False)
    if len(text.encode()) > LARGEST_FIELDS:
        kept = {"clipped": _clipped(text, LARGEST_FIELDS)}
    return {**kept, "level": level, "message": _clipped(said, LARGEST_MESSAGE)}


def progress_line(redact: Redactor, percent: int, note: str | None, counters: dict[str, int]) -> JsonObject:
    """How far a job is, as it is stored."""
    told = note and redact.text(_storable(note))[:_LONGEST_NOTE]
    line: dict[str, Any] = {"percent": max(0, min(100, percent)), "note": told}
    return line | {"counters": _plain(counters)} if counters else line


def _clipped(text: str, most: int) -> str:
    """At most `most` bytes."""
    data = text.encode()
    return text if len(data) <= most else data[: most - 3].decode(errors="ignore") + "…"


def _plain(value: Any) -> Any:
    """As JSON that every database stores."""
    return _finite(json.loads(json.dumps(value, default=str, skipkeys=True)))


def _finite(value: Any) -> Any:
    match value:
        case str():
            return _storable(value)
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {_storable(key): _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case _:
            return value


def _storable(text: str) -> str:
    """PostgreSQL's JSON holds neither NUL nor lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
