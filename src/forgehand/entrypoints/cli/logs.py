"""Where the log goes: stderr, one line each, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from forgehand.application.redaction import Redactor

_NOISY = (
    "asyncio",
    "httpx",
    "httpcore",
    "uvicorn",
    "dramatiq",
    "alembic",
    "aiosqlite",
    "hishel",
    "markdown_it",
)


class _Redacted(logging.Formatter):
    """Blots out secrets in the whole line, tracebacks included."""

    def __init__(self, layout: str, redactor: Redactor) -> None:
        super().__init__(layout, datefmt="%H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


class _JsonLines(logging.Formatter):
    """For machines: one JSON object a line."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(self._redactor.value(line), ensure_ascii=False)


def log_to_stderr(redactor: Redactor, *, long_running: bool, debug: bool) -> None:
    """Set up the log of this process. Commands that end by themselves log warnings alone."""
    handler = logging.StreamHandler(sys.stderr)
    if long_running and not sys.stderr.isatty():
        handler.setFormatter(_JsonLines(redactor))
    else:
        pid = "%(process)d " if long_running else ""
        handler.setFormatter(_Redacted(f"%(asctime)s {pid}%(levelname)s %(message)s", redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO if long_running else logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
