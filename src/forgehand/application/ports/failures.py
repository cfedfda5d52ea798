"""The two kinds of failure that an adapter may report. Every port error is one of them."""

from __future__ import annotations

from datetime import timedelta


class PortFailure(Exception):
    """An adapter could not do what it was asked. The message is one line, for a person, without secrets."""


class Permanent(PortFailure):
    """Trying again changes nothing until a person acts; the message says what to do."""


class Transient(PortFailure):
    """Trying again may help, after `retry_after` where the other side named a time."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
